"""From what callers give for records to models, strictly, and back to what goes out: the same for all providers."""

from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType, NoneType
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


class RecordReader(Generic[M]):
    """Makes models of one kind of what callers give for them.

    Args:
        cls: The model. Its first field is the id; the others are strings, dates and the caller's key.
        wire_names: What is understood in a mapping besides the names of its fields and ``id``, and the field that each
            name stands for.
    """

    def __init__(self, cls: type[M], wire_names: Mapping[str, str] = MappingProxyType({})) -> None:
        self._cls = cls
        self._make: Callable[..., M] = cls
        fields = attrs.fields(cls)  # type: ignore[arg-type]  # M is one of our models
        self._id = fields[0].name
        self._names = {field.name: field.name for field in fields} | {"id": self._id, **wire_names}
        self._dates = [field.name for field in fields if datetime in get_args(field.type)]

    def read(self, obj: Any, **defaults: Any) -> M:
        """Return the model for a record; what it holds is checked where its request is built.

        Args:
            obj: A model, an id, or a mapping.
            defaults: What fields hold that are unset in the record.

        Raises:
            InvalidRecord: A name in a mapping is unknown, missing or given twice, or a key or a date is none.
        """
        if isinstance(obj, str):
            return self._make(obj, **defaults)
        if isinstance(obj, _MAPPINGS):
            return self._of_mapping(obj, defaults)
        if not isinstance(obj, self._cls):
            row = mapping_of(obj)
            return self._make(obj, **defaults) if row is None else self.read(row, **defaults)
        unset = {field: value for field, value in defaults.items() if getattr(obj, field) is None}
        return attrs.evolve(obj, **unset) if unset else obj  # type: ignore[misc]  # M is one of our models

    def _of_mapping(self, obj: Mapping[Any, Any], defaults: Mapping[str, Any]) -> M:
        given = by_field(obj, self._names)
        if self._id not in given:
            raise InvalidRecord.of(self._id, "is missing or empty: give it a value")
        if type(given[self._id]) is not str:
            check_id(self._id, to_id(given[self._id]))  # which says most about what is no id
        if given.get("key") is not None:
            check_key(given["key"])
        for field in self._dates:
            if given.get(field) is not None:
                try:
                    given[field] = moment_of(given[field])
                except (TypeError, ValueError) as error:
                    raise InvalidRecord.of(field, str(error)) from error
        for field, value in defaults.items():
            if given.get(field) is None:
                given[field] = value
        return self._make(**given)


def by_field(obj: Mapping[Any, Any], names: Mapping[str, str], known: str = "") -> dict[str, Any]:
    """Return what a mapping holds by the Python names of the fields, in Python's own types.

    Args:
        obj: What the caller gave.
        names: Every name that is understood, and the field it stands for.
        known: The fields to list where a name is none of these; by default all that they stand for.

    Raises:
        InvalidRecord: A name is unknown, or stands for the same field as another.
    """
    given: dict[str, Any] = {}
    for name, value in obj.items():
        field = names.get(name) if isinstance(name, str) else None
        if field is None:
            known = known or ", ".join(sorted(set(names.values())))
            raise InvalidRecord.of(mask_emails(str(name))[:80], f"is no field of a record; known are {known}")
        if field in given:
            raise InvalidRecord.of(field, "is given twice, under two names")
        given[field] = value if type(value) in _PLAIN else to_plain(value)
    return given


def set_fields(record: Any, names: Mapping[str, str]) -> dict[str, Any]:
    """Return what is set in a record, under the wire names of its fields."""
    return {wire: value for field, wire in names.items() if (value := getattr(record, field)) is not None}
