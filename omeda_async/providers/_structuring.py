"""From what callers give for records to models, strictly, and back to what goes out: the same for all providers."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from types import NoneType
from typing import Any, Final, Generic, TypeVar, get_args

import attrs

from omeda_async._masking import mask_emails
from omeda_async._row import mapping_of
from omeda_async.errors import InvalidRecord
from omeda_async.providers._fields import check_id, check_key, moment_of
from omeda_async.providers._models import to_id, to_plain

M = TypeVar("M")

_MAPPINGS: Final = (dict, Mapping)  # first what it mostly is: an abstract class takes long to ask
_PLAIN: Final = frozenset({str, int, datetime, NoneType})
"""Where a field is not for one of these, the checks of its request refuse it in the same words as ``_strict``."""


class RecordReader(Generic[M]):
    """Makes models of one kind of what callers give for them.

    Args:
        cls: The model. Its first field is the id; the others are strings, dates and the caller's key.
        names: Every name that is understood in a mapping, and the Python name of the field it stands for.
    """

    def __init__(self, cls: type[M], names: Mapping[str, str]) -> None:
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
            obj = structure_record(self._cls, self._names, obj, id_field=self._id)
        if not isinstance(obj, self._cls):
            row = mapping_of(obj)
            return self._make(obj, **defaults) if row is None else self.read(row, **defaults)
        unset = {field: value for field, value in defaults.items() if getattr(obj, field) is None}
        return attrs.evolve(obj, **unset) if unset else obj  # type: ignore[misc]  # M is one of our models

    def _usual(self, obj: Mapping[Any, Any], defaults: Mapping[str, Any]) -> M | None:
        """Return the model for a mapping of plain values; None where it has to be looked at more closely."""
        given: dict[str, Any] = {}
        for name, value in obj.items():
            field = self._names.get(name)
            if field is None or field in given or type(value) not in _PLAIN:
                return None
            given[field] = value
        try:
            for field in self._dates:
                if given.get(field) is not None:
                    given[field] = moment_of(given[field])
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
    cls: type[M], names: Mapping[str, str], obj: Mapping[Any, Any], also: str = "", *, id_field: str | None = None
) -> M:
    """Return the model for a mapping with Python names, wire names, or ``id``.

    Args:
        cls: The model.
        names: Every name that is understood, and the Python name of the field it stands for.
        obj: What the caller gave.
        also: The fields to list where a name is unknown; by default those of the model.
        id_field: The field that is an id, and may be an integer.

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
        given[field] = tuple(value) if isinstance(value, Iterator) else to_plain(value)  # it is read twice below
    key = given.pop("key", None)
    if key is not None:
        check_key(key)
    if id_field in given:
        given[id_field] = to_id(given[id_field])
        if not isinstance(given[id_field], str):
            check_id(id_field, given[id_field])  # which says most about what is no id
    from omeda_async.providers._strict import structure  # noqa: PLC0415 it takes long to load, and few records need it

    record = structure(cls, given)
    return record if key is None else attrs.evolve(record, key=key)  # type: ignore[misc]  # M is one of our models


def set_fields(record: Any, names: Mapping[str, str]) -> dict[str, Any]:
    """Return what is set in a record, under the wire names of its fields."""
    return {wire: value for field, wire in names.items() if (value := getattr(record, field)) is not None}
