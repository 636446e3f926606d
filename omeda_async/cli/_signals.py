"""Ctrl-C, SIGTERM and a terminal that goes away: the first stops a run in order, the second at once."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial

import attrs

from omeda_async import BulkRun
from omeda_async.cli._process import SIGNALS, leave
from omeda_async.cli._screen import notes, say

AT_ONCE = 2
"""The signal that stops at once; the next one breaks that off, and one more ends the process."""


@attrs.define(eq=False)
class Stopper:
    """Stops runs when it is told to."""

    runs: Iterable[BulkRun] = ()
    say: Callable[[str], None] = attrs.field(factory=lambda: partial(say, notes()))
    asked: int = 0
    """How often it was told."""
    over: bool = False
    """Whether the runs have ended, so that what is left is to close and to report."""
    closing: list[asyncio.Task[None]] = attrs.field(factory=list)
    """The tasks that stop runs at once."""

    def __call__(self) -> None:
        """Stop in order the first time, at once the second.

        Raises:
            KeyboardInterrupt: It was asked for before, and there is nothing left to stop.
        """
        self.asked += 1
        if self.asked > AT_ONCE + 1:
            notes().show_cursor()
            leave()
        if self.asked > AT_ONCE or (self.over and self.asked == AT_ONCE):
            raise KeyboardInterrupt
        if self.over:
            return
        if self.asked == 1:
            self.say("Stopping: what is on its way may end. Again to stop at once.")
            self.again()
        else:
            self.say("Stopping at once.")
            self.closing = [asyncio.ensure_future(run.aclose(timeout=0)) for run in self.runs]

    def again(self) -> None:
        """Stop runs in order if that was asked for, also those that had not begun by then."""
        if self.asked:
            for run in self.runs:
                run.stop()


@asynccontextmanager
async def stopping() -> AsyncIterator[Stopper]:
    """Let signals stop the runs that the stopper is given, for as long as the block lasts."""
    stopper = Stopper()
    before = {number: signal.getsignal(number) for number in SIGNALS}
    handled = handle_signals(stopper)
    try:
        yield stopper
        await asyncio.gather(*stopper.closing)
    finally:
        for number in handled:
            asyncio.get_running_loop().remove_signal_handler(number)
            signal.signal(number, before[number] or signal.SIG_DFL)


def handle_signals(handler: Callable[[], object]) -> list[signal.Signals]:
    """Let signals call something in the running loop, but those that the process was started to ignore."""
    wanted = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    return [number for number in wanted if _handle(asyncio.get_running_loop(), number, handler)]


def _handle(loop: asyncio.AbstractEventLoop, number: int, handler: Callable[[], object]) -> bool:
    """Whether a signal can be handled, which it then is; not on every platform, nor in every thread."""
    try:
        loop.add_signal_handler(number, handler)
    except (NotImplementedError, RuntimeError, ValueError):
        return False
    return True
