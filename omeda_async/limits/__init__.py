"""Limits that hold: never over a provider's limit, and the whole budget used.

:func:`make_limiter` makes the limiter of one account from a :class:`RateLimit`.
"""

import importlib
import typing

from omeda_async.limits._rate_limit import Priority, RateLimit, Window
from omeda_async.limits._state import Permit
from omeda_async.limits._view import LimitsView, WindowView
from omeda_async.limits._where import check_place, check_where, share_limiter

if typing.TYPE_CHECKING:
    from omeda_async.limits._limiter import make_limiter
    from omeda_async.limits._protocol import Limiter
    from omeda_async.limits._shared import forget

__all__ = [
    "Limiter",
    "LimitsView",
    "Permit",
    "Priority",
    "RateLimit",
    "Window",
    "WindowView",
    "check_place",
    "check_where",
    "forget",
    "make_limiter",
    "share_limiter",
]

_LATER = {"Limiter": "_protocol", "make_limiter": "_limiter", "forget": "_shared"}
"""What only who sends needs, and the module where it is."""

if not typing.TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{__name__}.{_LATER[name]}"), name)
