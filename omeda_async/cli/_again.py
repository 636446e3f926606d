"""Records of a journal that are not done, written as input again."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

import attrs

from omeda_async import ConfigurationError, OutcomeStatus
from omeda_async.journal import read_not_done

IDS = ("brand_ids", "deployment_type_ids")
FORMS = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".txt": "ids"}


@attrs.define
class Survey:
    """What the records look like, found in a first pass."""

    fields: dict[str, None] = attrs.field(factory=dict)
    """Their fields, in the order first seen."""
    ids: set[tuple[bool, ...]] = attrs.field(factory=set)
    """Which of the fields for ids the records have."""
    lost: list[int] = attrs.field(factory=list)
    """The first records that the journal does not hold, by their place in the input from 1."""
    lost_in_all: int = 0
    found: int = 0
    """How many of the records the journal holds."""

    @property
    def form(self) -> str:
        """Return the format they fit into: a list of ids, CSV, or JSON Lines where their fields for ids differ.

        An opt-out whose one field for ids is empty is refused; one without such a field is of the whole client.
        In a CSV with columns for both they would look the same.
        """
        if len(self.fields) == 1 and not any(self.ids.copy().pop()):
            return "ids"
        return "csv" if len(self.ids) == 1 else "jsonl"


def write_again(path: Path, statuses: Iterable[OutcomeStatus], stream: TextIO, name: str) -> Survey:
    """Write the records that ended in one of the statuses.

    Args:
        path: The journal.
        statuses: Which ones.
        stream: Where to write them.
        name: Its file name, whose ending chooses the format; without one the records do.

    Raises:
        JournalError: The journal cannot be read.
        ConfigurationError: The ending is that of no known format, or the records do not fit into the format.
    """
    ending = Path(name).suffix.lower()
    if ending and ending not in FORMS:
        raise ConfigurationError(f"{name} ends in {ending}, which is no format: {', '.join(FORMS)} are")
    chosen = tuple(statuses)
    survey = _surveyed(path, chosen)
    if not survey.fields:
        return survey
    form = FORMS.get(ending, survey.form)
    if form not in {survey.form, "jsonl"} and not (form == "csv" and survey.form == "ids"):
        raise ConfigurationError(f"these records do not fit into {name}: give a file that ends in .{survey.form}")
    records = (record for _, record in _records(path, chosen) if record is not None)
    WRITERS[form](records, survey, stream)
    return survey


def _surveyed(path: Path, statuses: tuple[OutcomeStatus, ...]) -> Survey:
    survey = Survey()
    for position, record in _records(path, statuses):
        if record is None:
            survey.lost_in_all += 1
            survey.lost += [position + 1][: 20 - len(survey.lost)]
        else:
            survey.found += 1
            survey.fields.update(dict.fromkeys(record))
            survey.ids.add(tuple(name in record for name in IDS))
    return survey


def _records(path: Path, statuses: tuple[OutcomeStatus, ...]) -> Iterator[tuple[int, dict[str, Any] | None]]:
    for kept in read_not_done(path, statuses):
        record = kept.record
        if attrs.has(type(record)):
            given = attrs.asdict(record, recurse=False).items()
            record = {name: value for name, value in given if value is not None}
        elif isinstance(record, str):
            record = {"id": record}
        yield kept.position, record if isinstance(record, dict) else None


def _as_csv(records: Iterable[Mapping[str, Any]], survey: Survey, stream: TextIO) -> None:
    writer = csv.DictWriter(stream, list(survey.fields), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in record.items()} for record in records)


def _as_lines(records: Iterable[Mapping[str, Any]], survey: Survey, stream: TextIO) -> None:
    (field,) = survey.fields
    stream.writelines(f"{record[field]}\n" for record in records)


def _as_json(records: Iterable[Mapping[str, Any]], _: Survey, stream: TextIO) -> None:
    stream.writelines(json.dumps(record, ensure_ascii=False, default=_text) + "\n" for record in records)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return "|".join(map(str, value)) if isinstance(value, list | tuple) else _text(value)


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


WRITERS: dict[str, Callable[[Iterable[Mapping[str, Any]], Survey, TextIO], None]] = {
    "csv": _as_csv,
    "ids": _as_lines,
    "jsonl": _as_json,
}
