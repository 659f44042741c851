"""What a bucket holds as events for other systems: read in order, told once, in the words of OCSF, CEF or dbgate itself.

`events` makes events of records; `feed` walks a bucket; `cursor` remembers what was told; `ocsf`, `cef` and `plain` say
it; `sinks` and `syslog` carry it away. Decides nothing, and checks the chain of what it reads, not its seals.
"""

from __future__ import annotations

from dbgate.audit.siem.cursor import Cursor
from dbgate.audit.siem.events import Event
from dbgate.audit.siem.feed import Feed, Wanted

__all__ = ["Cursor", "Event", "Feed", "Wanted"]
