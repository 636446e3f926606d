"""What the models of all providers have in common."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NoReturn

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
