"""What a limiter shows of its state."""

import math
from collections.abc import Mapping

import attrs

from omeda_async.limits._rate_limit import Priority, Window


@attrs.frozen(kw_only=True)
class WindowView:
    """One window at one moment."""

    window: Window
    """The calls and seconds of the limit."""
    used: int
    """Slots in use by our own attempts: in flight, or ended less than a window ago."""
    free: int
    """Slots an attempt could take now."""
    held: int
    """Slots held because someone else on the account seems to have used them."""
    headers: str
    """What the headers have proved so far: ``"unseen"``, ``"advice"``, ``"trusted"`` or ``"doubted"``."""
    reserved: int = 0
    """Free slots that bulk leaves to interactive calls now."""
    frees_in: float | None = None
    """Seconds until the next used slot is free by itself; None when there is none, or a response decides."""


@attrs.frozen(kw_only=True)
class LimitsView:
    """An account's limits at one moment."""

    windows: tuple[WindowView, ...]
    """Every window of the limit, in the order given."""
    waiting: Mapping[Priority, int]
    """How many calls wait in each lane."""
    in_flight: int
    """Attempts under way, without a response yet."""
    parallel: int | None
    """The most attempts allowed in flight now: lower than the setting after the provider has refused so many."""
    next_slot_in: float | None
    """Seconds until an attempt may go by the slots and the pace, if nobody waits for a slot; None when that depends on
    a response, or on a store that has not been asked yet."""
    paused_for: float
    """Seconds for which the whole account waits, as the provider asked; 0 when it does not."""
    refusals: int
    """How many attempts the provider refused with 429."""
    pace: float | None
    """The pace, in attempts a second, since the provider has refused some; None when none is needed."""
    next_bulk_in: float | None = 0.0
    """The same for a bulk attempt, which leaves slots free to interactive calls."""
    interactive_reserve: int = 0
    """How many slots of each window, and of ``parallel``, bulk leaves free at least, never more than half."""
    clients: int = 1
    """How many limiters share the account: in this process, or at the store."""
    shared_by: str = "process"
    """What shares it: ``"process"`` among the managers of this process, else the name of the store."""
    store_reachable: bool = True
    """Whether the store has answered lately; nothing goes as long as it does not."""
    held_for: float | None = 0.0
    """Seconds for which nothing goes, as the store does not know what was sent before; 0 without such a hold. None as
    long as that is not known: the store is asked for the first time when something is to be sent."""
    spacing: float = 0.0
    """The least seconds from one attempt to the next by the setting ``pace``; 0 without."""

    @property
    def used(self) -> int:
        """The slots in use of the window with the fewest free ones; without windows, the attempts in flight."""
        tightest = min(self.windows, key=lambda view: view.free, default=None)
        return tightest.used if tightest else self.in_flight

    @property
    def free(self) -> int | None:
        """How many attempts could go now by the windows and the cap; None without either."""
        counts = [view.free for view in self.windows]
        if self.parallel is not None:
            counts.append(max(0, self.parallel - self.in_flight))
        return min(counts, default=None)

    def seconds_for(self, requests: int) -> float:
        """Estimate the seconds until the last of so many bulk requests may go, if nobody else sends.

        It goes by what is used now. Headers may free slots earlier; responses that take long make it later.
        """
        if requests < 1:
            return 0.0
        pause = max(self.paused_for, self.held_for or 0.0)
        ahead, seconds = requests - 1, pause
        for view in sorted(self.windows, key=lambda view: -view.window.seconds):
            lap, kept = view.window.seconds, min(self.interactive_reserve, view.window.calls // 2)
            calls, free = view.window.calls - kept, max(0, view.free - kept)
            if seconds >= lap:
                # A longer window, or a pause, has been waited for: this one is all free again.
                laps, ahead = divmod(ahead, calls)
                seconds += laps * lap
            elif ahead >= free:
                laps, ahead = divmod(ahead - free, calls)
                seconds = max(seconds, lap if view.frees_in is None else view.frees_in) + laps * lap
        slowest = max(self.spacing, 1.0 / (self.pace or math.inf))
        return max(seconds, max(pause, self.next_slot_in or pause) + (requests - 1) * slowest)
