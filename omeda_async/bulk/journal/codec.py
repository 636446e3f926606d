"""What a journal keeps of records and results, as JSON, and how it becomes theirs again."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from importlib import import_module
from operator import attrgetter
from typing import Any, Final

import attrs
import orjson

from omeda_async import errors
from omeda_async._masking import has_address, mask_emails
from omeda_async._result import Result
from omeda_async._row import Row
from omeda_async.bulk._item import Item
from omeda_async.bulk.journal.interface import Entries, Kept
from omeda_async.errors import InvalidRecord, OmedaAsyncError
from omeda_async.outcomes import OutcomeStatus

FINGERPRINT_BYTES: Final = 16
STATUS_CODES: Final = {status: code for code, status in enumerate(OutcomeStatus, start=1)}
STATUSES: Final = {code: status for status, code in STATUS_CODES.items()}
_CLASS: Final = "__class__"
_HOMES: Final = ("omeda_async.errors", "omeda_async.providers.")
_HIDDEN: Final = "***"
_WORD: Final = re.compile(r"\S+")


@attrs.frozen
class Codec:
    """Turn records and results into JSON and back.

    Args:
        salt: Keep nothing of a record but a hash with this salt, and no e-mail address; None keeps records whole.
    """

    salt: bytes | None = attrs.field(default=None, repr=False)

    def fingerprint(self, content: bytes) -> bytes:
        """Return a fingerprint as it is kept."""
        return blake2b(content, digest_size=FINGERPRINT_BYTES, key=self.salt or b"").digest()

    def fingerprints(self, items: Sequence[Item]) -> bytes:
        """Return the fingerprints of items as they are kept, one after the other."""
        key, of, size = self.salt or b"", blake2b, FINGERPRINT_BYTES
        return b"".join([of(item.fingerprint, digest_size=size, key=key).digest() for item in items])

    def entries(self, items: Sequence[Item]) -> Entries:
        """Return what is kept of records."""
        return Entries([item.position for item in items], self.fingerprints(items), self._json(items))

    def entry(self, item: Item) -> str:
        """Return the position and the record of one item, as JSON."""
        return self._json([item])[1:-1]

    def _json(self, items: Sequence[Item]) -> str:
        if self.salt is not None:
            return _dumped([(item.position, None) for item in items])
        kinds = {item.raw.__class__ for item in items}
        try:
            plain = {kind: _plain_form(kind) for kind in kinds}
            return _dumped([(item.position, plain[item.raw.__class__](item.raw)) for item in items])
        except (TypeError, ValueError, InvalidRecord):  # one of them JSON cannot hold
            return "[" + ",".join(map(_entry, items)) + "]"

    def text(self, text: str) -> str:
        """Return a text as it is kept: without e-mail addresses, or with masked ones."""
        return mask_emails(text) if self.salt is None else str(_without_addresses(text))

    def kept(self, result: Result[Any]) -> Kept:
        """Return what is to be remembered of a result."""
        stored = {
            "receipt": result.receipt,
            "error": result.error,
            "settled": result.settled,
            "doubtful": result.doubtful,
        }
        text = _dumped(stored if self.salt is None else _without_addresses(stored))
        return Kept(result.status, result.attempts, text)

    def keeper(self) -> Callable[[Result[Any]], Kept]:
        """Make what returns that of many results: once for all that share a receipt or an error."""
        seen: dict[tuple[int, ...], Kept] = {}

        def keep(result: Result[Any]) -> Kept:
            shared = id(result.receipt), id(result.error), id(result.known)
            key = (*shared, result.attempts, result.settled, result.doubtful)
            if key not in seen:
                seen[key] = self.kept(result)
            return seen[key]

        return keep


def result_of(kept: Kept) -> Result[Any]:
    """Make a result again."""
    stored = orjson.loads(kept.stored)
    return Result(
        receipt=revived(stored["receipt"]),
        error=revived(stored["error"]),
        attempts=kept.attempts,
        settled=stored["settled"],
        doubtful=stored["doubtful"],
        known=kept.status,
    )


def record_of(entry: str) -> Any:
    """Make the record of an entry again: a model where one came in, else what JSON makes of it."""
    record = orjson.loads(entry)[1]
    try:
        return revived(record) if isinstance(record, dict) and _CLASS in record else record
    except (ValueError, TypeError, ImportError):
        return record


def revived(value: Any) -> Any:
    """Make again what was kept: objects of this package's classes, tuples for arrays.

    Raises:
        ValueError: It names a class that this package does not have.
    """
    if isinstance(value, list):
        return tuple(map(revived, value))
    if not isinstance(value, dict):
        return value
    fields = {name: revived(one) for name, one in value.items() if name != _CLASS}
    return _class_of(value[_CLASS])(**fields) if _CLASS in value else fields


def _entry(item: Item) -> str:
    raw = item.raw
    try:
        return _dumped((item.position, _plain_form(raw.__class__)(raw)))
    except (TypeError, ValueError, InvalidRecord):
        return _dumped((item.position, None))


def _dumped(value: Any) -> str:
    try:
        return orjson.dumps(value, default=_plain).decode()
    except TypeError:  # keys that are no strings take longer: not all have to for the few that do
        return orjson.dumps(value, default=_plain, option=orjson.OPT_NON_STR_KEYS).decode()


def _plain(value: Any) -> Any:
    """Return a value that JSON does not know as one that it does.

    Raises:
        TypeError: A journal cannot keep it.
    """
    plain = _plain_form(value.__class__)(value)
    if plain is value:
        raise TypeError(f"a journal cannot keep a {type(value).__name__}")
    return plain


@lru_cache(maxsize=256)
def _plain_form(cls: Any) -> Callable[[Any], Any]:
    """Make what turns objects of a class into what JSON knows; others are returned as they are."""
    if issubclass(cls, Row):
        return Row.fields
    known = _known_class(cls)
    if known is not None:
        names = [field.name for field in attrs.fields(known)]
        keys, path = (_CLASS, *names), f"{known.__module__}.{known.__qualname__}"
        if len(names) > 1:
            values = attrgetter(*names)
            return lambda value: dict(zip(keys, (path, *values(value)), strict=True))
        return lambda value: {_CLASS: path} | {name: getattr(value, name) for name in names}
    return dict if issubclass(cls, Mapping) and not issubclass(cls, dict) else _same


def _same(value: Any) -> Any:
    return value


def _known_class(cls: Any) -> Any:
    """Return the class itself where it is one of this package's, for errors also the nearest of its parents that is."""
    if not attrs.has(cls):
        return None
    if issubclass(cls, OmedaAsyncError):
        return next(one for one in cls.__mro__ if getattr(errors, one.__name__, None) is one)
    return cls if cls.__module__.startswith(_HOMES) else None


@lru_cache(maxsize=256)
def _class_of(path: Any) -> Any:
    module, _, name = str(path).rpartition(".")
    if not module.startswith(_HOMES):
        raise ValueError(f"{path} is no class that a journal may hold")
    cls = getattr(import_module(module), name, None)
    if not (isinstance(cls, type) and attrs.has(cls)):
        raise ValueError(f"{path} is no class that a journal may hold")
    return cls


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
