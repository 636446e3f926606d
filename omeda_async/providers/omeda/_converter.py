"""The one converter between Omeda's models and its wire, and records from mappings."""

from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import attrs
import orjson
from cattrs.preconf.orjson import OrjsonConverter

from omeda_async._empty import EMPTY, is_empty
from omeda_async._ids import is_plain_id
from omeda_async._levels import IDS, NO_IDS, level_of
from omeda_async._row import Row, mapping_of
from omeda_async.errors import InvalidRecord
from omeda_async.providers._fields import (
    LONGEST_SHOWN,
    check_id,
    check_integer,
    check_key,
    check_string,
    type_reason,
)
from omeda_async.providers._models import to_plain, to_tuple
from omeda_async.providers._structuring import RecordReader
from omeda_async.providers.omeda._addresses import Addresses, check_address, is_plain_address
from omeda_async.providers.omeda._dates import to_central
from omeda_async.providers.omeda._strict import make_strict_converter, register_wire_names, structure_record
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

_KINDS: Final = {"client": ClientOptOut, "brand": BrandOptOut, "deployment_type": DeploymentTypeOptOut}
_LOCAL: Final = frozenset({"key", "scheduled_for"})
_IRREGULAR: Final = {"brand_ids": "BrandId", "deployment_type_ids": "DeploymentTypeId"}

Entry: TypeAlias = tuple[str, bytes, str]
"""
An opt-out as it goes out, serialised once: its level (a key of ``LEVELS``), its JSON object, and its address.

A plain tuple of texts and bytes, which the garbage collector soon stops looking at.
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


def to_wire(model: Any) -> dict[str, Any]:
    """Return a model that has been checked as the JSON object it is on the wire."""
    body: dict[str, Any] = _converter.unstructure(model)
    return body


def entry_of(record: OptOut, addresses: Addresses = Addresses.REAL) -> Entry:
    """Check an opt-out and serialise it.

    Args:
        record: The opt-out.
        addresses: Which addresses it may be of.

    Raises:
        InvalidRecord: Says which field and what would be right.
    """
    values_of = _MODELS.get(type(record), _no_model)
    return _entry(addresses, None, *values_of(record))


def record_of(entry: Entry) -> OptOut:
    """Return the opt-out that an entry was made of, without the caller's key."""
    level, data, _ = entry
    return LEVELS[level](**{_FIELD_OF[name]: value for name, value in orjson.loads(data).items()})


def read_opt_out(raw: Any, addresses: Addresses = Addresses.REAL) -> tuple[Entry, Any]:
    """Return the entry of what a caller gives for an opt-out (see ``opt_out_from``), and the caller's key of it.

    Args:
        raw: What the caller gives.
        addresses: Which addresses it may be of.

    Raises:
        InvalidRecord: It cannot be sent; says which field and what would be right.
    """
    fields = raw.record if type(raw) is Row else raw
    if type(fields) is dict:
        try:
            return _entry(addresses, fields, **fields), fields.get("key")
        except TypeError:  # it has other names, no address, or ids of another level
            pass
    record = opt_out_from(raw)
    return entry_of(record, addresses), record.key


def _entry(  # noqa: PLR0917 a record's fields
    addresses: Addresses,
    fields: dict[str, Any] | None,
    /,
    email_address: Any,
    source: Any = None,
    key: Any = None,
    brand_ids: Any = None,
    deployment_type_ids: Any = None,
    promo_code: Any = None,
    level: Any = None,
) -> Entry:
    """Check what an opt-out holds, and serialise it. Its level follows from ``fields``; without these it is ``level``.

    Raises:
        InvalidRecord: It cannot be sent.
        TypeError: It does not hold what its level takes, or more than that.
    """
    if fields is not None:
        level = level_of(fields)
        if (
            (brand_ids is not None) != (level == "brand")
            or (deployment_type_ids is not None) != (level == "deployment_type")
            or (promo_code is not None and level != "deployment_type")
        ):
            raise TypeError(level)
    if not (type(email_address) is str and is_plain_address(email_address)):
        check_address("email_address", email_address, addresses)
    body = {_ADDRESS: email_address}
    if source is not None and not (type(source) is str and source.isascii()):
        check_string("source", source)
    if key is not None:
        check_key(key)
    if level == "brand":
        body[_BRANDS] = _checked_brand_ids(brand_ids)
    elif level == "deployment_type":
        body[_TYPES] = _checked_type_ids(deployment_type_ids)
    if source is not None:
        body[_SOURCE] = source
    if promo_code is not None:
        check_string("promo_code", promo_code)
        body[_PROMO] = promo_code
    # A copy: what orjson returns is cut from a larger piece of memory, which keeping it would pin (ten times slower).
    return _NAMES[level], b"%b" % orjson.dumps(body), email_address


def _checked_brand_ids(ids: Any) -> tuple[str, ...]:
    checked = ids if type(ids) is tuple and ids else _some_ids("brand_ids", ids)
    for one in checked:
        if type(one) is not str or not is_plain_id(one):
            return _plain_ids("brand_ids", checked, check_id)
    return checked


def _checked_type_ids(ids: Any) -> tuple[int, ...]:
    checked = ids if type(ids) is tuple and ids else _some_ids("deployment_type_ids", ids)
    for one in checked:
        if type(one) is not int or not -(2**63) <= one < 2**63:
            return _plain_ids("deployment_type_ids", checked, check_integer)
    return checked


def _plain_ids(field: str, ids: tuple[Any, ...], check: Callable[[str, object], None]) -> tuple[Any, ...]:
    """Check ids one by one, and return them as Python's own."""
    plain = tuple(map(to_plain, ids))
    for one in plain:
        if is_empty(one):
            raise InvalidRecord.of(field, f"{EMPTY}: give the id")
        check(field, one)
    return plain


def _some_ids(field: str, ids: Any) -> tuple[Any, ...]:
    made = tuple(ids) if type(ids) is list else to_tuple(ids)
    if not isinstance(made, tuple):
        if ids is None:  # only a model can hold it: a mapping without ids is of another level
            raise InvalidRecord.of(field, "is None: give at least one id; the whole client takes a ClientOptOut")
        if is_empty(ids):
            raise InvalidRecord.of(field, f"{EMPTY}: give an id; {NO_IDS.format('None here and ')}")
        raise InvalidRecord.of(field, f"must be a list of ids, not {type(ids).__name__}{_as_list(to_plain(ids))}")
    if not made:
        raise InvalidRecord.of(field, "is empty: give at least one id")
    return made


def _as_list(given: object) -> str:
    is_id = isinstance(given, str) and len(given) <= LONGEST_SHOWN
    return f": write [{given!r}]" if is_id or (isinstance(given, int) and abs(given) < 2**63) else ""


def _no_model(record: Any) -> tuple[Any, ...]:
    raise InvalidRecord.of(None, _no_opt_out(record, "an opt-out"))


def _no_opt_out(given: Any, wanted: str) -> str:
    if is_empty(given):
        return f"{EMPTY}: give {wanted}"
    if isinstance(given, str):
        return (
            "is a plain string, which does not say how far an opt-out of it reaches: write ClientOptOut(address), "
            "BrandOptOut(address, brand_ids=[…]) or DeploymentTypeOptOut(address, deployment_type_ids=[…])"
        )
    if isinstance(given, list):
        return f"must be {wanted}, not list: give them one by one, submit(*records), or all to submit_many(records)"
    if isinstance(given, Mapping):
        return (
            f"must be {wanted}, not {type(given).__name__}: write ClientOptOut(…), BrandOptOut(…) or "
            "DeploymentTypeOptOut(…); submit_many(records) takes mappings"
        )
    return type_reason(given, wanted)


_MODELS: Final[Mapping[type, Callable[[Any], tuple[Any, ...]]]] = {
    ClientOptOut: lambda one: (one.email_address, one.source, one.key, None, None, None, "client"),
    BrandOptOut: lambda one: (one.email_address, one.source, one.key, one.brand_ids, None, None, "brand"),
    DeploymentTypeOptOut: lambda one: (
        *(one.email_address, one.source, one.key, None, one.deployment_type_ids, one.promo_code),
        "deployment_type",
    ),
}
"""What a model holds, in the order of ``_entry``."""
_NAMES: Final = {"client": "ClientOptOut", "brand": "BrandOptOut", "deployment_type": "DeploymentTypeOptOut"}


def _understood(cls: type) -> dict[str, str]:
    wire = wire_names(cls)
    return {field.name: field.name for field in attrs.fields(cls)} | {name: field for field, name in wire.items()}


_CANCEL_NAMES: Final = {**_understood(DeploymentCancel), "id": "track_id"}
_OPT_OUT_NAMES: Final = {cls: {**_understood(cls), "email": "email_address"} for cls in LEVELS.values()}
_ANY_OPT_OUT_NAME: Final = {name: field for names in _OPT_OUT_NAMES.values() for name, field in names.items()}
_EVERY_FIELD: Final = ", ".join(sorted({*_ANY_OPT_OUT_NAME.values(), "level"}))
_FIELDS: Final = {cls: frozenset(field.name for field in attrs.fields(cls)) for cls in LEVELS.values()}
_REQUIRED: Final = {
    cls: frozenset(field.name for field in attrs.fields(cls) if field.default is attrs.NOTHING)
    for cls in LEVELS.values()
}
_WIRE: Final = {field: name for cls in LEVELS.values() for field, name in wire_names(cls).items()}
_ADDRESS, _BRANDS, _TYPES, _SOURCE, _PROMO = map(
    _WIRE.__getitem__, ("email_address", "brand_ids", "deployment_type_ids", "source", "promo_code")
)
_FIELD_OF: Final = {name: field for field, name in _WIRE.items()}


cancel_from: Final = RecordReader(DeploymentCancel, _CANCEL_NAMES).read
"""Returns the ``DeploymentCancel`` for a track id, a ``DeploymentCancel``, or a mapping.

A mapping has Python or wire names, or ``id``.
"""


def opt_out_from(obj: Any) -> OptOut:
    """Return the opt-out that a caller gives; ``entry_of`` checks what it holds.

    Args:
        obj: An opt-out, or a mapping with Python or wire names. Its level is ``level`` where that is given,
            else it follows from the ids: brands, deployment types, or neither for the whole client. A single
            field for ids with nothing in it is refused.

    Raises:
        InvalidRecord: Says which field and what would be right.
    """
    if isinstance(obj, ClientOptOut | BrandOptOut | DeploymentTypeOptOut):
        return obj
    held = obj if isinstance(obj, Mapping) else mapping_of(obj)
    if held is None:
        raise InvalidRecord.of(None, _no_opt_out(obj, "an opt-out or a mapping of its fields"))
    fields = dict(held.items())
    named = fields.get("level") is not None
    level = level_of({_ANY_OPT_OUT_NAME.get(name, name): value for name, value in fields.items()})
    fields.pop("level", None)
    kind = _KINDS[level]
    names = _OPT_OUT_NAMES[kind]
    # A field of another level may be there with None in it: that says nothing.
    foreign = [name for name in fields if name not in names and name in _ANY_OPT_OUT_NAME]
    for name in foreign:
        if (value := fields.pop(name)) is not None:
            reason = f"{EMPTY}: give None" if is_empty(value) else f"is no field of a {kind.__name__}: leave it out"
            raise InvalidRecord.of(_ANY_OPT_OUT_NAME[name], reason)
    ids = IDS.get(level)
    if named and ids and all(fields.get(name) is None for name, field in names.items() if field == ids):
        raise InvalidRecord.of(ids, f"is missing or empty: an opt-out of the level {level} needs it: give it")
    if _REQUIRED[kind] <= fields.keys() <= _FIELDS[kind]:
        record: OptOut = kind(**fields)  # by the fields' own names; entry_of checks what they hold
        return record
    # Where the level follows from the ids, a wrong name may have led to another level: the error lists all fields then.
    return structure_record(_converter, kind, names, fields, "" if named else _EVERY_FIELD)
