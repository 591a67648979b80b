"""How often a password may be tried. Pure: the caller passes the time, in monotonic seconds.

The limits are there against guessing, and must not become a way to lock the admin out. So: a browser that was
signed in before has a budget of its own; an address that did not fail lately draws on a reserve that those who
did fail cannot use up; and every budget refills within seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

MOST_KEYS = 4096


@dataclass(slots=True)
class Budget:
    """So many tries at once, and one more each `seconds`."""

    size: int
    seconds: float
    left: float
    at: float

    @classmethod
    def full(cls, size: int, seconds: float, now: float) -> Budget:
        """Return one from which nothing was taken yet."""
        return cls(size, seconds, size, now)

    def take(self, now: float) -> float:
        """Take one try and return 0, or return the seconds until there is one."""
        self.left = min(self.size, self.left + (now - self.at) / self.seconds)
        self.at = now
        if self.left < 1:
            return (1 - self.left) * self.seconds
        self.left -= 1
        return 0.0

    def give_back(self) -> None:
        """Undo a `take`."""
        self.left += 1

    def is_full(self, now: float) -> bool:
        """Return whether nothing is missing."""
        return self.left + (now - self.at) / self.seconds >= self.size


class SignInLimits:
    """The budgets of each address (IPv6: each /64) or known browser, and of all together."""

    def __init__(self, now: float) -> None:
        self._budgets: dict[str, Budget] = {}
        self._reserve = Budget.full(20, 1.0, now)
        self._common = Budget.full(20, 2.0, now)

    def take(self, address: str, browser: str | None, now: float) -> float:
        """Take one try and return 0, or return the seconds to wait. `browser` names one that was signed in before."""
        key = browser or _block(address)
        known = self._budgets.get(key)
        budget = known or Budget.full(5, 20.0, now)
        wait = budget.take(now)
        if wait == 0 and browser is None:
            wait = (self._common if known else self._reserve).take(now)
            if wait:
                budget.give_back()
        if wait == 0:
            self._remember(key, budget, now)
        return wait

    def succeeded(self, address: str, browser: str | None) -> None:
        """Forget the failures of an address or browser: it knows the password."""
        self._budgets.pop(browser or _block(address), None)

    def _remember(self, key: str, budget: Budget, now: float) -> None:
        self._budgets.pop(key, None)
        self._budgets[key] = budget  # the dictionary's order is that of the last tries
        if len(self._budgets) > MOST_KEYS:
            self._budgets = {name: each for name, each in self._budgets.items() if not each.is_full(now)}
        while len(self._budgets) > MOST_KEYS:
            del self._budgets[next(iter(self._budgets))]


def _block(address: str) -> str:
    """Return what one subscriber usually has: an IPv4 address or an IPv6 /64."""
    try:
        ip = ip_address(address)
    except ValueError:
        return address
    return str(IPv6Address(int(ip) >> 64 << 64)) if ip.version == 6 and ip.ipv4_mapped is None else address
