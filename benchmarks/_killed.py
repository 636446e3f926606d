"""The journalled jobs that are killed, and the process that works at one."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import attrs

from omeda_async import (
    BasicAuth,
    BrandOptOut,
    BulkRun,
    JourneyManagerSettings,
    OcambaSettings,
    OmedaSettings,
    RateLimit,
    SessionManager,
)
from omeda_async.events import AttemptEnded, Event
from omeda_async.sandbox import Sandbox

SIZES = {"opt-outs": 300, "deployments": 40, "campaigns": 40, "transactions": 40}
ENTRIES = 10
FAST = RateLimit.courtesy(per_second=2000, parallel=8)
DONE = frozenset({"done", "already_done"})


@attrs.frozen
class Job:
    """A run that is killed and resumed: some records repeat, one does not exist, and one is incomplete."""

    kind: str
    number: int
    size: int = attrs.field(default=attrs.Factory(lambda self: SIZES[self.kind], takes_self=True))

    @property
    def names(self) -> list[str]:
        """Return the ids of its records."""
        size = self.size
        found = [f"{self.kind[0].upper()}{self.number}x{place}" for place in range(size)]
        found[size // 2], found[-1] = found[0], found[1]
        found[size // 3], found[size // 4] = f"missing-{self.number}", f"gone-{self.number}"
        return found

    @property
    def good(self) -> set[str]:
        """Return those that are to be applied."""
        return {name for name in self.names if "-" not in name}

    def allowed(self, name: str) -> frozenset[str]:
        """Say how a record may end."""
        if name.startswith("gone"):
            return frozenset({"partly_done" if self.kind == "opt-outs" else "too_late"})
        if name.startswith("missing"):
            return frozenset({"rejected"})
        return DONE

    @property
    def opt_outs(self) -> list[BrandOptOut]:
        """Return its records, of a job about opt-outs."""
        return [BrandOptOut(f"{name}@example.com", brand_ids=_brands(name)) for name in self.names]

    def run(self, manager: SessionManager, journal: Path | str) -> BulkRun:
        """Make the run; the same call resumes it."""
        match self.kind:
            case "opt-outs":
                return manager.omeda.opt_outs.submit_many(self.opt_outs, max_entries=ENTRIES, journal=journal)
            case "deployments":
                return manager.omeda.deployments.cancel_many(self.names, journal=journal)
            case "campaigns":
                return manager.ocamba.campaigns.cancel_many(self.names, reason="killed", journal=journal)
            case _:
                return manager.journey_manager.transactions.cancel_many(self.names, reason="killed", journal=journal)

    def seed(self, sandbox: Sandbox) -> None:
        """Return the sandbox what the job is about."""
        for name in {name for name in self.names if not name.startswith("missing")}:
            gone = name.startswith("gone")
            if self.kind == "deployments":
                sandbox.omeda.seed_deployment(name, "Sent" if gone else "Scheduled")
            elif self.kind == "campaigns":
                sandbox.ocamba.seed_campaign(name, "sent" if gone else "running")
            elif self.kind == "transactions":
                sandbox.journey_manager.seed_transaction(name, "Completed" if gone else "Saved")

    def applied(self, sandbox: Sandbox) -> set[str]:
        """Return what has been applied, by the sandbox's own books."""
        if self.kind == "opt-outs":
            return {name for name, times in self.processed(sandbox).items() if times}
        return {name for name, target in self._targets(sandbox).items() if target.cancels}

    def processed(self, sandbox: Sandbox) -> Counter[str]:
        """Count how often each record was processed: opt-outs applied, cancels applied or refused."""
        if self.kind != "opt-outs":
            return Counter({name: target.cancel_attempts for name, target in self._targets(sandbox).items()})
        counted = sandbox.omeda.opt_outs.counter()
        return Counter({name: counted["brand", f"{name}@example.com", "XXG"] for name in set(self.names)})

    def _targets(self, sandbox: Sandbox) -> Mapping[str, Any]:
        held: dict[str, Mapping[str, Any]] = {
            "deployments": sandbox.omeda.deployments,
            "campaigns": sandbox.ocamba.campaigns,
            "transactions": sandbox.journey_manager.transactions,
        }
        return held[self.kind]


def _brands(name: str) -> list[str]:
    if name.startswith("missing"):
        return ["NONE"]
    return ["XXG", "NONE"] if name.startswith("gone") else ["XXG"]


async def child(answers: Connection, url: str, journal: Path | str, job: Job) -> None:
    """Begin a job or resume it, and tell of each answer and each outcome as soon as it is there."""

    def heard(event: Event) -> None:
        if isinstance(event, AttemptEnded):
            answers.send(None)

    known = Sandbox()
    async with SessionManager(
        omeda=OmedaSettings(
            app_id=known.app_id,
            brand=known.brand,
            client=known.client,
            user_id=known.user_id,
            base_url=url,
            rate_limit=FAST,
        ),
        ocamba=OcambaSettings(token=known.ocamba_token, base_url=url, rate_limit=FAST),
        journey_manager=JourneyManagerSettings(
            base_url=f"{url}/workspaces",
            auth=BasicAuth(known.journey_manager_user, known.journey_manager_password),
            rate_limit=FAST,
        ),
        hooks=[heard],
    ) as manager:
        run = job.run(manager, journal)
        async for outcome in run:
            answers.send((outcome.position, outcome.status.value))
        answers.send(run.report.complete)


def in_child(answers: Connection, *job: Any) -> None:
    """Work in a process of its own, which may be killed at any moment."""
    asyncio.run(child(answers, *job))
