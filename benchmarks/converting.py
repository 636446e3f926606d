"""Turning opt-outs into requests: ``opt_outs.submit`` of 500 models, beside other ways to make the same body."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Any, TypeAlias

import aiohttp
import attrs
import orjson
from cattrs.gen import make_dict_unstructure_fn, override
from cattrs.preconf.orjson import make_converter as make_orjson_converter

from benchmarks import _harness
from benchmarks._harness import Measured, metered
from benchmarks._inputs import LEVELS
from benchmarks._server import arrived
from benchmarks.bulk import APP_ID, ENTRIES, PATH, manager_at
from omeda_async import BrandOptOut, ClientOptOut, DeploymentTypeOptOut, OptOut

RECORDS = 100_000
MODELS = (ClientOptOut, BrandOptOut, DeploymentTypeOptOut)
NAMES = {
    "email_address": "EmailAddress",
    "brand_ids": "BrandId",
    "deployment_type_ids": "DeploymentTypeId",
    "source": "Source",
    "promo_code": "PromoCode",
}
EMAIL = re.compile(r"[!-?A-~]+@[!-?A-~]+")
Dump: TypeAlias = Callable[[OptOut], bytes]
Send: TypeAlias = Callable[[Sequence[OptOut]], Awaitable[bool]]


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


def _check_text(text: object) -> None:
    if not isinstance(text, str) or (not text.isascii() and text.encode("utf-8", "replace").decode() != text):
        raise ValueError(text)


def _check(record: OptOut) -> None:
    """Check what the library checks of such records, by what its documents say."""
    address = record.email_address
    if not isinstance(address, str) or len(address) > 255 or EMAIL.fullmatch(address) is None:
        raise ValueError(address)
    for text in (record.source, record.key):
        if text is not None:
            _check_text(text)
    if isinstance(record, BrandOptOut):
        for brand in record.brand_ids:
            _check_text(brand)
            if not brand or not brand.isprintable():
                raise ValueError(brand)
    elif isinstance(record, DeploymentTypeOptOut):
        for number in record.deployment_type_ids:
            if not isinstance(number, int) or isinstance(number, bool) or not -(2**63) <= number < 2**63:
                raise ValueError(number)


def _plain(record: OptOut) -> bytes:
    body: dict[str, Any] = {"EmailAddress": record.email_address}
    if isinstance(record, BrandOptOut):
        body["BrandId"] = record.brand_ids
    elif isinstance(record, DeploymentTypeOptOut):
        body["DeploymentTypeId"] = record.deployment_type_ids
    if record.source is not None:
        body["Source"] = record.source
    return orjson.dumps(body)


def _cattrs(converter: Any, dumps: Callable[[Any], bytes]) -> Dump:
    for cls in MODELS:
        renamed: dict[str, Any] = {
            field.name: override(rename=NAMES[field.name], omit_if_default=field.default is None)
            if field.name in NAMES
            else override(omit=True)
            for field in attrs.fields(cls)
        }
        converter.register_unstructure_hook(cls, make_dict_unstructure_fn(cls, converter, **renamed))
    return lambda record: dumps(converter.unstructure(record))


def _with_orjson() -> Dump:
    return _cattrs(make_orjson_converter(), orjson.dumps)


def _with_msgspec() -> Dump:
    import msgspec  # noqa: PLC0415 it belongs to the extra bench
    from cattrs.preconf.msgspec import make_converter  # noqa: PLC0415 the same

    return _cattrs(make_converter(), msgspec.json.encode)


def _strict(dump: Dump) -> Dump:
    def checked(record: OptOut) -> bytes:
        _check(record)
        return dump(record)

    return checked


OURS = "omeda_async"
WAYS: dict[str, Callable[[], Dump]] = {
    "cattrs, orjson preconf, the same checks": lambda: _strict(_with_orjson()),
    "cattrs, msgspec preconf, the same checks": lambda: _strict(_with_msgspec()),
    "plain dicts + orjson, the same checks": lambda: _strict(_plain),
    "cattrs, orjson preconf, unchecked": _with_orjson,
    "plain dicts + orjson, unchecked": lambda: _plain,
}
STRICT = [way for way in WAYS if not way.endswith("unchecked")]


def _body(opt_outs: Iterable[OptOut], dump: Dump) -> bytes:
    entries: dict[str, list[bytes]] = {level: [] for level in LEVELS}
    for one in opt_outs:
        entries[type(one).__name__].append(dump(one))
    parts = (b'"%b":[%b]' % (level.encode(), b",".join(found)) for level, found in entries.items() if found)
    return b"{%b}" % b",".join(parts)


async def _sent(send: Send, made: Sequence[OptOut]) -> Measured:
    batches = [made[start : start + ENTRIES] for start in range(0, len(made), ENTRIES)]
    await send(made[:1])  # opens the connection
    with metered() as used:
        done = sum([await send(batch) for batch in batches])
    _harness.check("requests done", done, len(batches))
    return {"cpu": used.cpu}


async def _measure(way: str, url: str, count: int) -> Measured:
    made = records(count)
    if way == OURS:
        async with manager_at(url) as manager:

            async def ours(batch: Sequence[OptOut]) -> bool:
                return (await manager.omeda.opt_outs.submit(*batch)).submission_id is not None

            return await _sent(ours, made)
    dump, headers = WAYS[way](), {"Content-Type": "application/json", "x-omeda-appid": APP_ID}
    async with aiohttp.ClientSession() as session:

        async def theirs(batch: Sequence[OptOut]) -> bool:
            async with session.post(url + PATH, data=_body(batch, dump), headers=headers) as response:
                return "SubmissionId" in orjson.loads(await response.read())

        return await _sent(theirs, made)


def measure(way: str, url: str, count: int) -> Measured:
    """Send so many opt-outs in one way; in a process of its own."""
    return asyncio.run(_measure(way, url, count))


def compare(count: int, rounds: int, ways: Iterable[str]) -> dict[str, list[Measured]]:
    """Compare the ways in turns, and verify that all of them have sent the same."""
    checksums: set[int] = set()
    with _harness.server() as url:

        def one(way: str) -> Measured:
            measured = _harness.child(measure, way=way, url=url, count=count)
            counts = arrived(url)
            checksums.add(counts["checksum"])
            _harness.check("opt-outs arrived", counts["entries"], count + 1)
            _harness.check("different bodies", len(checksums), 1)
            return measured

        return _harness.in_turns({way: partial(one, way) for way in (OURS, *ways)}, rounds)


def _fastest(results: dict[str, list[Measured]]) -> str:
    return min(STRICT, key=lambda way: _harness.median(results[way], "cpu"))


def _figures(results: dict[str, list[Measured]]) -> _harness.Figures:
    return {"converting: x": _harness.ratio(results, OURS, _fastest(results))}


def report() -> _harness.Report:
    """Measure in full, and write the section."""
    results = compare(RECORDS, 7, WAYS)
    rows = [
        [
            way,
            f"{1e6 * _harness.median(ran, 'cpu') / RECORDS:.2f} µs",
            f"{_harness.ratio(results, way, _fastest(results)):.2f} x",
        ]
        for way, ran in results.items()
    ]
    text = f"""### Converting

{RECORDS:,} models of the three levels, {ENTRIES} to a request, one request after the other: `opt_outs.submit`, and
aiohttp with the same body made in other ways, checked as the library checks it or not at all. The server verifies by a
checksum that all of them have sent the same.

{_harness.table(("way", "CPU per opt-out", "to the fastest strict"), rows)}"""
    return text, _figures(results)


def gate() -> _harness.Figures:
    """Measure a little; every run verifies its result."""
    return _figures(compare(20_000, 1, STRICT))
