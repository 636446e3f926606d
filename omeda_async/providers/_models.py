"""What the models of all providers have in common."""

from collections.abc import Iterable, Mapping
from typing import Any


def to_tuple(value: Any) -> Any:
    """Return an iterable as a tuple; a string or a mapping stays what it is, to be refused with its reason."""
    if type(value) in {tuple, list}:  # first what it mostly is: an abstract class takes long to ask
        return tuple(value)
    return value if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable) else tuple(value)
