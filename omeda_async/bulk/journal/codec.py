"""What a journal keeps of records and results, as JSON, and how it becomes theirs again."""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from importlib import import_module
from typing import Any, Final

import attrs
import orjson

from omeda_async import errors
from omeda_async._masking import mask_emails
from omeda_async._result import Result
from omeda_async._row import Row
from omeda_async.bulk._item import Item
from omeda_async.errors import InvalidRecord, OmedaAsyncError
from omeda_async.outcomes import OutcomeStatus

PRINT_BYTES: Final = 16
STATUS_CODES: Final = {status: code for code, status in enumerate(OutcomeStatus, start=1)}
STATUSES: Final = {code: status for status, code in STATUS_CODES.items()}
SETTLED: Final = frozenset(
    {
        OutcomeStatus.DONE,
        OutcomeStatus.ALREADY_DONE,
        OutcomeStatus.PARTLY_DONE,
        OutcomeStatus.TOO_LATE,
        OutcomeStatus.REJECTED,
    }
)
"""What a later run reports again, and sends no more."""

_CLASS: Final = "__class__"
_HOMES: Final = ("omeda_async.errors", "omeda_async.providers.")
_HIDDEN: Final = "***"
_WORD: Final = re.compile(r"\S+")


@attrs.frozen
class Codec:
    """BatchQueue records and results into JSON and back.

    Args:
        salt: Keep nothing of a record but a hash with this salt, and no e-mail address; None keeps records whole.
    """

    salt: bytes | None = attrs.field(default=None, repr=False)

    def prints(self, items: Iterable[Item]) -> bytes:
        """Return the fingerprints of items as they are kept, 16 bytes each, one after the other."""
        key, of = self.salt or b"", blake2b
        return b"".join([of(item.fingerprint, digest_size=PRINT_BYTES, key=key).digest() for item in items])

    def salted(self, content: bytes) -> bytes:
        """Return a fingerprint as it is kept."""
        return blake2b(content, digest_size=PRINT_BYTES, key=self.salt or b"").digest()

    def entries(self, items: Sequence[Item]) -> str:
        """Return the positions and records of items as one JSON array; a record that JSON cannot hold is null."""
        if self.salt is not None:
            return _dumped([(item.position, None) for item in items])
        try:
            return _dumped([(item.position, _as_dict(item.raw)) for item in items])
        except (TypeError, ValueError, InvalidRecord):
            return "[" + ",".join([_entry(item) for item in items]) + "]"

    def text(self, text: str) -> str:
        """Return a text as it is kept: without e-mail addresses, or with masked ones."""
        return mask_emails(text) if self.salt is None else str(_without_addresses(text))

    def answer(self, result: Result[Any]) -> str:
        """Return what is to be remembered of a result besides its status and attempts."""
        kept = {
            "receipt": _plain(result.receipt),
            "error": _plain(result.error),
            "settled": result.settled,
            "doubtful": result.doubtful,
        }
        return _dumped(kept if self.salt is None else _without_addresses(kept))


def result_of(answer: str, status: int, attempts: int) -> Result[Any]:
    """Make the result again that an answer was kept of."""
    kept = orjson.loads(answer)
    return Result(
        receipt=revived(kept["receipt"]),
        error=revived(kept["error"]),
        attempts=attempts,
        settled=kept["settled"],
        doubtful=kept["doubtful"],
        known=STATUSES[status],
    )


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


def record_of(kept: Any) -> Any:
    """Make a record again: a model where one came in, else what JSON makes of it."""
    try:
        return revived(kept) if isinstance(kept, dict) and _CLASS in kept else kept
    except (ValueError, TypeError, ImportError):
        return kept


def _entry(item: Item) -> str:
    try:
        return _dumped((item.position, _as_dict(item.raw)))
    except (TypeError, ValueError, InvalidRecord):
        return _dumped((item.position, None))


def _as_dict(raw: Any) -> Any:
    return raw.fields() if isinstance(raw, Row) else raw


def _dumped(value: Any) -> str:
    return orjson.dumps(value, default=_plain, option=orjson.OPT_NON_STR_KEYS).decode()


def _plain(value: Any) -> Any:
    """Return an object of this package's as a mapping that names its class.

    Raises:
        TypeError: It is something else, which a journal cannot keep.
    """
    if value is None:
        return None
    cls = _known_class(value.__class__)
    if cls is not None:
        return {_CLASS: cls.__module__ + "." + cls.__qualname__} | {name: getattr(value, name) for name in _names(cls)}
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a journal cannot keep a {type(value).__name__}")


@lru_cache(maxsize=256)
def _known_class(cls: Any) -> Any:
    """Return the class itself where it is one of this package's, for errors also the nearest of its parents that is."""
    if not attrs.has(cls):
        return None
    if issubclass(cls, OmedaAsyncError):
        return next(one for one in cls.__mro__ if getattr(errors, one.__name__, None) is one)
    return cls if cls.__module__.startswith(_HOMES) else None


@lru_cache(maxsize=256)
def _names(cls: Any) -> tuple[str, ...]:
    return tuple(field.name for field in attrs.fields(cls))


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
        return _WORD.sub(lambda word: _HIDDEN if "@" in word[0] else word[0], value) if "@" in value else value
    if isinstance(value, dict):
        return {name: _without_addresses(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_addresses(one) for one in value]
    plain = _plain(value) if attrs.has(type(value)) else value
    return plain if plain is value else _without_addresses(plain)
