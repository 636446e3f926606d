"""What the models of all providers have in common."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from numbers import Integral
from typing import Any, Final, NoReturn, SupportsIndex

UNKEPT: Final = {"kept": False}
"""Of a field that tells of this process's own attempt: no journal keeps it."""


class Answer(dict[str, Any]):
    """What a provider has answered, as JSON has it: it can be read, copied and written as JSON, and not be changed."""

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("what a provider has answered is not changed; make a dict of it")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[type["Answer"], tuple[dict[str, Any]]]:
        return Answer, (dict(self),)


def to_tuple(value: Any) -> Any:
    """Return an iterable as a tuple; a string or a mapping stays what it is, to be refused with its reason."""
    if type(value) in {tuple, list}:  # first what it mostly is: an abstract class takes long to ask
        return tuple(value)
    return value if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable) else tuple(value)


def to_id(value: str | SupportsIndex) -> str:
    """Return an id: an integer, also one of numpy's, as its digits. Anything else stays as it is, to be refused."""
    if type(value) is not str and isinstance(value, Integral) and not isinstance(value, bool):
        with suppress(ValueError):  # of thousands of digits Python makes no text
            return str(int(value))
    return value  # type: ignore[return-value]  # its check says what it must be


def to_plain(value: Any) -> Any:
    """Return Python's own string or integer for one of numpy's, or of another class of its kind."""
    if type(value) in {str, int, bool}:
        return value
    if isinstance(value, str):
        return str.__str__(value)
    return int(value) if isinstance(value, Integral) and not isinstance(value, bool) else value
