"""How an outbox is delivered."""

import os
import socket

import attrs

from omeda_async.limits import Priority


@attrs.frozen(kw_only=True)
class DeliveryOptions:
    """How an outbox is delivered."""

    lease: float
    """Seconds that a process keeps the right to deliver, unless it renews it: it does three times in that."""
    max_delay: float
    """Seconds that a record waits for others at the most."""
    priority: Priority
    retention: float | None
    """Seconds that a record is kept after its outcome; None for ever."""
    give_up_after: float | None
    """Seconds after which what a record ends with is its outcome, whatever it is; None: never."""
    holder: str = attrs.field(factory=lambda: f"{socket.gethostname()}, process {os.getpid()}")
    """Who delivers, for people to read."""
