"""How many lines the audit log takes of what anybody can bring about, so that nobody pushes the others out of it."""

from __future__ import annotations

from collections.abc import Callable

REFUSALS_A_MINUTE = 30
STRANGERS_REFUSALS_A_MINUTE = 4
"""Of each kind: no sign-in, one that is not believed, a wrong password. With what a line is cut to, who can do no more
than reach the port would need weeks to push the older lines out of the audit log."""


class Sparing:
    """Lets so many lines a minute through for each name."""

    def __init__(self, clock: Callable[[], float], most: int) -> None:
        self._clock = clock
        self._most = most
        self._minute = -1
        self._taken: dict[str, int] = {}
        self._left_out: dict[str, int] = {}

    def take(self, name: str = "") -> dict[str, int] | None:
        """Return details for the next line: how many were left out before it, if any. None: this one is, too."""
        minute = int(self._clock() // 60)
        if minute != self._minute:
            self._minute, self._taken = minute, {}
        self._taken[name] = self._taken.get(name, 0) + 1
        if self._taken[name] > self._most:
            self._left_out[name] = self._left_out.get(name, 0) + 1
            return None
        left_out = self._left_out.pop(name, 0)
        return {"lines_left_out_before": left_out} if left_out else {}
