"""Journals written by version 0.1.0: they are resumed by this one, or refused; nothing is ever sent again."""

import re
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from omeda_async import JournalError, OutcomeStatus, SessionManager
from omeda_async.journal import read_not_done, read_status
from omeda_async.sandbox import Sandbox
from tests.bulk import fault_notes as notes, journal_samples as samples
from tests.bulk.sandboxed import manager_on

OPEN = {OutcomeStatus.UNKNOWN, OutcomeStatus.FAILED, OutcomeStatus.NOT_SENT}
ADDRESS = re.compile(r"\S*@\S*")
EVERY = [(kind, mode, end) for kind in samples.KINDS for mode in samples.MODES for end in samples.ENDS]


@pytest.mark.parametrize(("kind", "mode", "end"), EVERY)
async def test_a_journal_of_version_0_1_0_is_resumed(tmp_path: Path, kind: str, mode: str, end: str) -> None:
    """What it had settled is told again and not asked about; all else is brought to its end, each applied once."""
    sample, journal = samples.sample_of(kind, mode, end), tmp_path / "run.sqlite3"
    names, before = samples.names(), samples.expected_of(sample)
    settled = {place: one for place, one in before.items() if OutcomeStatus(one["status"]) not in OPEN}
    rest = {place: before.get(place) for place in range(len(names)) if place not in settled}
    doubtful = [place for place, one in rest.items() if one is None or one["status"] == "unknown"]
    with notes.every_exchange() as exchanges:
        async with Sandbox() as sandbox, manager_on(sandbox) as manager:
            samples.seed(sandbox, kind)
            for place in doubtful[::2]:  # as if its request had got there
                await _apply(manager, kind, names[place])
            exchanges.clear()
            samples.unpack(sample, journal, sandbox.url)
            _check_read(journal, before)
            plan = await samples.start(manager, kind, journal=journal, journal_pii=mode).plan()
            run = samples.start(manager, kind, journal=journal, journal_pii=mode)
            after = {one.position: samples.told(one) async for one in run}
    assert plan.settled == len({names[place] for place in settled} - {""})
    assert sorted(after) == list(range(len(names)))
    assert {place: _masked(after[place], mode) for place in settled} == {
        place: _masked(one, mode) for place, one in settled.items()
    }
    assert set(exchanges) == {names[place] for place in rest}
    assert (run.report.requests == 0) is (end == "finished")
    assert {after[place]["status"] for place in rest} <= {"done", "already_done"}
    assert not any(after[place]["error"] for place in rest)
    _check_applied(sandbox, kind, {names[place] for place in rest})
    status = read_status(journal)
    assert status.complete
    assert status.counts == run.report.counts


def _check_read(journal: Path, before: dict[int, Any]) -> None:
    status, total = read_status(journal), len(samples.names())
    assert status.counts == Counter(OutcomeStatus(one["status"]) for one in before.values())
    assert (status.total, status.under_way, status.runs[0].version) == (total, total - len(before), "0.1.0")
    done = sum(one["status"] == "done" for one in before.values())
    assert len(list(read_not_done(journal))) == total - done


async def _apply(manager: SessionManager, kind: str, name: str) -> None:
    if kind == "deployments":
        await manager.omeda.deployments.cancel(name)
    elif kind == "campaigns":
        await manager.ocamba.campaigns.cancel(name)
    elif kind == "transactions":
        await manager.journey_manager.transactions.cancel(name)
    else:
        await manager.omeda.opt_outs.submit_many([samples.opt_out(name, kind)])


def _masked(one: dict[str, Any], mode: str) -> dict[str, Any]:
    if mode == "keep" or one["error"] is None:
        return one
    return {**one, "error": [one["error"][0], ADDRESS.sub("***", one["error"][1])]}


def _check_applied(sandbox: Sandbox, kind: str, names: set[str]) -> None:
    targets: dict[str, Any] = {
        "deployments": sandbox.omeda.deployments,
        "campaigns": sandbox.ocamba.campaigns,
        "transactions": sandbox.journey_manager.transactions,
    }
    if kind in targets:
        assert {name for name, target in targets[kind].items() if target.cancels == 1} == names
        assert max(target.cancels for target in targets[kind].values()) <= 1
    else:
        assert {one.email_address.partition("@")[0] for one in sandbox.omeda.opt_outs} == names


@pytest.mark.parametrize("number", [0, 1, 3, 2**31 - 1])
async def test_a_journal_of_another_format_is_refused(tmp_path: Path, number: int) -> None:
    """The message names both formats and what to do; nothing is sent, and the file is left as it is."""
    journal = tmp_path / "run.sqlite3"
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        samples.unpack(samples.sample_of("deployments", "keep", "stopped"), journal, sandbox.url)
        with closing(sqlite3.connect(journal)) as connection:
            connection.execute(f"PRAGMA user_version = {number}")
        content = journal.read_bytes()
        with pytest.raises(JournalError) as refusal:
            await samples.start(manager, "deployments", journal=journal)
        with pytest.raises(JournalError):
            await samples.start(manager, "deployments", journal=journal).plan()
        with pytest.raises(JournalError):
            read_status(journal)
        assert not sandbox.requests
    assert journal.read_bytes() == content
    older = number < 2
    for part in (f"format {number};", "reads 2)", "an older version" if older else "a newer version", "another file"):
        assert part in str(refusal.value)
    assert ("finish it with that version" if older else "upgrade") in str(refusal.value)
