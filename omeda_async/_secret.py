"""A text that shows itself to nobody who does not ask for it by name."""

from hmac import compare_digest
from typing import NoReturn, TypeVar

T = TypeVar("T")


class Secret:
    """A text that is hidden wherever objects are shown, formatted, turned into data, or stored.

    It equals the plain text, and hashes like it. ``reveal()`` returns that.
    """

    __slots__ = ("__text",)

    def __init__(self, text: str) -> None:
        self.__text = text

    def reveal(self) -> str:
        """Return the text."""
        return self.__text

    def __repr__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return format("***", spec)

    def __eq__(self, other: object) -> bool:
        other = revealed(other)
        if not isinstance(other, str):
            return NotImplemented
        return compare_digest(_encoded(self.__text), _encoded(other))

    def __hash__(self) -> int:
        return hash(self.__text)

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        raise TypeError("a secret is not pickled or copied; make it anew where it is needed")


def hidden(value: str | Secret) -> Secret:
    """Return a text as a secret, and a secret, or what is neither and will be refused, as it is."""
    return Secret(value) if isinstance(value, str) else value


def revealed(value: "Secret | T") -> "str | T":
    """Return the text of a secret, and anything else as it is."""
    return value.reveal() if isinstance(value, Secret) else value


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
