"""Outcomes as text and as JSON: which row, what became of it, and the provider's words with addresses masked."""

import asyncio
import csv
import errno
import io
import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import attrs

from omeda_async import BulkReport, InvalidRecord, OmedaAsyncError, Outcome
from omeda_async.cli._files import refusing
from omeda_async.cli._screen import escaped, shown
from omeda_async.cli._words import in_command, words
from omeda_async.rows import Row
from omeda_async.rows._formulas import quoted

SHOWN = 20
PLACES = 3
"""How many runs of places a line names, where several records have the same fate."""
LONGEST_KEY = 100
"""Characters of a key that a line of text shows; JSON and CSV have all of it."""
COLUMNS = ("row", "position", "key", "status", "attempts", "error", "message", "refused_ids", "receipt")
"""What a CSV of outcomes holds."""


def masked(text: str) -> str:
    """Mask the e-mail addresses in a text, as every error's message has them masked."""
    return OmedaAsyncError(text).message


def advice(error: OmedaAsyncError) -> str:
    """Return an error's message; the settings it names are those that a command has."""
    return in_command(error.message, error.provider)


def reason(outcome: Outcome) -> str:
    """Return why a record is not done, with the column as the file names it."""
    error = outcome.error
    if error is None:
        return ""
    if isinstance(error, InvalidRecord) and error.field and isinstance(outcome.record, Row):
        return f"{outcome.record.place(error.field)}: {in_command(error.reason)}"
    return advice(error)


def place(outcome: Outcome) -> str:
    """Return which record it was: its row, else its place in the input from 1; and its key with addresses masked."""
    number = f"row {outcome.record.number}" if isinstance(outcome.record, Row) else f"record {outcome.position + 1}"
    if outcome.key is None:
        return number
    key = masked(str(outcome.key))
    return f"{number} ({key if len(key) <= LONGEST_KEY else f'{key[:LONGEST_KEY]}…'})"


def line(outcome: Outcome) -> str:
    """Return an outcome as a line of text."""
    return shown(f"{place(outcome)}: {words(outcome.status)}: {reason(outcome)}")


def grouped(outcomes: Iterable[Outcome]) -> list[list[Outcome]]:
    """Put outcomes of the same status and reason together, in the order of the first of each."""
    groups: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault((outcome.status.value, reason(outcome)), []).append(outcome)
    return list(groups.values())


def lines_of(group: Sequence[Outcome]) -> str:
    """Return outcomes of the same status and reason as one line of text."""
    if len(group) == 1:
        return line(group[0])
    first = group[0]
    text = f"{len(group):,} records: {words(first.status)}: {reason(first)}"
    return shown(f"{text} ({_places(group)})")


def _places(group: Sequence[Outcome]) -> str:
    """Return which records they are, as rows or places in the input, neighbours put together: ``rows 2-21, 40``."""
    word = "rows" if all(isinstance(one.record, Row) for one in group) else "records"
    numbers = [one.record.number if word == "rows" else one.position + 1 for one in group]
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1] = [runs[-1][0], number]
        else:
            runs.append([number])
    named = ", ".join("-".join(f"{number:,}" for number in run) for run in runs[:PLACES])
    return f"{word} {named}{' and others' if len(runs) > PLACES else ''}"


def as_dict(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome as a JSON object. The key is the caller's own, and is given as it is."""
    error = outcome.error
    found: dict[str, Any] = {
        "row": outcome.record.number if isinstance(outcome.record, Row) else None,
        "position": outcome.position,
        "key": outcome.key,
        "status": outcome.status.value,
        "attempts": outcome.attempts,
        "error": None if error is None else type(error).__name__,
        "message": None if error is None else reason(outcome),
        "receipt": _receipt(outcome.receipt),
    }
    refused = [one.id for one in getattr(error, "culprits", ())]
    return found | ({"refused_ids": refused} if refused else {})


def _receipt(receipt: Any) -> Any:
    if not attrs.has(type(receipt)):
        return receipt
    # Without the whole response, which is the same for all that shared the request, and may hold anything.
    fields = attrs.asdict(receipt, recurse=False, filter=lambda field, _: field.metadata.get("kept", True)).items()
    return {name: _masked_texts(value) for name, value in fields if value is not None and value != ()}


def _masked_texts(value: Any) -> Any:
    if isinstance(value, str):
        return masked(value)
    return [masked(str(one)) for one in value] if isinstance(value, tuple) else value


def summary(report: BulkReport, **more: Any) -> dict[str, Any]:
    """Return a report as a JSON object; failures are those that the report keeps."""
    not_done = sum(count for status, count in report.counts.items() if not status.is_done)
    failures = [as_dict(outcome) for outcome in report.failures]
    for failure in failures:
        failure["key"] = None if failure["key"] is None else masked(str(failure["key"]))
    return {
        **more,
        "total": report.total,
        "counts": {status.value: count for status, count in report.counts.items()},
        "requests": report.requests,
        "seconds": round(report.duration, 3),
        "complete": report.complete,
        "failures": failures,
        "failures_left_out": not_done - len(failures),
    }


def _json_line(outcome: Outcome) -> str:
    return escaped(json.dumps(as_dict(outcome), ensure_ascii=False, default=str)) + "\n"


def _csv_line(outcome: Outcome) -> str:
    """Return an outcome as a row: ids separated by ``|``, a receipt as JSON; what a spreadsheet would run is quoted."""
    found = as_dict(outcome)
    found["refused_ids"] = "|".join(map(str, found.get("refused_ids", ())))
    if found["receipt"] is not None:
        found["receipt"] = json.dumps(found["receipt"], ensure_ascii=False, default=str)
    return _csv("" if found[name] is None else quoted(shown(str(found[name]))) for name in COLUMNS)


def _csv(cells: Iterable[str]) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerow(cells)
    return stream.getvalue()


@attrs.define
class Lines:
    """Outcomes in a file, or in a pipe, which may take no more for a while."""

    file: BinaryIO | None
    """Where they go, unbuffered; None for nowhere."""
    line: Callable[[Outcome], str] = _json_line
    """Gives an outcome as it is written."""
    heading: str = ""
    """What comes first."""
    begun: bool = False
    held: bytes = b""
    """What a pipe has not taken yet."""

    def begin(self) -> None:
        """Empty the file of an earlier run: only now is it certain that this one is not refused."""
        if self.begun or self.file is None:
            return
        if is_regular(self.file):
            self.file.truncate(0)
        self.begun = True
        self.held += self.heading.encode()
        self._write()

    def __call__(self, outcome: Outcome) -> None:
        """Write one outcome, or as much of it as is taken now."""
        if self.file is not None:
            self.begin()
            self.held += self.line(outcome).encode("utf-8", "backslashreplace")
            self._write()

    def lose(self) -> None:
        """Write nothing any more, as that has failed."""
        self.file, self.held = None, b""

    def end(self) -> None:
        """Empty the file of an earlier run where no outcome came; raise OSError where it is not there any more."""
        self.begin()
        if self.file is not None and is_regular(self.file) and not os.fstat(self.file.fileno()).st_nlink:
            raise FileNotFoundError(errno.ENOENT, "it was removed meanwhile")

    async def taken(self, enough: asyncio.Event) -> None:
        """Wait until a pipe has taken what is held; raise OSError where it has not before that is enough of waiting."""
        if self.file is None:
            return
        loop, turn, number = asyncio.get_running_loop(), asyncio.Event(), self.file.fileno()
        waiting = asyncio.create_task(enough.wait())
        waiting.add_done_callback(lambda _: turn.set())
        loop.add_writer(number, turn.set)
        try:
            while self.held and not enough.is_set():
                await turn.wait()
                turn.clear()
                self._write()
        finally:
            loop.remove_writer(number)
            waiting.cancel()
        if self.held:
            raise TimeoutError(errno.ETIMEDOUT, "nobody has read it to its end")

    def _write(self) -> None:
        while self.held and self.file is not None:
            taken = self.file.write(self.held)
            if taken is None:
                return
            self.held = self.held[taken:]


def is_regular(file: BinaryIO) -> bool:
    """Whether a file is one on a disk: no pipe, terminal or device, which may be slow to take anything."""
    return stat.S_ISREG(os.fstat(file.fileno()).st_mode)


@contextmanager
def writing(path: str | None) -> Iterator[Lines]:
    """Write outcomes to a file, as CSV where its name ends so, else one JSON object a line; without a path, nowhere.

    What the file holds stays until the first outcome comes, or :meth:`Lines.end` is called. A pipe is waited for until
    somebody reads it.

    Raises:
        ConfigurationError: The file cannot be written.
    """
    if path is None:
        yield Lines(None)
        return
    with refusing(f"{path} cannot be written"):
        file = Path(path).open("ab", buffering=0)  # noqa: SIM115 it is closed below
        if not is_regular(file):
            os.set_blocking(file.fileno(), False)
    try:
        yield Lines(file, _csv_line, _csv(COLUMNS)) if Path(path).suffix.lower() == ".csv" else Lines(file)
    finally:
        # Each line has been written by now, or the user was told that it could not be.
        with suppress(OSError):
            file.close()
