"""The interactive shell: reads statements and backslash commands, shows results, and decides nothing.

What is typed goes to the session as it is; backslash commands answer from what the shell knows already, without SQL.
"""

from dbgate.doors.shell.display import ShellDisplay
from dbgate.doors.shell.interface import About, Driver
from dbgate.doors.shell.loop import run_script, run_shell

__all__ = ["About", "Driver", "ShellDisplay", "run_script", "run_shell"]
