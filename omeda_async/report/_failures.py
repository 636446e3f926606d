"""The records that are not done, as a page holds them: bounded, each cause once."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import attrs
import orjson

from omeda_async._masking import has_address, readable
from omeda_async._row import mapping_of
from omeda_async.outcomes import OutcomeStatus

LISTED: Final = 200_000
"""Records that a page lists; a browser is slow with more."""
CAUSES: Final = 10_000
"""Causes that are told apart."""
LONGEST: Final = 400
"""Characters of a cause or a name."""
OTHER: Final = "(one of many other causes)"
_NAMES: Final = ("key", "track_id", "campaign_id", "submit_key", "id", "email_address")
_SHORT: Final = 4
"""A name shorter than this may stand in a text by chance."""


@attrs.define
class Failures:
    """Collects them one after the other, in as little memory as the page takes.

    Args:
        word: What their numbers count: ``"row"`` of a file, or ``"record"`` of an input.
    """

    word: str = "record"
    total: int = 0
    counts: Counter[int] = attrs.field(factory=Counter)
    """How many have each cause, by its number."""
    _causes: dict[tuple[str, str, str], int] = attrs.field(factory=dict)
    _rows: bytearray = attrs.field(factory=bytearray, repr=False)

    @property
    def listed(self) -> int:
        """Return how many of them the page lists."""
        return min(self.total, LISTED)

    def add(
        self, status: OutcomeStatus, number: int, *, names: Sequence[str], attempts: int, error: str, message: str
    ) -> None:
        """Take a record that is not done.

        Args:
            status: What became of it.
            number: Which one it is, from 1.
            names: What it is called: a key, an id, an address; the first is shown, and masked.
            attempts: Requests it took part in.
            error: The class of the error.
            message: The provider's words, or ours. The record's own names in them are left out, as causes are grouped.
        """
        shown = _shown(names[0]) if names else ""
        message = _readable(message)
        named = has_address(message)
        for name in names:
            if name in message if name.isalnum() else named or not has_address(name):
                other = _shown(name)
                message = message.replace(other, "…") if len(other) >= _SHORT else message
        cause = self._cause(status.value, error, message)
        self.counts[cause] += 1
        if self.total < LISTED:
            self._rows += b"," * bool(self._rows) + orjson.dumps([number, whole(shown), attempts, cause])
        self.total += 1

    def _cause(self, *cause: str) -> int:
        if cause not in self._causes and len(self._causes) >= CAUSES:
            cause = (cause[0], "", OTHER)
        return self._causes.setdefault(cause, len(self._causes))  # type: ignore[arg-type]  # it has three parts

    def causes(self) -> list[list[str]]:
        """Return each cause: status, class of the error, message."""
        return [[whole(part) for part in cause] for cause in self._causes]

    def rows(self) -> Iterator[str]:
        """Return the records as JSON, in pieces: number, name, attempts and the number of the cause."""
        yield "["
        yield self._rows.decode()
        yield "]"


def _shown(name: str) -> str:
    return name if len(name) <= LONGEST and name.isalnum() else _cut(readable(name))  # most names are ids


@lru_cache(maxsize=1024)
def _readable(message: str) -> str:
    return _cut(readable(message))


def names_of(record: Any, key: Any = None) -> list[str]:
    """Return what a record is called: its key, its id, its address; what there is of them, not masked."""
    if isinstance(record, str | int):
        return [str(record)]
    fields = record if isinstance(record, dict | Mapping) else mapping_of(record)  # a dict is known at once
    found = {} if key is None else {str(key): None}
    for name in _NAMES:
        try:
            value = getattr(record, name, None) if fields is None else fields.get(name)
        except Exception:  # noqa: BLE001 a record is the caller's: looking into it may raise anything
            break
        if isinstance(value, str | int) and value != "":
            found[str(value)] = None
    return [*found]


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def whole(text: str) -> str:
    """Return a text that UTF-8 can hold: half a surrogate is spelt out."""
    return text.encode("utf-8", "backslashreplace").decode()
