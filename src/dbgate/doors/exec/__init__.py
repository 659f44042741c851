"""The door for scripts: results to standard output or a file, everything else to standard error.

Shows what the session core hands it; never decides, and reads no terminal.
"""

from dbgate.doors.exec.display import ExecDisplay
from dbgate.doors.exec.output import Output, OutputFile

__all__ = ["ExecDisplay", "Output", "OutputFile"]
