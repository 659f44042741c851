"""How long a session may live, and how long it may rest."""

from __future__ import annotations

from dbgate.gate.policy.model import Limits
from dbgate.session.ports import Clock


class Age:
    """The policy's limits on a session's time, from its making on."""

    def __init__(self, limits: Limits, clock: Clock) -> None:
        self._limits = limits
        self._clock = clock
        self._started = self._last_used = clock.monotonic()

    def use(self) -> None:
        """Note that the session was just used."""
        self._last_used = self._clock.monotonic()

    def overdue(self) -> str:
        """Which of the limits the session has passed; empty when none."""
        now, limits = self._clock.monotonic(), self._limits
        if limits.session_s is not None and now - self._started > limits.session_s:
            return f"the session is older than {limits.session_s:g} s"
        if limits.idle_s is not None and now - self._last_used > limits.idle_s:
            return f"the session was idle for more than {limits.idle_s:g} s"
        return ""
