"""The records of the demo, and the state of the sandbox that goes with them: the same each time."""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from omeda_async.rows._formulas import quoted
from omeda_async.sandbox import Sandbox

OPT_OUTS = 5_000
CAMPAIGNS = 180
MINUTE_ENDS_IN = 30.0
"""Seconds from the start. The limit is the same wherever the minute begins, and nobody has to wait a whole one."""
DEPLOYMENTS = 50
TRANSACTIONS = 50
BRANDS = ("XXD", "XXG", "XXH", "XXP")
DEPLOYMENT_TYPES = (23, 25, 4194, 4804)
BAD: Mapping[int, dict[str, Any]] = {
    1_234: {"brand_ids": ["ZZZ"]},
    2_718: {"deployment_type_ids": [99_999]},
    4_321: {"brand_ids": ["QQQ"]},
}
"""Opt-outs that Omeda refuses: ids the account is not authorised for."""
CANCELLED = frozenset({7, 19, 31})
"""Deployments that were cancelled before."""
SENT = 42
"""The deployment that was sent."""


def opt_outs() -> Iterator[dict[str, Any]]:
    """Return the opt-outs, over the three levels."""
    for number in range(1, OPT_OUTS + 1):
        record: dict[str, Any] = {"email_address": f"reader{number}@example.com", "key": f"reader-{number}"}
        if number in BAD:
            yield record | BAD[number]
        elif number % 3 == 1:
            yield record | {"brand_ids": [BRANDS[number % 4], BRANDS[(number + 1) % 4]]}
        elif number % 3 == 2:
            yield record | {"deployment_type_ids": [DEPLOYMENT_TYPES[number % 4]]}
        else:
            yield record | {"level": "client"}


def campaigns() -> list[str]:
    """Return the ids of the campaigns."""
    return [str(1_000_248 + number) for number in range(CAMPAIGNS)]


def deployments() -> list[str]:
    """Return the track ids of the deployments."""
    return [f"FOO02010010{number:02}" for number in range(1, DEPLOYMENTS + 1)]


def transactions() -> list[str]:
    """Return the submit keys of the transactions."""
    return [f"15d071280b92c867f86975b9cd2e{number:04x}" for number in range(TRANSACTIONS)]


def seed_sandbox(sandbox: Sandbox) -> None:
    """Put everything in place that the records are about."""
    sandbox.ocamba.seed_campaigns(campaigns())
    for number, track_id in enumerate(deployments(), 1):
        status = "Cancelled" if number in CANCELLED else "Sent" if number == SENT else "Scheduled"
        sandbox.omeda.seed_deployment(track_id, status, deployment_date="2026-01-15 09:00")
    for key in transactions():
        sandbox.journey_manager.seed_transaction(key)


def set_minute(sandbox: Sandbox, now: float) -> None:
    """Make one of Ocamba's minutes end soon: the campaigns do not fit into one, and the rest waits for the next."""
    minute = max(sandbox.limits.windows, key=lambda window: window.seconds)
    minute.phase = now + MINUTE_ENDS_IN - minute.seconds


def write_files(directory: Path) -> Iterator[Path]:
    """Write the records as input files, and yield the path of each.

    Raises:
        OSError: The directory cannot be written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    lists = {"campaigns": campaigns(), "deployments": deployments(), "transactions": transactions()}
    for name, ids in lists.items():
        path = directory / f"{name}.txt"
        path.write_text("".join(f"{one}\n" for one in ids), encoding="utf-8")
        yield path
    path = directory / "opt-outs.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["email_address", "level", "brand_ids", "deployment_type_ids", "key"])
        writer.writeheader()
        writer.writerows({name: _cell(value) for name, value in record.items()} for record in opt_outs())
    yield path


def _cell(value: Any) -> str:
    return quoted("|".join(map(str, value)) if isinstance(value, list) else str(value))
