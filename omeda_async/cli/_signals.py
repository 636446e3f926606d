"""Ctrl-C, SIGTERM and a terminal that goes away: the first stops a run in order, the second at once."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import attrs

from omeda_async import BulkRun
from omeda_async.cli._process import handle, leave
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
    hurry: asyncio.Event = attrs.field(factory=asyncio.Event)
    """Set once it is to stop at once."""
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
            self.hurry.set()
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
    before = handle_signals(stopper)
    try:
        yield stopper
        await asyncio.gather(*stopper.closing)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


def handle_signals(heed: Callable[[], object]) -> dict[signal.Signals, Any]:
    """Let signals call something in the running loop, but those that the process was started to ignore.

    Where the loop itself is held up, by a stream that nobody reads for instance, the third signal ends the process.

    Returns:
        What has handled them before.
    """
    loop, unheeded = asyncio.get_running_loop(), 0

    def in_the_loop() -> None:
        nonlocal unheeded
        unheeded = 0
        heed()

    def signalled(*_: object) -> None:
        nonlocal unheeded
        unheeded += 1
        if unheeded > AT_ONCE:
            leave()
        if loop.is_closed():
            raise KeyboardInterrupt
        loop.call_soon_threadsafe(in_the_loop)

    return handle(signalled)
