# ruff: noqa: T201 it is a command, too
"""Journals damaged at random, and what runs and readers make of them: what is true, or a JournalError.

python -m tests.bulk.journal_damage 5000 [SEED]
"""

import asyncio
import shutil
import sqlite3
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from random import Random
from typing import Any

import attrs

from omeda_async import JournalError, Outcome, OutcomeStatus
from omeda_async._result import Result
from omeda_async.bulk import Item
from omeda_async.bulk.journal.interface import AGAIN, SETTLED
from omeda_async.errors import BadRequest, ServerError, TooLate
from omeda_async.journal import read_not_done, read_status
from omeda_async.testing import MovedClockLoop
from tests.bulk.bulk_fakes import positions
from tests.bulk.journal_help import Work, journalled, rows

S = OutcomeStatus
NAME = "run.sqlite3"
RECORDS = [f"record {number}" for number in range(90)]
PAGE = 4096
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 nothing here has to outlast a loss of power
CODES = dict(enumerate(OutcomeStatus, start=1))


def ending(items: list[Item]) -> Result[Any]:
    """End records in each of the ways, by the first of them."""
    first = items[0].raw
    ways: tuple[Result[Any], ...] = (
        Result(receipt={"id": first}, attempts=1),
        Result(receipt={"id": first}, attempts=2, settled=True),
        Result(error=BadRequest(f"no {first}", status=400, attempts=1, sent=True), attempts=1),
        Result(error=ServerError(f"not now {first}", status=503, attempts=3), attempts=3),
        Result(error=ServerError("perhaps", status=500, attempts=3, sent=True), attempts=3, doubtful=True),
        Result(error=TooLate("it is out", status=400, attempts=1, sent=True), attempts=1),
    )
    return ways[int(first.split()[1]) // 3 % len(ways)]


@attrs.frozen
class Sample:
    """The files of a journal, and what is true of its records."""

    files: Mapping[str, bytes]
    truth: Mapping[str, tuple[OutcomeStatus | None, str | None]]
    """The status of each record, and what is stored of it; None where it was under way."""

    @classmethod
    def of(cls, files: Mapping[str, bytes]) -> "Sample":
        """Read the truth where nothing is damaged."""
        with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
            put(Path(folder), files)
            found = rows(
                Path(folder, NAME),
                "SELECT json_extract(entry, '$[1]'), status, answers.answer FROM outcomes "
                "LEFT JOIN answers ON answers.id = outcomes.answer",
            )
        return cls(files, {record: (CODES.get(code), stored) for record, code, stored in found})


def put(folder: Path, files: Mapping[str, bytes]) -> None:
    """Put files in place."""
    for name, content in files.items():
        folder.joinpath(name).write_bytes(content)


def remove(path: Path) -> None:
    """Have the next run begin anew."""
    path.unlink(missing_ok=True)


def files_in(folder: Path) -> dict[str, bytes]:
    """Take all files."""
    return {file.name: file.read_bytes() for file in folder.iterdir() if not file.name.endswith("-shm")}


def failing(_: list[Item]) -> Result[Any]:
    """End every record as worth trying again."""
    return Result(error=ServerError("not now", status=503, attempts=1), attempts=1)


def made() -> dict[str, Sample]:
    """Make the journals, outside any loop."""
    with asyncio.Runner(loop_factory=MovedClockLoop) as runner:
        return runner.run(samples())


async def samples() -> dict[str, Sample]:
    """Make a journal of a finished run, one of a resumed run that was killed, and one of a first run that was."""
    taken: dict[str, Sample] = {}
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        path, requests = Path(folder, NAME), 0

        def look(_: list[Item]) -> float:
            nonlocal requests
            requests += 1
            if requests == 12:
                taken[name] = Sample.of(files_in(Path(folder)))
            return 0.01

        for name in ("killed", "resumed"):
            remove(path)
            if name == "resumed":
                await journalled(path, RECORDS[:30], Work(max_entries=3))
            requests = 0
            work = Work(max_entries=3, answer_time=look)
            work.answer = ending
            await journalled(path, RECORDS, work)
        taken["finished"] = Sample.of(files_in(Path(folder)))
    return taken


_WITHOUT_SUMS = """
PRAGMA journal_mode = DELETE; DELETE FROM meta WHERE name = 'sum';
ALTER TABLE records DROP COLUMN sum; ALTER TABLE prints DROP COLUMN sum; ALTER TABLE answers DROP COLUMN sum;
ALTER TABLE results DROP COLUMN sum; ALTER TABLE asides DROP COLUMN sum; ALTER TABLE asides DROP COLUMN entry_sum;
ALTER TABLE runs DROP COLUMN sum; ALTER TABLE runs DROP COLUMN ids; ALTER TABLE runs DROP COLUMN writes;
"""


def without_sums(sample: Sample) -> Sample:
    """Make of a journal one as the format was first written."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        put(Path(folder), sample.files)
        with closing(sqlite3.connect(Path(folder, NAME))) as connection:
            connection.executescript(_WITHOUT_SUMS)
        return Sample({NAME: Path(folder, NAME).read_bytes()}, sample.truth)


def half_copied(path: Path, pages: int) -> None:
    """Leave a file as a power failure does while so many pages of its log have been copied into it, and no more."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        for file in (path, Path(f"{path}-wal")):
            shutil.copy(file, Path(folder, file.name))
        with closing(sqlite3.connect(Path(folder, path.name))) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        whole, before = Path(folder, path.name).read_bytes(), path.read_bytes()
    path.write_bytes(whole[: PAGE * pages] + before[PAGE * pages :])


def _change(name: str, change: Callable[[bytearray], Any]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        file = folder / name
        if file.exists():
            content = bytearray(file.read_bytes())
            change(content)
            file.write_bytes(content)

    return damage


def _flip(rng: Random, low: int = 0, high: int | None = None) -> Callable[[bytearray], None]:
    def change(content: bytearray) -> None:
        for _ in range(rng.choice([1, 1, 1, 3, 20])):
            content[rng.randrange(low, min(high or len(content), len(content)))] ^= 1 << rng.randrange(8)

    return change


def _pages(rng: Random, *, swap: bool) -> Callable[[bytearray], None]:
    def change(content: bytearray) -> None:
        one, other = (rng.randrange(max(1, len(content) // PAGE)) * PAGE for _ in range(2))
        a, b = bytes(content[one : one + PAGE]), bytes(content[other : other + PAGE])
        content[one : one + PAGE] = b if swap else bytes(PAGE)
        if swap:
            content[other : other + PAGE] = a

    return change


def _cut(rng: Random) -> Callable[[bytearray], None]:
    return lambda content: content.__delitem__(slice(rng.randrange(len(content)), None))


def _sql(rng: Random, *statements: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        with closing(sqlite3.connect(folder / NAME, isolation_level=None)) as connection:
            connection.create_function("some", 1, rng.randrange)
            connection.create_function("bit", 1, lambda value: value ^ (1 << rng.randrange(4)))
            connection.create_function("flipped", 1, lambda value: _flipped(rng, value))
            connection.execute("PRAGMA ignore_check_constraints = ON")
            connection.execute("PRAGMA journal_mode = DELETE")
            with suppress(sqlite3.IntegrityError):
                connection.execute(rng.choice(statements))

    return damage


def _flipped(rng: Random, value: Any) -> Any:
    content = bytearray(value.encode() if isinstance(value, str) else value)
    _flip(rng)(content)
    return content.decode("latin1") if isinstance(value, str) else bytes(content)


def _one(rng: Random, table: str, key: str = "rowid") -> str:
    return f"WHERE {key} = (SELECT {key} FROM {table} LIMIT 1 OFFSET {rng.randrange(12)})"  # noqa: S608 a test's own words


KINDS: dict[str, Callable[[Random, Sample], Callable[[Path], None]]] = {
    "bits": lambda rng, _: _change(NAME, _flip(rng)),
    "bits of the log": lambda rng, _: _change(f"{NAME}-wal", _flip(rng)),
    "header": lambda rng, _: _change(NAME, _flip(rng, 0, 100)),
    "schema": lambda rng, _: _change(NAME, _flip(rng, 100, PAGE)),
    "cut": lambda rng, _: _change(NAME, _cut(rng)),
    "log cut": lambda rng, _: _change(f"{NAME}-wal", _cut(rng)),
    "page zeroed": lambda rng, _: _change(NAME, _pages(rng, swap=False)),
    "pages swapped": lambda rng, _: _change(NAME, _pages(rng, swap=True)),
    "log lost": lambda _rng, _: lambda folder: folder.joinpath(f"{NAME}-wal").unlink(missing_ok=True),
    "log of another": lambda _rng, other: (
        lambda folder: put(folder, {name: content for name, content in other.files.items() if name.endswith("-wal")})
    ),
    "index of the log": lambda rng, _: lambda folder: put(folder, {f"{NAME}-shm": rng.randbytes(32768)}),
    "results": lambda rng, _: _sql(
        rng,
        *(
            f"UPDATE results SET {column} = bit({column}) {_one(rng, 'results')}"  # noqa: S608 the same
            for column in ("first", "last", "status", "attempts", "answer")
        ),
        f"DELETE FROM results {_one(rng, 'results')}",  # noqa: S608 the same
    ),
    "records": lambda rng, _: _sql(
        rng,
        *(
            f"UPDATE records SET {change} {_one(rng, 'records')}"  # noqa: S608 the same
            for change in ("fingerprint = flipped(fingerprint)", "entry = flipped(entry)", "id = id + 1000")
        ),
        f"DELETE FROM records {_one(rng, 'records')}",  # noqa: S608 the same
    ),
    "prints": lambda rng, _: _sql(
        rng,
        f"UPDATE prints SET record = bit(record) {_one(rng, 'prints', 'record')}",  # noqa: S608 the same
        f"UPDATE prints SET fingerprint = flipped(fingerprint) {_one(rng, 'prints', 'record')}",  # noqa: S608 the same
        f"DELETE FROM prints {_one(rng, 'prints', 'record')}",  # noqa: S608 the same
        "UPDATE meta SET value = some(100) WHERE name = 'indexed'",
    ),
    "answers": lambda rng, _: _sql(
        rng,
        f"UPDATE answers SET answer = flipped(answer) {_one(rng, 'answers')}",  # noqa: S608 the same
        f"UPDATE answers SET id = id + 100 {_one(rng, 'answers')}",  # noqa: S608 the same
        f"DELETE FROM answers {_one(rng, 'answers')}",  # noqa: S608 the same
    ),
    "what it is": lambda rng, _: _sql(
        rng,
        "UPDATE meta SET value = flipped(value) WHERE name = 'identity'",
        "DELETE FROM meta WHERE name = 'identity'",
        "UPDATE runs SET requests = some(100), recent = some(100)",
        "UPDATE runs SET counts = 'x'",
        "DELETE FROM runs",
        "DROP TABLE asides",
    ),
}


def wrong(sample: Sample, work: Work, outcomes: list[Outcome]) -> list[str]:
    """Say what is not true of what a run has told and done."""
    found = []
    doubtful, sent = Counter(work.doubtful), Counter(work.sent)
    if sent.keys() - doubtful.keys() & sample.truth.keys():
        again = [
            record
            for record in sent.keys() - doubtful.keys()
            if record in sample.truth and sample.truth[record][0] not in AGAIN
        ]
        found += [f"{record} sent as if it were new" for record in again]
    for outcome in outcomes:
        status, stored = sample.truth.get(outcome.record, (S.NOT_SENT, None))
        if outcome.record in sent or outcome.status is S.UNKNOWN:
            continue
        if status in SETTLED:
            shown = outcome.receipt["id"] if outcome.receipt else outcome.error.message if outcome.error else "null"
            if outcome.status is not status or str(shown) not in (stored or ""):
                found.append(f"{outcome.record} is {outcome.status}, and was {status}")
        elif outcome.status not in {S.NOT_SENT, status}:
            found.append(f"{outcome.record} is {outcome.status}, and was {status}")
        elif status in {None, S.UNKNOWN}:
            found.append(f"{outcome.record} is {outcome.status}, and was in doubt")
    return found


async def resumed(sample: Sample, path: Path) -> tuple[list[str], str]:
    """Resume a journal; say what is wrong, and how it ended."""
    work, outcomes = Work(max_entries=3, answer_time=lambda _: 0.0), list[Outcome]()
    run = journalled(path, RECORDS, work)
    try:
        async for outcome in run:
            outcomes.append(outcome)
    except JournalError as error:
        told, unnamed = "stopped" if outcomes else "refused", [] if str(path) in str(error) else [f"unnamed: {error}"]
        return wrong(sample, work, outcomes) + unnamed, told
    missing = [] if positions(outcomes) == list(range(len(RECORDS))) else ["outcomes are missing"]
    return wrong(sample, work, outcomes) + missing, "run"


def misread(sample: Sample, path: Path) -> list[str]:
    """Say what readers tell that is not true."""
    found = []
    with suppress(JournalError):
        status = read_status(path)
        counts = Counter(status for status, _ in sample.truth.values())
        more = [one for one, number in status.counts.items() if number > counts[one]]
        if more or status.total != len(sample.truth):
            found.append(f"{status.counts}, and it was {counts}")
    with suppress(JournalError):
        left = {one.record: one.status for one in read_not_done(path)}
        truth = {record: status or S.UNKNOWN for record, (status, _) in sample.truth.items()}
        certain = {record for record, status in truth.items() if status is not S.UNKNOWN and not status.is_done}
        told = {record: status for record, status in left.items() if status is not S.UNKNOWN}
        if left.keys() < certain or any(truth.get(record) is not status for record, status in told.items()):
            found.append("other records are not done")
    return found


async def tried(sample: Sample, damage: Callable[[Path], None]) -> tuple[list[str], str]:
    """Damage a journal; say what is wrong with what is made of it, and how a run on it ended."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        path = Path(folder, NAME)
        put(path.parent, sample.files)
        damage(path.parent)
        files = files_in(path.parent)
        found = misread(sample, path)
        with suppress(JournalError):
            plan = await journalled(path, RECORDS).plan()
            settled = sum(status in SETTLED for status, _ in sample.truth.values())
            if plan.settled > settled:
                found.append(f"{plan.settled} records are settled by the plan, and {settled} are")
        shutil.rmtree(folder)
        path.parent.mkdir()
        put(path.parent, files)
        more, told = await resumed(sample, path)
        return found + more, told


def another(samples: Mapping[str, Sample], name: str) -> Sample:
    """Give a journal of another run that was killed."""
    return samples["killed" if name != "killed" else "resumed"]


def main(number: int, seed: int) -> None:
    """Damage so many journals, and print what was wrong."""
    whole = made()
    with asyncio.Runner(loop_factory=MovedClockLoop) as runner:
        ends: Counter[tuple[str, str]] = Counter()
        for case in range(seed, seed + number):
            rng = Random(case)  # noqa: S311 it has to be repeatable
            kind, name = rng.choice(sorted(KINDS)), rng.choice(sorted(whole))
            try:
                found, told = runner.run(tried(whole[name], KINDS[kind](rng, another(whole, name))))
            except Exception as error:  # noqa: BLE001 whatever is raised is told
                found, told = [f"{type(error).__name__}: {error}"], "raised"
            ends[kind, told] += 1
            if found:
                print(f"{case} ({kind}, {name}):", *found[:3], sep="\n    ")
    for (kind, told), times in sorted(ends.items()):
        print(f"{kind:20} {told:8} {times}")


if __name__ == "__main__":
    main(int(sys.argv[1]), int([*sys.argv, "0"][2]))
