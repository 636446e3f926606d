"""A learned pace: slower after a refusal, a little faster after each while without one. Pure."""

import attrs

SLOWER = 0.8
FASTER = 0.05
"""After each while without a refusal, the pace grows by this part of the one it began with."""
SLOWEST = 0.05
"""It never falls below this part of the one it began with."""
LONGEST_WHILE = 3600.0


@attrs.define(eq=False, repr=False)
class Pace:
    """Attempts a second, evenly spread."""

    rate: float
    patience: float
    """Seconds without a refusal after which it may grow; they double with each refusal."""
    next_at: float = 0.0
    """When the next attempt may go."""
    _first: float = attrs.field(init=False)
    _grown: float = 0.0
    _clean_since: float = 0.0

    def __attrs_post_init__(self) -> None:
        self._first = self.rate

    def spend(self, now: float) -> None:
        """Note that an attempt goes by this pace."""
        if now >= self._clean_since + self.patience:
            self._clean_since = now
            self._grown += FASTER * self._first
            self.rate += FASTER * self._first
        self.next_at = max(now, self.next_at) + 1.0 / self.rate

    def rest(self, until: float) -> None:
        """Let nothing go before a moment, at which a while without a refusal begins."""
        self.next_at = self._clean_since = until

    def slow_down(self) -> None:
        """Note a refusal of an attempt that went by this pace."""
        if self._grown:
            self.rate, self._grown = self.rate - self._grown, 0.0
        else:
            self.rate = max(self.rate * SLOWER, self._first * SLOWEST)
        self.patience = min(LONGEST_WHILE, 2 * self.patience)
