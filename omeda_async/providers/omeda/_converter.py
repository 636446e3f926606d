"""The one converter between Omeda's models and its wire, and records from mappings."""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import attrs
import orjson
from cattrs.preconf.orjson import OrjsonConverter

from omeda_async._row import Form, Row
from omeda_async.errors import InvalidRecord
from omeda_async.providers._strict import make_strict_converter, register_wire_names
from omeda_async.providers._structuring import RecordReader, structure_record
from omeda_async.providers.omeda._dates import to_central
from omeda_async.providers.omeda._validation import check_opt_out, is_email
from omeda_async.providers.omeda.models import (
    BrandOptOut,
    ClientOptOut,
    Deployment,
    DeploymentCancel,
    DeploymentSearch,
    DeploymentTypeOptOut,
    DeploymentUpdate,
    OptOut,
    Tester,
)

LEVELS: Final[Mapping[str, type[OptOut]]] = MappingProxyType(
    {
        "ClientOptOut": ClientOptOut,
        "BrandOptOut": BrandOptOut,
        "DeploymentTypeOptOut": DeploymentTypeOptOut,
    }
)
"""The three levels, by the names the provider has for them."""

_LEVEL_OF: Final = {cls: level for level, cls in LEVELS.items()}
_LEVEL_WORDS: Final = {"client": ClientOptOut, "brand": BrandOptOut, "deploymenttype": DeploymentTypeOptOut}
_BEFORE: Final = b'{"EmailAddress":'
_KNOWN_KEPT: Final = 1000
_LOCAL: Final = frozenset({"key", "scheduled_for"})
_IRREGULAR: Final = {"brand_ids": "BrandId", "deployment_type_ids": "DeploymentTypeId"}
_IDS: Final = {"brand_ids": BrandOptOut, "deployment_type_ids": DeploymentTypeOptOut}


Entry: TypeAlias = tuple[str, bytes, str]
"""
An opt-out as it goes out, serialised once: its level (a key of ``LEVELS``), its JSON object, and its address.

A plain tuple: of all small things, the garbage collector lets these alone.
"""


def wire_names(cls: type) -> dict[str, str]:
    """Return the wire names of a model's fields by their Python names, without those that are not sent."""
    names = [field.name for field in attrs.fields(cls) if field.name not in _LOCAL]
    return {name: _IRREGULAR.get(name) or "".join(map(str.capitalize, name.split("_"))) for name in names}


def make_converter() -> OrjsonConverter:
    """Make the converter: wire names, nothing that is unset, flags as 0 or 1, dates in US Central."""
    converter = make_strict_converter()
    converter.register_unstructure_hook(bool, int)
    converter.register_unstructure_hook(datetime, to_central)
    for cls in (Tester, Deployment, DeploymentUpdate, DeploymentCancel, DeploymentSearch, *LEVELS.values()):
        register_wire_names(converter, cls, wire_names(cls))
    return converter


_converter = make_converter()
_UNSTRUCTURE: Final = {cls: _converter.get_unstructure_hook(cls) for cls in LEVELS.values()}


def to_wire(model: Any) -> dict[str, Any]:
    """Return a model that has been checked as the JSON object it is on the wire."""
    body: dict[str, Any] = _converter.unstructure(model)
    return body


def entry_of(record: OptOut) -> Entry:
    """Check an opt-out and serialise it.

    Raises:
        InvalidRecord: Says which field and what would be right.
    """
    check_opt_out(record)
    kind = type(record)
    # A copy: what orjson returns is cut from a larger piece of memory, which keeping it would pin (ten times slower).
    return _LEVEL_OF[kind], b"%b" % orjson.dumps(_UNSTRUCTURE[kind](record)), record.email_address


def record_of(entry: Entry) -> OptOut:
    """Make the opt-out again that an entry was made of, without the caller's key."""
    level, data, _ = entry
    return LEVELS[level](**{_FIELD_OF[name]: value for name, value in orjson.loads(data).items()})


class EntryReader:
    """Makes entries of records; what rows of a file have alike is read, checked and serialised once."""

    def __init__(self) -> None:
        self._form: Form | None = None
        self._known: dict[tuple[str, ...], tuple[str, bytes]] = {}

    def read(self, raw: Any) -> tuple[Entry, Any]:
        """Return the entry of a record, and the caller's key of it.

        Raises:
            InvalidRecord: It cannot be sent; says which field and what would be right.
        """
        rest = raw.source if isinstance(raw, Row) else None
        alike = self._known.get(rest) if isinstance(rest, tuple) and raw.form is self._form else None
        if alike is not None and is_email(raw.target):
            level, after = alike
            return (level, _BEFORE + orjson.dumps(raw.target) + after, raw.target), raw.key
        record = opt_out_from(raw)
        entry = entry_of(record)
        if isinstance(rest, tuple):
            self._remember(raw.form, rest, entry)
        return entry, raw.get("key") if isinstance(raw, dict) else record.key

    def _remember(self, form: Form, rest: tuple[str, ...], entry: Entry) -> None:
        if form is not self._form or len(self._known) >= _KNOWN_KEPT:
            self._form, self._known = form, {}
        level, data, address = entry
        self._known[rest] = level, data[len(_BEFORE) + len(orjson.dumps(address)) :]


def _understood(cls: type) -> dict[str, str]:
    wire = wire_names(cls)
    return {field.name: field.name for field in attrs.fields(cls)} | {name: field for field, name in wire.items()}


_CANCEL_NAMES: Final = {**_understood(DeploymentCancel), "id": "track_id"}
_OPT_OUT_NAMES: Final = {cls: {**_understood(cls), "email": "email_address"} for cls in LEVELS.values()}
_ANY_OPT_OUT_NAME: Final = {name: field for names in _OPT_OUT_NAMES.values() for name, field in names.items()}
_FIELDS: Final = {cls: frozenset(field.name for field in attrs.fields(cls)) for cls in LEVELS.values()}
_EVERY_FIELD: Final = ", ".join(sorted({*_ANY_OPT_OUT_NAME.values(), "level"}))
_REQUIRED: Final = {
    cls: frozenset(field.name for field in attrs.fields(cls) if field.default is attrs.NOTHING)
    for cls in LEVELS.values()
}
_FIELD_OF: Final = {name: field for cls in LEVELS.values() for field, name in wire_names(cls).items()}
_ID_NAMES: Final = {name: field for name, field in _ANY_OPT_OUT_NAME.items() if field in _IDS}
_PROMO_NAMES: Final = tuple(name for name, field in _ANY_OPT_OUT_NAME.items() if field == "promo_code")


cancel_from: Final = RecordReader(DeploymentCancel, _CANCEL_NAMES).read
"""Returns the ``DeploymentCancel`` for a track id, a ``DeploymentCancel``, or a mapping.

A mapping has Python or wire names, or ``id``.
"""


def opt_out_from(obj: Any) -> OptOut:
    """Make an opt-out of what a caller gives for one; ``entry_of`` checks what it holds.

    Args:
        obj: An opt-out, or a mapping with Python or wire names. Its level is ``level`` where that is given,
            else it follows from the ids: brands, deployment types, or neither for the whole client. A single
            field for ids with nothing in it is refused.

    Raises:
        InvalidRecord: Says which field and what would be right.
    """
    if isinstance(obj, ClientOptOut | BrandOptOut | DeploymentTypeOptOut):
        return obj
    if not isinstance(obj, Mapping):
        raise InvalidRecord.of(None, f"must be an opt-out or a mapping of its fields, not {type(obj).__name__}")
    fields = dict(obj.items())
    level = fields.pop("level", None)
    kind = _level_of_fields(fields) if level is None else _level_named(level)
    names = _OPT_OUT_NAMES[kind]
    # A field of another level is none of this one's: with nothing in it, it says nothing.
    foreign = [name for name in fields if name not in names and name in _ANY_OPT_OUT_NAME]
    for name in foreign:
        if fields.pop(name) is not None:
            raise InvalidRecord.of(_ANY_OPT_OUT_NAME[name], f"is no field of a {_LEVEL_OF[kind]}")
    if level is not None:
        _check_ids_of_level(kind, fields)
    if _REQUIRED[kind] <= fields.keys() <= _FIELDS[kind]:
        return kind(**fields)  # by the fields' own names; entry_of checks what they hold
    # The level follows from the ids: of whoever has mistaken the name of one it would not be the level that was meant.
    known = _EVERY_FIELD if level is None else ""
    return structure_record(kind, names, fields, known)


def _level_of_fields(fields: Mapping[Any, Any]) -> type[OptOut]:
    present = {_ID_NAMES[name]: value for name, value in fields.items() if name in _ID_NAMES}
    given = [field for field, value in present.items() if value is not None]
    if len(given) == 2:
        raise InvalidRecord.of("deployment_type_ids", "is given together with brand_ids: make it two records")
    if given:
        return _IDS[given[0]]
    # An opt-out of the whole client cannot be taken back: one empty field for ids may be a slip.
    if len(present) == 1:
        raise InvalidRecord.of(
            next(iter(present)), "is empty: give an id, or say in a field named level that none is meant"
        )
    promoted = any(fields.get(name) is not None for name in _PROMO_NAMES)
    return DeploymentTypeOptOut if promoted else ClientOptOut


def _check_ids_of_level(kind: type[OptOut], fields: Mapping[Any, Any]) -> None:
    for needed, owner in _IDS.items():
        given = any(field == needed and fields.get(name) is not None for name, field in _ID_NAMES.items())
        if owner is kind and not given:
            level = needed.removesuffix("_ids")
            raise InvalidRecord.of(needed, f"is missing or empty: an opt-out of the level {level} needs it")


def _level_named(level: Any) -> type[OptOut]:
    word = level.casefold().replace("_", "").replace(" ", "").removesuffix("optout") if isinstance(level, str) else ""
    if word not in _LEVEL_WORDS:
        raise InvalidRecord.of("level", "must be client, brand or deployment_type")
    return _LEVEL_WORDS[word]
