"""Ctrl-C and SIGTERM: the first stops a run in order, the second at once."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

import attrs

from omeda_async import BulkRun

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@attrs.define(eq=False)
class Stopper:
    """Stops runs when it is told to."""

    runs: Iterable[BulkRun]
    say: Callable[[str], None]
    asked: int = 0
    """How often it was told."""
    closing: list[asyncio.Task[None]] = attrs.field(factory=list)
    """The tasks that stop runs at once."""

    def __call__(self) -> None:
        """Stop in order the first time, at once the second."""
        self.asked += 1
        if self.asked == 1:
            self.say("Stopping: what is on its way may end. Again to stop at once.")
            self.again()
        elif self.asked == 2:
            self.say("Stopping at once.")
            self.closing = [asyncio.ensure_future(run.aclose(timeout=0)) for run in self.runs]

    def again(self) -> None:
        """Stop runs in order if that was asked for, also those that had not begun by then."""
        if self.asked:
            for run in self.runs:
                run.stop()


@asynccontextmanager
async def stopping(runs: Iterable[BulkRun], say: Callable[[str], None]) -> AsyncIterator[Stopper]:
    """Let signals stop the runs for as long as the block lasts."""
    loop = asyncio.get_running_loop()
    stopper = Stopper(runs, say)
    handled = [number for number in SIGNALS if _handle(loop, number, stopper)]
    try:
        yield stopper
    finally:
        for number in handled:
            loop.remove_signal_handler(number)
        await asyncio.gather(*stopper.closing)


def _handle(loop: asyncio.AbstractEventLoop, number: int, handler: Callable[[], None]) -> bool:
    """Whether a signal can be handled, which it then is; not on every platform, nor in every thread."""
    try:
        loop.add_signal_handler(number, handler)
    except (NotImplementedError, RuntimeError, ValueError):
        return False
    return True
