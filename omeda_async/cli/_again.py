"""Records of a journal that are not done, written as input again: read as such, they are what they were."""

import csv
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from itertools import zip_longest
from pathlib import Path
from typing import Any, TextIO

import attrs

from omeda_async import ConfigurationError, OutcomeStatus
from omeda_async.cli._files import refusing
from omeda_async.cli._screen import escaped
from omeda_async.journal import JournalStatus, read_not_done, read_status
from omeda_async.rows import CAMPAIGNS, DEPLOYMENTS, OPT_OUTS, TRANSACTIONS, Row, RowFile, RowKind
from omeda_async.rows._formulas import quoted

IDS = ("brand_ids", "deployment_type_ids")
FORMS = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".txt": "ids"}
ESCAPE = re.compile(r"\\[bfnrtu]")
KINDS = {
    "opt_outs.submit_many": OPT_OUTS,
    "deployments.cancel_many": DEPLOYMENTS,
    "campaigns.cancel_many": CAMPAIGNS,
    "transactions.cancel_many": TRANSACTIONS,
}


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
    printable: bool = True
    """Whether all of them can be shown without an escape."""

    @property
    def forms(self) -> list[str]:
        """Return the formats they may fit into, the plainest first.

        An opt-out whose one field for ids is empty is refused; one without such a field is of the whole client.
        In a CSV with columns for both they would look the same.
        """
        plain = ["ids", "csv"] if len(self.fields) == 1 else ["csv"]
        return [*plain, "jsonl"] if len(self.ids) == 1 else ["jsonl"]


def write_again(
    journal: str, statuses: Iterable[OutcomeStatus], opened: Callable[[], AbstractContextManager[TextIO]], name: str
) -> tuple[JournalStatus, Survey]:
    """Write the records that ended in one of the statuses, in a form from which they are read as what they were.

    Args:
        journal: Its file, or its URL.
        statuses: Which ones.
        opened: Opens where to write them; not called where the journal holds none of those that there are.
        name: Its file name, whose ending chooses the format; without one the records do.

    Returns:
        What the journal held before that, and what the records look like.

    Raises:
        JournalError: The journal cannot be read.
        ConfigurationError: The ending is that of no known format, or the records do not fit into the format; or there
            is no room for a draft.
    """
    ending = Path(name).suffix.lower()
    if ending and ending not in FORMS:
        raise ConfigurationError(f"{name} ends in {ending}, which is no format: {', '.join(FORMS)} are")
    status = read_status(journal)
    kind = _kind_of(status)
    with _draft() as lines:
        survey = _drawn(journal, tuple(statuses), lines)
        if not survey.found:
            if not survey.lost_in_all:
                with opened():
                    pass  # nothing is what is to be written
            return status, survey
        for form in _forms(ending, survey):
            with _draft() as draft:
                with _room():
                    WRITERS[form](_records(lines), survey, draft)
                    draft.flush()
                if _reads_alike(draft, form, kind, name, lines):
                    draft.seek(0)
                    with opened() as stream:
                        shutil.copyfileobj(draft, stream)
                    return status, survey
    if ending:
        raise ConfigurationError(f"these records do not fit into {name}: give a file that ends in .jsonl")
    raise ConfigurationError("no file of these records would be read as what they are")


def _kind_of(status: JournalStatus) -> RowKind:
    operation = status.operation
    if operation not in KINDS:
        raise ConfigurationError(f"{status.place} is the journal of {operation}, for which no file is read")
    return KINDS[operation]


@contextmanager
def _draft() -> Iterator[Any]:
    with _room():
        draft = tempfile.TemporaryFile("w+", encoding="utf-8", newline="")  # noqa: SIM115 it is closed below
    with draft:
        yield draft


def _room() -> AbstractContextManager[None]:
    return refusing(f"no draft can be written to {tempfile.gettempdir()}")


def _drawn(journal: str, statuses: tuple[OutcomeStatus, ...], lines: TextIO) -> Survey:
    """Write the records as JSON Lines, in one pass, as a run may be writing the journal."""
    survey = Survey()
    for kept in read_not_done(journal, statuses):
        record = _as_dict(kept.record)
        if record is None:
            survey.lost_in_all += 1
            survey.lost += [kept.position + 1][: 20 - len(survey.lost)]
            continue
        survey.found += 1
        survey.fields.update(dict.fromkeys(record))
        survey.ids.add(tuple(name in record for name in IDS))
        line = json.dumps(record, ensure_ascii=False, default=_text)
        survey.printable = survey.printable and line.isprintable() and not ESCAPE.search(line)
        with _room():
            lines.write(f"{escaped(line)}\n")
    with _room():
        lines.flush()
    return survey


def _as_dict(record: Any) -> dict[str, Any] | None:
    if attrs.has(type(record)):
        given = attrs.asdict(record, recurse=False).items()
        return {name: value for name, value in given if value is not None}
    if isinstance(record, str):
        return {"id": record}
    return record if isinstance(record, dict) else None


def _forms(ending: str, survey: Survey) -> list[str]:
    if ending:
        return [form for form in survey.forms if form == FORMS[ending]]
    return survey.forms if survey.printable else ["jsonl"]


def _records(lines: TextIO) -> Iterator[dict[str, Any]]:
    lines.seek(0)
    return map(json.loads, lines)


def _as_csv(records: Iterable[Mapping[str, Any]], survey: Survey, stream: TextIO) -> None:
    writer = csv.DictWriter(stream, list(survey.fields), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: quoted(_cell(value)) for name, value in record.items()} for record in records)


def _as_ids(records: Iterable[Mapping[str, Any]], survey: Survey, stream: TextIO) -> None:
    (field,) = survey.fields
    stream.writelines(f"{record[field]}\n" for record in records)


def _as_json(records: Iterable[Mapping[str, Any]], _: Survey, stream: TextIO) -> None:
    stream.writelines(f"{escaped(json.dumps(record, ensure_ascii=False))}\n" for record in records)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return "|".join(map(str, value)) if isinstance(value, list) else str(value)


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


WRITERS: dict[str, Callable[[Iterable[Mapping[str, Any]], Survey, TextIO], None]] = {
    "csv": _as_csv,
    "ids": _as_ids,
    "jsonl": _as_json,
}


def _reads_alike(draft: TextIO, form: str, kind: RowKind, name: str, lines: TextIO) -> bool:
    """Whether a draft gives back the records when it is read as input."""
    try:
        rows = RowFile(kind, lambda: os.fdopen(os.dup(draft.fileno()), "rb"), name)
        return all(_is_alike(row, record, form, kind) for row, record in zip_longest(rows, _records(lines)))
    except ConfigurationError:
        return False


def _is_alike(row: Row | None, record: Mapping[str, Any] | None, form: str, kind: RowKind) -> bool:
    if row is None or record is None:
        return False
    if isinstance(row.record, Exception):  # a line of JSON holds what there was, and reading it says what is wrong
        return form == "jsonl"
    return _plain(row.record) == _plain({kind.field(name) or name: value for name, value in record.items()})


def _plain(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _flat(value) for name, value in record.items() if value is not None or name in IDS}


def _flat(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(map(_flat, value))
    return value if isinstance(value, str) else str(value) if type(value) is int else repr(value)
