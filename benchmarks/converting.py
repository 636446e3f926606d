"""Turning 100,000 opt-outs into JSON bytes: what the library does beside other ways to do it."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import attrs
import msgspec
import orjson
from cattrs.gen import make_dict_unstructure_fn, override
from cattrs.preconf.msgspec import make_converter as make_msgspec_converter
from cattrs.preconf.orjson import make_converter as make_orjson_converter

from benchmarks import _harness
from benchmarks._harness import Failed, Measured, metered
from omeda_async.providers.omeda._converter import entry_of, wire_names
from omeda_async.providers.omeda._validation import check_opt_out
from omeda_async.providers.omeda.models import BrandOptOut, ClientOptOut, DeploymentTypeOptOut, OptOut

RECORDS = 100_000
MODELS = (ClientOptOut, BrandOptOut, DeploymentTypeOptOut)
Dump = Callable[[OptOut], bytes]


def records(count: int) -> list[OptOut]:
    """Make opt-outs of the three levels in turn."""
    made: list[OptOut] = []
    for number in range(count):
        address = f"reader{number}@example.com"
        if number % 3 == 0:
            made.append(ClientOptOut(address, source="Company STU"))
        elif number % 3 == 1:
            made.append(BrandOptOut(address, brand_ids=("FOO",), source="Company STU"))
        else:
            made.append(DeploymentTypeOptOut(address, deployment_type_ids=(4194, 4804), source="Company STU"))
    return made


def _with(converter: Any, dumps: Callable[[Any], bytes], *, strict: bool) -> Dump:
    for cls in MODELS:
        names = wire_names(cls)
        renamed: dict[str, Any] = {
            field.name: override(rename=names[field.name], omit_if_default=field.default is None)
            if field.name in names
            else override(omit=True)
            for field in attrs.fields(cls)
        }
        converter.register_unstructure_hook(cls, make_dict_unstructure_fn(cls, converter, **renamed))

    def dump(record: OptOut) -> bytes:
        if strict:
            check_opt_out(record)
        return dumps(converter.unstructure(record))

    return dump


def _plain(record: OptOut) -> bytes:
    body: dict[str, Any] = {"EmailAddress": record.email_address}
    if isinstance(record, BrandOptOut):
        body["BrandId"] = record.brand_ids
    elif isinstance(record, DeploymentTypeOptOut):
        body["DeploymentTypeId"] = record.deployment_type_ids
    if record.source is not None:
        body["Source"] = record.source
    return orjson.dumps(body)


def _plain_strict(record: OptOut) -> bytes:
    check_opt_out(record)
    return _plain(record)


WAYS: dict[str, Callable[[], Dump]] = {
    "omeda_async": lambda: lambda record: entry_of(record)[1],
    "cattrs, orjson preconf, the same checks": lambda: _with(make_orjson_converter(), orjson.dumps, strict=True),
    "cattrs, msgspec preconf, the same checks": lambda: _with(
        make_msgspec_converter(), msgspec.json.encode, strict=True
    ),
    "plain dicts + orjson, the same checks": lambda: _plain_strict,
    "cattrs, orjson preconf, unchecked": lambda: _with(make_orjson_converter(), orjson.dumps, strict=False),
    "plain dicts + orjson, unchecked": lambda: _plain,
}
STRICT = [way for way in WAYS if not way.endswith("unchecked")]


def measure(way: str, count: int) -> Measured:
    """Convert in one way; in a process of its own."""
    made, dump = records(count), WAYS[way]()
    _harness.check("the same JSON", *([orjson.loads(one(record)) for record in made[:3]] for one in (dump, _plain)))
    with metered() as used:
        size = sum(len(dump(record)) for record in made)
    return {"cpu": used.cpu, "size": size}


def compare(count: int, rounds: int, ways: Iterable[str] = tuple(WAYS)) -> dict[str, list[Measured]]:
    """Compare the ways in turns."""
    runs = {way: partial(_harness.child, measure, way=way, count=count) for way in ways}
    results = _harness.in_turns(runs, rounds)
    _harness.check("bytes", len({one["size"] for ran in results.values() for one in ran}), 1)
    return results


def _to_fastest(results: dict[str, list[Measured]]) -> tuple[str, float]:
    fastest = min(STRICT, key=lambda way: _harness.median(results[way], "cpu"))
    return fastest, _harness.ratio(results, "omeda_async", fastest)


def report() -> str:
    """Measure in full, and write the section."""
    results = compare(RECORDS, 7)
    fastest, _ = _to_fastest(results)
    rows = [
        [
            way,
            f"{1e6 * _harness.median(results[way], 'cpu') / RECORDS:.2f} µs",
            f"{_harness.ratio(results, way, fastest):.2f} x",
        ]
        for way in WAYS
    ]
    head = ("way", "CPU per opt-out", "to the fastest strict")
    return f"""### Converting

{RECORDS:,} opt-outs of the three levels to JSON bytes, checked as the library checks them or not at all.
Target: ≤ 1.5 x the fastest that keeps the checks.

{_harness.table(head, rows)}"""


def gate() -> None:
    """Fail where noise can no longer be the reason.

    Raises:
        Failed: Converting costs far more than it should.
    """
    fastest, times = _to_fastest(compare(20_000, 2, STRICT))
    print(f"converting: {times:.2f} x {fastest}")
    if times > 3:
        raise Failed(f"converting takes {times:.2f} x the CPU of {fastest}")
