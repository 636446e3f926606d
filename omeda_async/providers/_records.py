"""What checking and converting a record has in common for all providers."""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final, TypeVar, get_args, get_origin
from urllib.parse import quote

import attrs
import cattrs
from cattrs.fns import identity
from cattrs.gen import make_dict_unstructure_fn, override
from cattrs.preconf.orjson import OrjsonConverter, make_converter as make_orjson_converter
from cattrs.v import format_exception

from omeda_async._masking import mask_emails
from omeda_async.errors import InvalidRecord

M = TypeVar("M")

_NAMES: Final[Mapping[type, str]] = {str: "a string", int: "an integer", bool: "true or false"}

# orjson writes these as they are; a hook for each value would cost most of the time a record takes.
_AS_IT_IS: Final = (str, int, str | None, int | None, tuple[str, ...], tuple[int, ...])
_UNSENDABLE: Final = re.compile(r"[\ud800-\udfff]")
_NO_ID: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_PATH: Final = re.compile(r"^(?P<reason>.*?) @ \$(?:\.(?P<field>\w+))?(?P<rest>.*)$", re.DOTALL)


def check_text(field: str, value: object, longest: int | None = None) -> None:
    """Refuse what is no text that can be sent.

    Raises:
        InvalidRecord: It is no string, is longer than ``longest`` characters, or holds half a surrogate pair.
    """
    if not isinstance(value, str):
        raise InvalidRecord.of(field, f"must be a string, not {type(value).__name__}")
    if not value.isascii() and _UNSENDABLE.search(value):
        raise InvalidRecord.of(field, "holds half a surrogate pair, which no JSON can carry: remove it")
    if longest is not None and len(value) > longest:
        raise InvalidRecord.of(field, f"has {len(value)} characters: at most {longest} are allowed")


def check_key(value: object) -> None:
    """Refuse what is no key of a caller's: a text or an integer, as a database has for one; it is never sent.

    Raises:
        InvalidRecord: It is something else.
    """
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise InvalidRecord.of("key", f"must be a string or an integer, not {type(value).__name__}")
    if isinstance(value, str):
        check_text("key", value)


def check_id(field: str, value: object, longest: int | None = None) -> None:
    """Refuse what is no id: an empty string, control characters, or no text at all.

    Raises:
        InvalidRecord: Says what is wrong with it.
    """
    if longest is None and isinstance(value, str) and value.isprintable() and value.strip():
        return  # what is printable holds nothing of what is looked for below
    check_text(field, value, longest)
    if not isinstance(value, str) or not value.strip():
        raise InvalidRecord.of(field, "is empty: give the id")
    if _NO_ID.search(value):
        raise InvalidRecord.of(field, "holds a control character such as a line break: remove it")


def check_moment(field: str, value: object) -> None:
    """Refuse what is no moment: a datetime without its offset from UTC, or no datetime at all.

    Raises:
        InvalidRecord: Says what would be right.
    """
    if not isinstance(value, datetime):
        raise InvalidRecord.of(field, f"must be a datetime, not {type(value).__name__}")
    if value.utcoffset() is None:
        raise InvalidRecord.of(field, "has no time zone: give an aware datetime, such as datetime(…, tzinfo=UTC)")


def path_segment(field: str, value: str) -> str:
    """Percent-encode an id as one segment of a path.

    Raises:
        InvalidRecord: No path can hold it.
    """
    check_id(field, value)
    if value in {".", ".."}:
        raise InvalidRecord.of(field, f"is {value!r}, which a path takes for a direction: give the id")
    return quote(value, safe="")


def query_value(value: str) -> str:
    """Percent-encode a text as the value of a query parameter; commas and colons, which mean something, stay."""
    return quote(value, safe=",:")


def make_strict_converter(*, detailed: bool = True) -> OrjsonConverter:
    """Make a converter that coerces nothing: a string is a string, ``True`` is no 1, a list of ids is no string.

    Args:
        detailed: Tell where in a record a value is wrong; without, it is only refused, in half the time.
    """
    converter = make_orjson_converter(forbid_extra_keys=True, detailed_validation=detailed)
    for exact in (str, int, bool):
        converter.register_structure_hook(exact, _only_itself)
    converter.register_structure_hook_func(_is_tuple, _exact_tuple)
    converter.register_structure_hook(datetime, _moment)
    return converter


def _is_tuple(kind: Any) -> bool:
    return get_origin(kind) is tuple


def _only_itself(value: object, kind: type[M]) -> M:
    if type(value) is not kind:
        raise TypeError(f"must be {_NAMES[kind]}, not {type(value).__name__}")
    return value


def _exact_tuple(value: object, kind: Any) -> tuple[Any, ...]:
    wanted = get_args(kind)[0]
    if isinstance(value, tuple | list):  # first what it mostly is: an abstract class takes long to ask
        return tuple(_only_itself(item, wanted) for item in value)
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise TypeError(f"must be a list of ids, not {type(value).__name__}")
    return tuple(_only_itself(item, wanted) for item in value)


def _moment(value: object, _: Any) -> datetime:
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str):
        raise TypeError(f"must be a datetime or an ISO 8601 string, not {type(value).__name__}")
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        raise ValueError(f"is {value!r}: give ISO 8601, such as 2026-02-28T13:45:00-06:00") from None


_QUICK: Final = make_strict_converter(detailed=False)


def register_wire_names(converter: OrjsonConverter, cls: type, names: Mapping[str, str]) -> None:
    """Teach a converter a model: its wire names, what is left out when unset, and what never goes out.

    Args:
        converter: Learns it.
        cls: The model.
        names: From the fields' Python names to their wire names; the other fields are not sent.
    """
    renamed: dict[str, Any] = {}
    for field in attrs.fields(cls):
        if field.name in names:
            unset = field.default is None or field.default == ()
            hook = identity if field.type in _AS_IT_IS else None
            renamed[field.name] = override(rename=names[field.name], omit_if_default=unset, unstruct_hook=hook)
        else:
            renamed[field.name] = override(omit=True)
    converter.register_unstructure_hook(cls, make_dict_unstructure_fn(cls, converter, **renamed))


def structure_record(
    converter: OrjsonConverter, cls: type[M], names: Mapping[str, str], obj: Mapping[Any, Any], also: str = ""
) -> M:
    """Make a model from a mapping with Python names, wire names, or ``id``.

    Args:
        converter: Does it, strictly.
        cls: The model.
        names: Every name that is understood, and the Python name of the field it stands for.
        obj: What the caller gave.
        also: The fields to name where a name is unknown; by default those of the model.

    Raises:
        InvalidRecord: A name is unknown, missing or given twice, or a value has the wrong type.
    """
    given: dict[str, Any] = {}
    for name, value in obj.items():
        field = names.get(name) if isinstance(name, str) else None
        if field is None:
            known = also or ", ".join(sorted(set(names.values())))
            raise InvalidRecord.of(mask_emails(str(name))[:80], f"is no field of a record; known are {known}")
        if field in given:
            raise InvalidRecord.of(field, "is given twice, under two names")
        given[field] = tuple(value) if isinstance(value, Iterator) else value  # it is read twice below
    key = given.pop("key", None)
    if key is not None:
        check_key(key)
    try:
        record = _QUICK.structure(given, cls)
    except Exception:  # noqa: BLE001 whatever it was, the detailed converter tells where
        record = _structured(converter, cls, given)
    return record if key is None else attrs.evolve(record, key=key)  # type: ignore[misc]  # M is one of our models


def _structured(converter: OrjsonConverter, cls: type[M], given: dict[str, Any]) -> M:
    try:
        return converter.structure(given, cls)
    except (cattrs.BaseValidationError, TypeError, ValueError) as problem:
        raise _invalid(problem) from problem


def _invalid(problem: Exception) -> InvalidRecord:
    first = cattrs.transform_error(problem, format_exception=_explain)[0]
    found = _PATH.match(first)
    if found is None:
        return InvalidRecord.of(None, first)
    return InvalidRecord.of(found["field"], found["reason"] + (f" (at {found['rest']})" if found["rest"] else ""))


def _explain(problem: BaseException, kind: type | None) -> str:
    if isinstance(problem, KeyError):
        return "is required"
    return str(problem) if isinstance(problem, TypeError | ValueError) else format_exception(problem, kind)
