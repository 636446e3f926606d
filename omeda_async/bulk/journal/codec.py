"""What a journal keeps of records and results, as JSON, and how they are made of that again."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from importlib import import_module
from itertools import chain, repeat
from numbers import Integral
from operator import attrgetter
from struct import iter_unpack, pack
from typing import Any, Final, TypeVar, get_args
from zlib import crc32

import attrs
import orjson

from omeda_async import errors
from omeda_async._masking import has_address, mask_emails
from omeda_async._result import Result
from omeda_async._row import Row, mapping_of
from omeda_async.bulk._item import Item
from omeda_async.bulk.journal.interface import Aside, Entries, Kept
from omeda_async.errors import OmedaAsyncError
from omeda_async.outcomes import OutcomeStatus

T = TypeVar("T")

FINGERPRINT_BYTES: Final = 16
STATUS_CODES: Final = {status: code for code, status in enumerate(OutcomeStatus, start=1)}
STATUSES: Final = {code: status for status, code in STATUS_CODES.items()}
_CLASS: Final = "__class__"
_NESTED: Final = (list, dict)
_JSON: Final = frozenset({str, int, dict})
"""Classes that JSON knows, and many records are of."""
RESULTS_REMEMBERED: Final = 1024
"""Results that are not read again, as those of many records are the same."""
_HOMES: Final = ("omeda_async.errors", "omeda_async.providers.")
_HIDDEN: Final = "***"
_WORD: Final = re.compile(r"\S+")
_POSITION, FINGERPRINT = attrgetter("position"), attrgetter("fingerprint")


@attrs.frozen
class Codec:
    """Turn records and results into JSON and back.

    Args:
        salt: Keep nothing of a record but a hash with this salt, and no e-mail address; None keeps records whole.
        knows_refused: Say of records by what they would be known had they been refused.
    """

    salt: bytes | None = attrs.field(default=None, repr=False)
    knows_refused: bool = False

    def fingerprints(self, contents: Iterable[bytes]) -> bytes:
        """Return fingerprints as they are kept, 16 bytes each, one after the other."""
        begun, prints = blake2b(digest_size=FINGERPRINT_BYTES, key=self.salt or b"").copy, list[bytes]()
        for content in contents:
            one = begun()  # a copy takes half the time that a new one does
            one.update(content)
            prints.append(one.digest())
        return b"".join(prints)

    def entries(self, items: Sequence[Item]) -> Entries:
        """Return what is kept of records; of one that JSON cannot hold, its position only."""
        positions = [*map(_POSITION, items)]
        fingerprints = self.fingerprints(map(FINGERPRINT, items))
        texts = [b"[%d,null]" % position for position in positions] if self.salt is not None else texts_of(items)
        prints = chain.from_iterable(iter_unpack("16s", fingerprints))
        sums = chain.from_iterable(zip(map(crc32, prints), map(crc32, texts), strict=True))
        json = b",".join(texts).decode()
        refused_as = self.refused_as(items) if self.knows_refused else ()
        return Entries(positions, fingerprints, f"[{json}]", pack(f"<{2 * len(texts)}I", *sums), refused_as)

    def refused_as(self, items: Sequence[Item]) -> list[int]:
        """Return the numbers by which refused records are known: made of what they hold, as they ask for nothing."""
        return _numbers(self.fingerprints(text[text.index(b",") + 1 : -1] for text in texts_of(items)))

    def refused(self, item: Item, kept: Kept) -> Aside:
        """Return what is kept of a record that is refused; one that JSON cannot hold is known by its place and why."""
        (text,) = texts_of([item])
        nameless = text.endswith(b",null]")
        known_by = _numbers(self.fingerprints([text + kept.stored.encode()])) if nameless else self.refused_as([item])
        entry = f"[{item.position},null]" if self.salt is not None else text.decode()
        return Aside(item.position, kept, entry, known_by[0])

    def repeat(self, item: Item, kept: Kept) -> Aside:
        """Return what is kept of a record that repeats another."""
        return Aside(item.position, kept, None, number_of(self.fingerprints([item.fingerprint])))

    def text(self, text: str) -> str:
        """Return a text as it is kept: without e-mail addresses, or with masked ones; half a surrogate is spelt out."""
        text = text.encode("utf-8", "backslashreplace").decode()
        return mask_emails(text) if self.salt is None else str(_without_addresses(text))

    def kept(self, results: Iterable[tuple[T, Result[Any]]]) -> list[tuple[T, Kept]]:
        """Return what is to be remembered of results, with what each belongs to."""
        found: list[tuple[T, Kept]] = []
        seen: dict[tuple[Any, ...], Kept] = {}  # once for all that share a receipt or an error
        for one, result in results:
            status, shared = result.known or result.status, (id(result.receipt), id(result.error))
            key = (*shared, status, result.attempts, result.settled, result.doubtful)
            if key not in seen:
                seen[key] = Kept(status, result.attempts, self._stored(result))
            found.append((one, seen[key]))
        return found

    def _stored(self, result: Result[Any]) -> str:
        receipt, error = result.receipt, result.error
        stored = {
            "receipt": None if receipt is None else _plain_form(receipt.__class__)(receipt),
            "error": error,
            "settled": result.settled,
            "doubtful": result.doubtful,
        }
        return _dumped(stored if self.salt is None else _without_addresses(stored))


def number_of(fingerprint: bytes) -> int:
    """Return the number by which an aside is known: half of a fingerprint."""
    return int.from_bytes(fingerprint[:8], "little", signed=True)


def _numbers(fingerprints: bytes) -> list[int]:
    return [number_of(one) for (one,) in iter_unpack(f"{FINGERPRINT_BYTES}s", fingerprints)]


def texts_of(items: Sequence[Item]) -> list[bytes]:
    """Return ``[position, record]`` of each item as JSON; of one that JSON cannot hold, its position only."""
    try:
        return _each_dumped([(item.position, _plain_form(item.raw.__class__)(item.raw)) for item in items])
    except Exception:  # noqa: BLE001 the records are the caller's: looking into them may raise anything
        if len(items) > 1:
            return [texts_of([item])[0] for item in items]
        return [b"[%d,null]" % items[0].position]


def result_of(kept: Kept) -> Result[Any]:
    """Return the result that was kept."""
    stored = orjson.loads(kept.stored)
    error = _revived(stored["error"])
    if not isinstance(error, OmedaAsyncError | None):
        raise TypeError("what is kept as an error is none")
    return Result(
        receipt=_revived(stored["receipt"]),
        error=error,
        attempts=kept.attempts,
        settled=stored["settled"],
        doubtful=stored["doubtful"],
        known=kept.status,
    )


def record_of(entry: str) -> Any:
    """Return the record that an entry was made of: a model where it was one, else what JSON makes of it."""
    record = orjson.loads(entry)[1]
    try:
        return _revived(record) if isinstance(record, dict) and _CLASS in record else record
    except (ValueError, TypeError, ImportError):
        return record


def _revived(value: Any) -> Any:
    """Return what was kept, as objects of this package's classes, with tuples for arrays."""
    if isinstance(value, list):
        return tuple(map(_revived, value))
    if not isinstance(value, dict):
        return value
    fields = {name: _revived(one) if one.__class__ in _NESTED else one for name, one in value.items() if name != _CLASS}
    if _CLASS not in value:
        return fields
    cls = _class_of(value[_CLASS])
    for name in _moments(cls):
        if isinstance(fields.get(name), str):
            fields[name] = datetime.fromisoformat(fields[name])
    return cls(**fields)


def _dumped(value: Any) -> str:
    try:
        return orjson.dumps(value, default=_plain).decode()
    except TypeError:  # keys that are no strings take longer: not all have to for the few that do
        return orjson.dumps(value, default=_plain, option=orjson.OPT_NON_STR_KEYS).decode()


def _each_dumped(values: Sequence[Any]) -> list[bytes]:
    """Write values in one go, which takes a fraction of the time, with line ends between them: JSON has none inside."""
    marked = [*chain.from_iterable(zip(values, repeat(orjson.Fragment("\n"))))]
    try:
        text = orjson.dumps(marked, default=_plain)
    except TypeError:  # the same
        text = orjson.dumps(marked, default=_plain, option=orjson.OPT_NON_STR_KEYS)
    return text[1:-3].split(b",\n,") if values else []


def _plain(value: Any) -> Any:
    """Return a value that JSON does not know as one that it does."""
    plain = _plain_form(value.__class__)(value)
    if plain is value:
        raise TypeError(f"a journal cannot keep a {type(value).__name__}")
    return plain


@lru_cache(maxsize=256)
def _plain_form(cls: Any) -> Callable[[Any], Any]:
    """Return a function that turns objects of a class into what JSON knows; by default it changes nothing."""
    if cls in _JSON:  # else each would be asked for the names that a row of a database has
        return _same
    if issubclass(cls, Row):
        return _fields_of
    if issubclass(cls, OmedaAsyncError):  # a caller's own is kept as the nearest of its parents that is ours
        cls = next(one for one in cls.__mro__ if getattr(errors, one.__name__, None) is one)
    if attrs.has(cls) and cls.__module__.startswith(_HOMES):
        names = (_CLASS, *(field.name for field in attrs.fields(cls) if field.metadata.get("kept", True)))
        values, path = attrgetter(*names), {_CLASS: f"{cls.__module__}.{cls.__qualname__}"}
        return lambda value: dict(zip(names, values(value), strict=True), **path)
    if issubclass(cls, Integral) and not issubclass(cls, int):  # one of numpy's
        return int
    return dict if issubclass(cls, Mapping) and not issubclass(cls, dict) else _named


def _same(value: T) -> T:
    return value


def _fields_of(row: Row) -> dict[str, Any] | None:
    return row.record if isinstance(row.record, dict) else None


def _named(value: Any) -> Any:
    """Return what a row of a database holds by its names; anything else as it is."""
    row = mapping_of(value)
    return value if row is None else dict(row)


@lru_cache(maxsize=256)
def _class_of(path: Any) -> Any:
    module, _, name = str(path).rpartition(".")
    cls = getattr(import_module(module), name, None) if module.startswith(_HOMES) else None
    if not (isinstance(cls, type) and attrs.has(cls)):
        raise ValueError(f"{path} is no class that a journal may hold")
    return cls


@lru_cache(maxsize=256)
def _moments(cls: Any) -> tuple[str, ...]:
    """Return the fields of a class that hold a date, which JSON has as texts."""
    return tuple(field.name for field in attrs.fields(cls) if datetime in {field.type, *get_args(field.type)})


def _without_addresses(value: Any) -> Any:
    if isinstance(value, str):
        return (
            _WORD.sub(lambda word: _HIDDEN if has_address(word[0]) else word[0], value) if has_address(value) else value
        )
    if isinstance(value, dict):
        return {name: _without_addresses(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_addresses(one) for one in value]
    plain = _plain(value) if attrs.has(type(value)) else value
    return plain if plain is value else _without_addresses(plain)
