"""From what callers give to models, and from models to their wire names: strictly, and the same for all providers."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from types import NoneType
from typing import Any, Final, Generic, TypeVar, get_args, get_origin

import attrs
import cattrs
from cattrs.fns import identity
from cattrs.gen import make_dict_unstructure_fn, override
from cattrs.preconf.orjson import OrjsonConverter, make_converter as make_orjson_converter
from cattrs.v import format_exception

from omeda_async._masking import mask_emails
from omeda_async.errors import InvalidRecord
from omeda_async.providers._fields import check_key

M = TypeVar("M")

_NAMES: Final[Mapping[type, str]] = {str: "a string", int: "an integer", bool: "true or false"}
# orjson writes these as they are; a hook for each value would cost most of the time a record takes.
_AS_IT_IS: Final = (str, int, str | None, int | None, tuple[str, ...], tuple[int, ...])
_MAPPINGS: Final = (dict, Mapping)  # first what it mostly is: an abstract class takes long to ask
_PLAIN: Final = frozenset({str, int, datetime, NoneType})
"""Where a field is not for one of these, the request's checks refuse it in the converter's own words."""
_PATH: Final = re.compile(r"^(?P<reason>.*?) @ \$(?:\.(?P<field>\w+))?(?P<rest>.*)$", re.DOTALL)


def make_strict_converter(*, detailed: bool = True) -> OrjsonConverter:
    """Return a converter that coerces nothing: a string is a string, ``True`` is no 1, a list of ids is no string.

    Args:
        detailed: Whether it says where in a record a value is wrong; otherwise it only refuses it, in half the time.
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
    """Teach a converter the wire names of a model. Fields that are unset are left out.

    Args:
        converter: The converter.
        cls: The model.
        names: From the Python names of its fields to their wire names; the other fields are not sent.
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


class RecordReader(Generic[M]):
    """Makes models of one kind of what callers give for them.

    Args:
        converter: Says what is wrong with a mapping.
        cls: The model. Its first field is the id; the others are strings, dates and the caller's key.
        names: Every name that is understood in a mapping, and the Python name of the field it stands for.
    """

    def __init__(self, converter: OrjsonConverter, cls: type[M], names: Mapping[str, str]) -> None:
        self._converter = converter
        self._cls = cls
        self._make: Callable[..., M] = cls
        self._names = names
        fields = attrs.fields(cls)  # type: ignore[arg-type]  # M is one of our models
        self._id = fields[0].name
        self._dates = [field.name for field in fields if datetime in get_args(field.type)]

    def read(self, obj: Any, **defaults: Any) -> M:
        """Return the model for a record; what it holds is checked where its request is built.

        Args:
            obj: A model, an id, or a mapping.
            defaults: What fields hold that are unset in the record.

        Raises:
            InvalidRecord: A name in a mapping is unknown, missing or given twice, or a value has the wrong type.
        """
        if isinstance(obj, str):
            return self._make(obj, **defaults)
        if isinstance(obj, _MAPPINGS):
            usual = self._usual(obj, defaults)
            if usual is not None:
                return usual
            obj = structure_record(self._converter, self._cls, self._names, obj)
        if not isinstance(obj, self._cls):
            return self._make(obj, **defaults)
        unset = {field: value for field, value in defaults.items() if getattr(obj, field) is None}
        return attrs.evolve(obj, **unset) if unset else obj  # type: ignore[misc]  # M is one of our models

    def _usual(self, obj: Mapping[Any, Any], defaults: Mapping[str, Any]) -> M | None:
        """Return the model for a mapping of plain values; None where the converter has to look at it."""
        given: dict[str, Any] = {}
        for name, value in obj.items():
            field = self._names.get(name)
            if field is None or field in given or type(value) not in _PLAIN:
                return None
            given[field] = value
        try:
            for field in self._dates:
                if given.get(field) is not None:
                    given[field] = _moment(given[field], datetime)
        except (TypeError, ValueError):
            return None
        if self._id not in given:
            return None
        if given.get("key") is not None:
            check_key(given["key"])
        for field, value in defaults.items():
            if given.get(field) is None:
                given[field] = value
        return self._make(**given)


def structure_record(
    converter: OrjsonConverter, cls: type[M], names: Mapping[str, str], obj: Mapping[Any, Any], also: str = ""
) -> M:
    """Return the model for a mapping with Python names, wire names, or ``id``.

    Args:
        converter: Does it, strictly.
        cls: The model.
        names: Every name that is understood, and the Python name of the field it stands for.
        obj: What the caller gave.
        also: The fields to list where a name is unknown; by default those of the model.

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
