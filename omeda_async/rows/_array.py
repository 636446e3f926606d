"""A JSON array of records, element by element: what is in memory is one of them, however many there are."""

import json
import re
from collections.abc import Callable, Iterator
from io import TextIOBase
from typing import Any, Final, cast

from omeda_async.errors import ConfigurationError
from omeda_async.rows._convert import fault_of

_AT_ONCE: Final = 64 * 1024
_LONGEST: Final = 16 * 1024 * 1024
_past_blanks: Final = cast("Callable[[str, int], re.Match[str]]", re.compile(r"[ \t\r\n]*").match)


def elements(text: TextIOBase, name: str) -> Iterator[tuple[int, str]]:
    """Return the number, from 1, and the text of each element of an array.

    Raises:
        ConfigurationError: It breaks off, or is no array from there on: nobody can tell where the next element begins.
    """
    reader = _Reader(text, name)
    reader.skip("[")
    number = 0
    if reader.peek() != "]":
        while True:
            number += 1
            yield number, reader.element(number)
            if reader.peek() == "]":
                break
            reader.skip(",", f" behind record {number}")
            if reader.peek() == "]":
                raise ConfigurationError(f"{name}: the JSON array has a comma behind its last record: remove it")
    reader.skip("]")
    if reader.peek():
        raise ConfigurationError(f"{name}: something follows the end of the JSON array: give the array alone")


class _Reader:
    """Reads a text on, as far as it is needed."""

    def __init__(self, text: TextIOBase, name: str) -> None:
        self._text = text
        self._name = name
        self._held = ""
        self._at = 0
        self._is_over = False
        self._scan = json.JSONDecoder(object_pairs_hook=_nothing, parse_constant=_nothing).raw_decode

    def peek(self) -> str:
        """Return the next character that is not blank; nothing at the end."""
        while True:
            self._at = _past_blanks(self._held, self._at).end()
            if self._at < len(self._held):
                return self._held[self._at]
            if not self._more(_AT_ONCE):
                return ""

    def skip(self, wanted: str, where: str = "") -> None:
        """Go past a character that has to come next."""
        found = self.peek()
        if found != wanted:
            self._refuse(f"has {found!r}{where}, where {wanted!r} has to stand" if found else "")
        self._at += 1

    def element(self, number: int) -> str:
        """Return the text of the element that begins here."""
        self.peek()
        wanted = _AT_ONCE
        while True:
            try:
                end = self._scan(self._held, self._at)[1]
            except (ValueError, RecursionError) as problem:
                end, reason = (
                    -1,
                    fault_of(problem) if isinstance(problem, json.JSONDecodeError) else "it is nested too deeply",
                )
            if end >= 0 and (end < len(self._held) or self._is_over):
                text, self._at = self._held[self._at : end], end
                return text
            if len(self._held) - self._at > _LONGEST:
                self._refuse(f"has a record, {number}, that is no JSON, or longer than {_LONGEST // (1024 * 1024)} MiB")
            if not self._more(wanted) and end < 0:
                self._refuse(f"has a record, {number}, that is not whole, or no JSON: {reason}" if self.peek() else "")
            wanted *= 2

    def _more(self, length: int) -> bool:
        more = self._text.read(length)
        self._held = self._held[self._at :] + more
        self._at = 0
        self._is_over = not more
        return bool(more)

    def _refuse(self, reason: str) -> None:
        raise ConfigurationError(f"{self._name}: the JSON array {reason or 'breaks off: the file is not whole'}")


def _nothing(_: Any) -> None:
    """Take the place of what would be made of a value: only where it ends is wanted."""
