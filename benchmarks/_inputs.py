"""The shapes of input that bulk runs are measured with, and what a bare script makes of each."""

import csv
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import orjson

from omeda_async import BrandOptOut, ClientOptOut, DeploymentTypeOptOut, OptOut
from omeda_async.rows import OPT_OUTS, RowFile

Entry: TypeAlias = tuple[str, dict[str, Any]]
"""The level of an opt-out, and its JSON object."""
LEVELS = ("ClientOptOut", "BrandOptOut", "DeploymentTypeOptOut")
COLUMNS = ("email_address", "brand_ids", "deployment_type_ids", "source")
SCOPES = 4999
"""How many different lists of ids there are in mixed rows."""


class Input(NamedTuple):
    """One shape of input."""

    what: str
    make: Callable[[Path, int], Any]
    """Write a file of so many records, or make what is given instead of one; this is not measured."""
    ours: Callable[[Any], Any]
    """Return the records for the library, of what was made."""
    bare: Callable[[Any], Iterator[Entry]]
    """Return the entries of a bare script, of what was made."""


def _scopes() -> list[tuple[str, list[Any]]]:
    rng = random.Random(1)  # noqa: S311 it has to be repeatable, not secret
    brands, types = [f"B{number:02}" for number in range(20)], list(range(4100, 4150))
    found: list[tuple[str, list[Any]]] = []
    for _ in range(SCOPES):
        field = rng.choice(("", "brand_ids", "deployment_type_ids"))
        pool: list[Any] = types if field == "deployment_type_ids" else brands
        found.append((field, rng.sample(pool, rng.randint(1, 4)) if field else []))
    return found


def _mixed(count: int) -> Iterator[tuple[str, str, list[Any], str | None]]:
    """Return address, field of the ids, one to four ids, and source: three in ten have one of their own, two none."""
    for number, (field, ids) in zip(range(count), cycle(_scopes()), strict=False):
        last = number % 10
        source = None if last > 7 else f"Form {number} of spring" if last in {1, 4, 7} else "Company STU"
        yield f"reader{number}@example.com", field, ids, source


def mixed_dicts(count: int) -> Iterator[dict[str, Any]]:
    """Make mixed records as dicts without anything that is unset."""
    for address, field, ids, source in _mixed(count):
        record: dict[str, Any] = {"email_address": address}
        if field:
            record[field] = ids
        if source is not None:
            record["source"] = source
        yield record


def mixed_models(count: int) -> Iterator[OptOut]:
    """Make mixed records as models."""
    for address, field, ids, source in _mixed(count):
        if field == "brand_ids":
            yield BrandOptOut(address, brand_ids=ids, source=source)
        elif field:
            yield DeploymentTypeOptOut(address, deployment_type_ids=ids, source=source)
        else:
            yield ClientOptOut(address, source=source)


def _write_csv(path: Path, columns: Iterable[str], rows: Iterable[Iterable[str]], *, quoted: bool = False) -> str:
    if not path.exists():
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL)
            writer.writerow(columns)
            writer.writerows(rows)
    return str(path)


def write_three_kinds(path: Path, count: int) -> str:
    """Write rows of the three levels in turn, which have all but their addresses alike."""
    ids = [("", ""), ("FOO", ""), ("", "4194|4804")]
    rows = ((f"reader{number}@example.com", *ids[number % 3], "Company STU") for number in range(count))
    return _write_csv(path, COLUMNS, rows)


def _cells(record: Mapping[str, Any]) -> list[str]:
    ids = ("|".join(map(str, record.get(field, ()))) for field in ("brand_ids", "deployment_type_ids"))
    return [record["email_address"], *ids, record.get("source", "")]


def _write_mixed(path: Path, count: int) -> str:
    return _write_csv(path, COLUMNS, map(_cells, mixed_dicts(count)))


def _write_keyed(path: Path, count: int) -> str:
    rows = ([*_cells(record), f"user-{number}"] for number, record in enumerate(mixed_dicts(count)))
    return _write_csv(path, (*COLUMNS, "key"), rows, quoted=True)


def _write_lines(path: Path, count: int) -> str:
    if not path.exists():
        with path.open("wb") as file:
            file.writelines(orjson.dumps(record) + b"\n" for record in mixed_dicts(count))
    return str(path)


def _bare_csv(path: str) -> Iterator[Entry]:
    with Path(path).open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            entry: dict[str, Any] = {"EmailAddress": row["email_address"]}
            level = "ClientOptOut"
            if row["brand_ids"]:
                level, entry["BrandId"] = "BrandOptOut", row["brand_ids"].split("|")
            elif row["deployment_type_ids"]:
                level = "DeploymentTypeOptOut"
                entry["DeploymentTypeId"] = list(map(int, row["deployment_type_ids"].split("|")))
            if row["source"]:
                entry["Source"] = row["source"]
            yield level, entry


def _bare_dicts(records: Iterable[Mapping[str, Any]]) -> Iterator[Entry]:
    for record in records:
        entry = {"EmailAddress": record["email_address"]}
        level = "ClientOptOut"
        if "brand_ids" in record:
            level, entry["BrandId"] = "BrandOptOut", record["brand_ids"]
        elif "deployment_type_ids" in record:
            level, entry["DeploymentTypeId"] = "DeploymentTypeOptOut", record["deployment_type_ids"]
        if "source" in record:
            entry["Source"] = record["source"]
        yield level, entry


def _bare_lines(path: str) -> Iterator[Entry]:
    with Path(path).open("rb") as file:
        yield from _bare_dicts(map(orjson.loads, file))


def _bare_models(count: int) -> Iterator[Entry]:
    for model in mixed_models(count):
        entry: dict[str, Any] = {"EmailAddress": model.email_address}
        level = "ClientOptOut"
        if isinstance(model, BrandOptOut):
            level, entry["BrandId"] = "BrandOptOut", model.brand_ids
        elif isinstance(model, DeploymentTypeOptOut):
            level, entry["DeploymentTypeId"] = "DeploymentTypeOptOut", model.deployment_type_ids
        if model.source is not None:
            entry["Source"] = model.source
        yield level, entry


def bodies(entries: Iterable[Entry], most: int) -> Iterator[tuple[int, bytes]]:
    """Gather entries into bodies of so many, and tell how many are in each."""
    body: dict[str, list[Any]] = {level: [] for level in LEVELS}
    count = 0
    for level, entry in entries:
        body[level].append(entry)
        count += 1
        if count == most:
            yield count, orjson.dumps({level: found for level, found in body.items() if found})
            body, count = {level: [] for level in LEVELS}, 0
    if count:
        yield count, orjson.dumps({level: found for level, found in body.items() if found})


def _rows(path: str) -> RowFile:
    return RowFile.at(OPT_OUTS, path)


INPUTS = {
    "csv": Input("CSV of three kinds of rows", write_three_kinds, _rows, _bare_csv),
    "mixed": Input("CSV of mixed rows", _write_mixed, _rows, _bare_csv),
    "keyed": Input("the same with keys, all cells quoted", _write_keyed, _rows, _bare_csv),
    "jsonl": Input("JSON Lines", _write_lines, _rows, _bare_lines),
    "dicts": Input("list of dicts", lambda _, count: list(mixed_dicts(count)), iter, _bare_dicts),
    "models": Input("generator of models", lambda _, count: count, mixed_models, _bare_models),
}
