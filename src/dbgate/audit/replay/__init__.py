"""Playing a session in a terminal: as a stream of text (`stream`), or on a screen of its own with seek, search and jumps.

`recording` holds what is played, `player` where it stands and what the keys do, `view` what is drawn, `terminal` draws it.
Nothing here looks into a bucket: records come in checked, and every text neutralised (`dbgate.audit.frames`).
"""

from dbgate.audit.replay.stream import Pace, painted, play

__all__ = ["Pace", "painted", "play"]
