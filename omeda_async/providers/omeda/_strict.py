"""Strict conversion of models with cattrs, which takes long to load: the other providers do without."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, TypeVar, get_args, get_origin

import attrs
import cattrs
from cattrs.fns import identity
from cattrs.gen import make_dict_unstructure_fn, override
from cattrs.preconf.orjson import OrjsonConverter, make_converter as make_orjson_converter
from cattrs.v import format_exception

from omeda_async.errors import InvalidRecord
from omeda_async.providers._fields import check_key, type_reason
from omeda_async.providers._structuring import by_field

M = TypeVar("M")

_NAMES: Final[Mapping[type, str]] = {str: "a string", int: "an integer", bool: "true or false"}
# orjson writes these as they are; a hook for each value would cost most of the time a record takes.
_AS_IT_IS: Final = (str, int, str | None, int | None, tuple[str, ...], tuple[int, ...])
_PATH: Final = re.compile(r"^(?P<reason>.*?) @ \$(?:\.(?P<field>\w+))?(?P<rest>.*)$", re.DOTALL)


def make_strict_converter() -> OrjsonConverter:
    """Return a converter that coerces nothing: a string is a string, ``True`` is no 1, a list of ids is no string."""
    converter = make_orjson_converter(forbid_extra_keys=True)
    for exact in (str, int, bool):
        converter.register_structure_hook(exact, _only_itself)
    converter.register_structure_hook_func(_is_tuple, _exact_tuple)
    return converter


def _is_tuple(kind: Any) -> bool:
    return get_origin(kind) is tuple


def _only_itself(value: object, kind: type[M]) -> M:
    if type(value) is not kind:
        raise TypeError(type_reason(value, _NAMES[kind]))
    return value


def _exact_tuple(value: object, kind: Any) -> tuple[Any, ...]:
    wanted = get_args(kind)[0]
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise TypeError(type_reason(value, "a list of ids"))
    return tuple(_only_itself(item, wanted) for item in value)


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


def structure_record(
    converter: OrjsonConverter, cls: type[M], names: Mapping[str, str], obj: Mapping[Any, Any], known: str = ""
) -> M:
    """Return the model for a mapping with Python names or wire names.

    Args:
        converter: The converter.
        cls: The model.
        names: Every name that is understood, and the field it stands for.
        obj: What the caller gave.
        known: The fields to list where a name is unknown; by default those of the model.

    Raises:
        InvalidRecord: A name is unknown, missing or given twice, or a value has the wrong type.
    """
    given = by_field(obj, names, known)
    given = {field: tuple(value) if isinstance(value, Iterator) else value for field, value in given.items()}
    key = given.pop("key", None)
    if key is not None:
        check_key(key)
    try:
        return attrs.evolve(converter.structure(given, cls), key=key)  # type: ignore[misc]  # M is one of our models
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
        return "is missing or empty: give it a value"
    return str(problem) if isinstance(problem, TypeError | ValueError) else format_exception(problem, kind)
