"""A thread of one's own answers everybody, also who comes too late."""

import pytest

from omeda_async import ClosedError
from omeda_async._thread import Worker


@pytest.mark.real_clock
async def test_what_comes_after_the_end_of_a_thread_is_refused() -> None:
    """Nobody waits for a thread that has ended; what was asked for before is answered."""
    worker = Worker("test")
    before = worker.do(lambda: 5)
    worker.end(wait=False)
    late = worker.do(lambda: 6)
    assert await before == 5
    with pytest.raises(ClosedError, match="it was closed before"):
        await late
    worker.end()
