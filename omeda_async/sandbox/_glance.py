"""What the sandbox's page shows: sums, windows, faults and the latest requests; addresses masked, no credentials."""

from collections.abc import Callable, Collection, Iterable
from itertools import islice
from math import isfinite
from typing import Any

import attrs

from omeda_async.sandbox._audit import RequestRecord
from omeda_async.sandbox._campaigns import SandboxCampaign
from omeda_async.sandbox._deployments import SandboxDeployment
from omeda_async.sandbox._faults import Fault
from omeda_async.sandbox._hiding import shown
from omeda_async.sandbox._opt_outs import OptOuts, OptOutSubmission
from omeda_async.sandbox._state import State
from omeda_async.sandbox._transactions import SandboxTransaction

MOST_REQUESTS = 50
"""How many requests one update shows; of more, the number."""
_MOST_RECORDS = 50
_MOST_FAULTS = 50
_MOST_PACKED = 65_536
"""Bytes of a packed request that is not too large to be opened for a look at its opt-outs."""
_MOST_OPT_OUTS = 1000
_FIELDS = tuple(field.name for field in attrs.fields(RequestRecord))


def glance(state: State, in_flight: Callable[[str], int], now: float) -> dict[str, Any]:
    """Return how things stand, without sums over records and without the requests one by one."""
    return {
        "requests": _counts(state),
        "in_flight": {name: in_flight(name) for name in state.apis},
        "peak_parallel": dict(state.audit.peak_parallel),
        "limits": _limits(state, now),
        "faults": _faults(state),
    }


def _counts(state: State) -> dict[str, Any]:
    counts = state.audit.counts
    by_provider = dict.fromkeys(state.apis, 0)
    by_answer: dict[str, int] = {}
    for (provider, _, status), times in counts.items():
        by_provider[provider] += times
        answer = "dropped" if status is None else f"{status // 100}xx"
        by_answer[answer] = by_answer.get(answer, 0) + times
    return {"total": counts.total(), "by_provider": by_provider, "by_answer": by_answer}


def _limits(state: State, now: float) -> dict[str, Any]:
    limits = state.limits
    windows = [
        {
            "calls": window.calls,
            "seconds": window.seconds,
            "used": window.used(now),
            "peak": window.peak,
            "ends_at": now + window.ends_in(now) if window.used(now) else None,
        }
        for window in limits.windows
    ]
    return {
        "windows": windows,
        "parallel": limits.parallel,
        "refused": limits.refusals,
        "findings": limits.findings(),
    }


def _faults(state: State) -> dict[str, Any]:
    armed = state.faults.numbered
    return {
        "armed": [_fault(state, *one) for one in armed[:_MOST_FAULTS]],
        "more": max(0, len(armed) - _MOST_FAULTS),
        "fired": dict(state.faults.by_label),
    }


def _fault(state: State, number: int, fault: Fault, left: int | None) -> dict[str, Any]:
    match = fault.match
    return {
        "number": number,
        "label": fault.label,
        "match": None if match is None else "a condition" if callable(match) else _shown(state, match),
        "left": left,
        "probability": fault.probability,
    }


def requests(state: State, most: int) -> list[dict[str, Any]]:
    """Return the latest requests as the page shows them, the newest first."""
    secrets = state.secrets
    return [_request(record, secrets) for record in state.audit.latest(min(most, MOST_REQUESTS))]


def _request(record: RequestRecord, secrets: Collection[str]) -> dict[str, Any]:
    plain = {name: getattr(record, name) for name in _FIELDS}
    return plain | {"path": shown(record.path, secrets), "method": shown(record.method, secrets)}


def records(state: State, kind: str, wanted: str | None) -> list[dict[str, Any]]:
    """Return some records of a kind as the page shows them, or the one with this id.

    Raises:
        ValueError: There is no such kind.
    """
    rows: Iterable[dict[str, Any]]
    match kind:
        case "deployments":
            rows = _some(state.omeda.deployments, wanted, _deployment)
        case "campaigns":
            rows = _some(state.ocamba.campaigns, wanted, _campaign)
        case "transactions":
            rows = _some(state.journey_manager.transactions, wanted, _transaction)
        case "opt-outs":
            rows = _opt_outs(state.omeda.opt_outs)
        case _:
            raise ValueError("kind must be deployments, campaigns, transactions or opt-outs")
    return [{name: _shown(state, cell) for name, cell in row.items()} for row in rows]


def _some(kept: dict[str, Any], wanted: str | None, row: Callable[[Any], dict[str, Any]]) -> list[dict[str, Any]]:
    if wanted:
        return [row(kept[wanted])] if wanted in kept else []
    return [row(one) for one in islice(reversed(kept.values()), _MOST_RECORDS)]


def _deployment(one: SandboxDeployment) -> dict[str, Any]:
    return {"id": one.track_id, "status": one.status, **_times(one), "name": one.name}


def _campaign(one: SandboxCampaign) -> dict[str, Any]:
    return {"id": one.id, "status": one.status, **_times(one), "name": one.name}


def _transaction(one: SandboxTransaction) -> dict[str, Any]:
    return {"id": one.submit_key, "status": one.form_status, **_times(one)}


def _times(one: SandboxDeployment | SandboxCampaign | SandboxTransaction) -> dict[str, int]:
    return {"cancels": one.cancels, "attempts": one.cancel_attempts}


def _opt_outs(kept: OptOuts) -> Iterable[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for submission in islice(reversed(kept.submissions), _MOST_RECORDS):
        rows.extend(_opened(submission))
        if len(rows) >= _MOST_RECORDS:
            break
    return rows[:_MOST_RECORDS]


def _opened(submission: OptOutSubmission) -> Iterable[dict[str, Any]]:
    if len(submission.packed) > _MOST_PACKED or submission.opt_outs > _MOST_OPT_OUTS:
        text = f"a request of {submission.opt_outs:,} opt-outs: see /_sandbox/opt-outs"
        return [{"address": text, "level": "", "of": ""}]
    return [
        {"address": one.email_address, "level": one.level, "of": "" if one.id is None else one.id}
        for one in islice(submission.opened(), _MOST_RECORDS)
    ]


def _shown(state: State, cell: object) -> Any:
    if cell is None or (isinstance(cell, int | float) and isfinite(cell)):  # JSON has no other numbers
        return cell
    return shown(str(cell), state.secrets)
