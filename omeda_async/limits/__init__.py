"""Limits that hold: never over a provider's limit, and the whole budget used.

:func:`make_limiter` makes the limiter of one account from a :class:`RateLimit`.
"""

from omeda_async.limits._limiter import Limiter, make_limiter
from omeda_async.limits._rate_limit import Priority, RateLimit, Window
from omeda_async.limits._shared import forget
from omeda_async.limits._state import Permit
from omeda_async.limits._view import LimitsView, WindowView

__all__ = [
    "Limiter",
    "LimitsView",
    "Permit",
    "Priority",
    "RateLimit",
    "Window",
    "WindowView",
    "forget",
    "make_limiter",
]
