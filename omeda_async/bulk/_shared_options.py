"""What every method that makes a shared run takes; apart from the run itself, which loads psycopg."""

from typing import TypedDict

from omeda_async.limits import Priority


class SharedOptions(TypedDict, total=False):
    """What every method that makes a shared run takes."""

    concurrency: int | None
    """Calls under way at the most, in this process; None leaves it to the provider's default."""
    priority: Priority
    """The lane at the limiter; bulk by default."""
    max_isolation_requests: int
    """Requests that finding the culprits of refused batches may cost in each chunk."""
    lease: float
    """Seconds after which a chunk is another process's, when this one is not heard of any more; 30 by default, from 0.1
    to 86,400."""
