"""The whole of it: a file of 20,000 opt-outs with bad ids in it, and 300 campaigns under the real limits."""

import csv
import io
from collections.abc import Iterator
from random import Random
from typing import Any

from omeda_async import OutcomeStatus
from omeda_async.sandbox import Latency, Sandbox
from omeda_async.testing import run_moved
from tests.bulk.bulk_fakes import positions, statuses
from tests.bulk.sandboxed import manager_on

BRANDS = ("FOO", "XXD", "XXG", "XXH", "XXL", "XXM", "XXP", "XXQ")
TYPES = (4194, 4804, 4807)
ROWS = 20_000
PATIENCE = 0.0005
Row = tuple[str, str, str, str]


def rows() -> list[Row]:
    """Rows of a file: level, address, ids and source; 25 of them have an id that is refused."""
    rng = Random(20)  # noqa: S311 it has to be repeatable, not secret
    bad = set(rng.sample(range(ROWS), 25))
    made = []
    for number in range(ROWS):
        level = ("client", "brand", "deployment_type")[number % 3 if number not in bad else 1 + number % 2]
        ids = {
            "client": [],
            "brand": rng.sample(BRANDS, 2),
            "deployment_type": [str(one) for one in rng.sample(TYPES, 2)],
        }
        wanted = ids[level]
        if number in bad:
            wanted = [*wanted[: number % 2], "NOPE" if level == "brand" else "99"]
        made.append((level, f"reader{number}@example.com", "|".join(wanted), "a file"))
    return made


def as_csv(made: list[Row]) -> io.StringIO:
    file = io.StringIO()
    csv.writer(file).writerows([("level", "email", "ids", "source"), *made])
    file.seek(0)
    return file


def records(file: io.StringIO) -> Iterator[dict[str, Any]]:
    """Read the file lazily, as records."""
    for row in csv.DictReader(file):
        record: dict[str, Any] = {"email_address": row["email"], "source": row["source"], "key": row["email"]}
        if row["level"] == "brand":
            record["brand_ids"] = row["ids"].split("|")
        elif row["level"] == "deployment_type":
            record["deployment_type_ids"] = [int(one) for one in row["ids"].split("|")]
        yield record


def pairs(row: Row) -> set[tuple[str, str, Any]]:
    """What a row asks for, as the sandbox notes it."""
    level, email, ids, _ = row
    if level == "client":
        return {(level, email, None)}
    return {(level, email, int(one) if level == "deployment_type" else one) for one in ids.split("|")}


def refused(pair: tuple[str, str, Any]) -> bool:
    return pair[2] in {"NOPE", 99}


def test_a_file_of_opt_outs_ends_in_exactly_the_right_state() -> None:
    """Every good id of 20,000 rows is opted out once, every bad one is named, and each row has its outcome."""
    run_moved(_opt_outs(), patience=PATIENCE, debug=False)


async def _opt_outs() -> None:
    made = rows()
    async with Sandbox(latency=Latency(0.04, 0.5)) as sandbox, manager_on(sandbox) as manager:
        run = manager.omeda.opt_outs.submit_many(records(as_csv(made)))
        outcomes = [outcome async for outcome in run]
        applied = sandbox.omeda.opt_outs.counter()
    assert positions(outcomes) == list(range(ROWS))
    wanted = {pair for row in made for pair in pairs(row) if not refused(pair)}
    assert applied.keys() == wanted
    assert set(applied.values()) == {1}
    for outcome in outcomes:
        asked = pairs(made[outcome.position])
        bad = {pair for pair in asked if refused(pair)}
        assert outcome.key == made[outcome.position][1]
        if not bad:
            assert outcome.status is OutcomeStatus.DONE
        else:
            assert outcome.status is (OutcomeStatus.REJECTED if bad == asked else OutcomeStatus.PARTLY_DONE)
            assert outcome.key in str(getattr(outcome.error, "messages", ()))
    counts = statuses(outcomes)
    assert counts["done"] == ROWS - 25
    assert counts["rejected"] + counts["partly_done"] == 25
    assert run.report.requests <= 40 + 25
    assert run.report.complete


def test_three_hundred_campaigns_go_under_the_real_limits_without_a_refusal() -> None:
    """All are cancelled once, without a 429, and the budget is used but for two a minute: 60 to 85 seconds."""
    run_moved(_campaigns(), patience=PATIENCE, debug=False)


async def _campaigns() -> None:
    ids = [f"{number}" for number in range(1000, 1300)]
    async with Sandbox(seed=3, latency=Latency(0.04, 0.5, slow_share=0.02)) as sandbox, manager_on(sandbox) as manager:
        sandbox.ocamba.seed_campaigns(ids)
        run = manager.ocamba.campaigns.cancel_many(ids, reason="the end of the season")
        report = await run
        sandbox.assert_never_over_limit()
        assert {campaign.cancels for campaign in sandbox.ocamba.campaigns.values()} == {1}
        assert {campaign.status for campaign in sandbox.ocamba.campaigns.values()} == {"canceled"}
        assert not [request for request in sandbox.requests if request.status == 429]
    assert report.counts == {OutcomeStatus.DONE: 300}
    assert report.requests == 300
    assert report.duration < 85
