"""The moved clock at its end: what takes real time is waited for in real time."""

import asyncio
import threading
import warnings

from omeda_async.testing import run_moved


def test_a_thread_that_takes_its_time_is_waited_for_when_the_loop_ends() -> None:
    """No timer that has jumped gives it up: from Python 3.12 on a loop waits for 300 of its own seconds only."""
    ended = threading.Event()

    def work() -> None:
        threading.Event().wait(0.05)
        ended.set()

    async def main() -> None:
        under_way = asyncio.get_running_loop().run_in_executor(None, work)
        assert not under_way.done()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run_moved(main())
    assert ended.is_set()
