"""The benchmark of kills: what it compares after a job, it notices when it is not as it must be."""

import multiprocessing
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from benchmarks import _killed, kill
from omeda_async.sandbox import Sandbox

KINDS = ("opt-outs", "deployments", "campaigns", "transactions")


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(ocamba_windows=((10**9, 1.0),), ocamba_parallel=None) as sandbox:
        yield sandbox


async def finished(sandbox: Sandbox, job: _killed.Job, journal: Path) -> kill.Life:
    """Work at a job to its end, and give what was seen of it."""
    job.seed(sandbox)
    ours, theirs = multiprocessing.Pipe(duplex=False)
    life = kill.Life()
    with ours, theirs:
        await _killed.child(theirs, sandbox.url, journal, job)
        life.hear(ours)
    return life


def checked(sandbox: Sandbox, job: _killed.Job, life: kill.Life, journal: Path, **seen: tuple[str, int]) -> kill.Tally:
    """Compare, with outcomes that are said to have been seen before."""
    tally = kill.Tally()
    before = {int(position.removeprefix("at")): what for position, what in seen.items()}
    kill.check(tally, sandbox, job, life=life, seen=before, journal=journal)
    return tally


@pytest.mark.parametrize("kind", KINDS)
async def test_a_job_that_nobody_kills_is_found_to_be_right(sandbox: Sandbox, tmp_path: Path, kind: str) -> None:
    """Every record has its outcome, the sandbox and the journal agree, and nothing was sent twice."""
    job, journal = _killed.Job(kind, 1), tmp_path / "run.sqlite3"
    life = await finished(sandbox, job, journal)
    tally = checked(sandbox, job, life, journal, at0=("done", 1))
    assert (tally.records, tally.lost, tally.wrong, tally.again, tally.repeats) == (len(job.names), 0, 0, 0, 0)
    assert life.answered == sandbox.audit.counts.total() == tally.requests


async def test_what_is_not_as_it_must_be_is_counted(sandbox: Sandbox, tmp_path: Path) -> None:
    """A record without an outcome, one with two, one not applied, one sent again, one that ended otherwise."""
    job, journal = _killed.Job("deployments", 1), tmp_path / "run.sqlite3"
    life = await finished(sandbox, job, journal)
    assert checked(sandbox, job, life, journal, at0=("done", 0), at1=("already_done", 1)).again == 2
    sandbox.omeda.deployments[job.names[2]].cancels = 0
    assert checked(sandbox, job, life, journal).lost == 1
    first = life.outcomes.pop()
    missing = checked(sandbox, job, life, journal)
    assert (missing.lost, missing.wrong) == (2, 1)
    life.outcomes += [first, first]
    assert checked(sandbox, job, life, journal).lost == 2
    life.outcomes = [(position, "unknown") for position in range(len(job.names))]
    assert checked(sandbox, job, life, journal).wrong == len(job.names) + 1
