"""The routes under ``/_sandbox`` that drive and inspect a sandbox from another process."""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import attrs

from omeda_async.sandbox._faults import Fault
from omeda_async.sandbox._message import Answer, Incoming, json_answer

if TYPE_CHECKING:
    from omeda_async.sandbox._server import Sandbox


def answer(sandbox: "Sandbox", incoming: Incoming) -> Answer:
    """Answer a request under ``/_sandbox``; what is wrong with it comes back as a 400 that says so."""
    name = "/".join(incoming.segments[1:])
    if name not in _METHODS:
        return json_answer(404, {"error": f"no such route; there are {', '.join(sorted(_METHODS))}"})
    if incoming.method != _METHODS[name]:
        return json_answer(405, {"error": f"use {_METHODS[name]}"}, {"Allow": _METHODS[name]})
    try:
        return json_answer(200, _ROUTES[name](sandbox, incoming))
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        return json_answer(400, {"error": f"{type(error).__name__}: {error}"})


def _state(sandbox: "Sandbox", _incoming: Incoming) -> object:
    omeda = sandbox.omeda
    return {
        "url": sandbox.url,
        "omeda": {
            "deployments": {key: _plain(one) for key, one in omeda.deployments.items()},
            "creates": dict(omeda.creates),
            "opt_outs": {"submissions": len(omeda.opt_outs.submissions), "opt_outs": len(omeda.opt_outs)},
        },
        "ocamba": {"campaigns": {key: _plain(one) for key, one in sandbox.ocamba.campaigns.items()}},
        "journey_manager": {
            "transactions": {key: _plain(one) for key, one in sandbox.journey_manager.transactions.items()}
        },
        "faults": {
            "armed": [fault.label for fault in sandbox.faults.armed],
            "fired": sandbox.faults.by_label,
        },
    }


def _plain(one: Any) -> dict[str, Any]:
    return attrs.asdict(one, value_serializer=_as_json)


def _as_json(_instance: object, _field: object, value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, float) and abs(value) == float("inf"):
        return None
    return sorted(value) if isinstance(value, set) else value


def _opt_outs(sandbox: "Sandbox", _incoming: Incoming) -> object:
    counts = sandbox.omeda.opt_outs.counter()
    return [{"level": key[0], "email_address": key[1], "id": key[2], "times": times} for key, times in counts.items()]


def _requests(sandbox: "Sandbox", _incoming: Incoming) -> object:
    return [attrs.asdict(record) for record in sandbox.requests]


def _verdict(sandbox: "Sandbox", incoming: Incoming) -> object:
    findings = sandbox.over_limit(any_phase=incoming.query.get("any_phase") == "1")
    requests = sum(sandbox.audit.counts.values())
    return {
        "ok": not findings,
        "findings": findings,
        "requests": requests,
        "refused": sandbox.limits.refusals,
    }


def _seed(sandbox: "Sandbox", incoming: Incoming) -> object:
    seeders: dict[tuple[str, str], Callable[..., object]] = {
        ("omeda", "deployments"): sandbox.omeda.seed_deployment,
        ("ocamba", "campaigns"): sandbox.ocamba.seed_campaign,
        ("journey_manager", "transactions"): sandbox.journey_manager.seed_transaction,
    }
    seeded = 0
    for provider, kinds in _object(incoming).items():
        for kind, items in kinds.items():
            for item in items:
                seeders[provider, kind](**item)
                seeded += 1
    return {"seeded": seeded}


def _reset(sandbox: "Sandbox", _incoming: Incoming) -> object:
    sandbox.reset()
    return {}


def _fault(sandbox: "Sandbox", incoming: Incoming) -> object:
    return {"fault": sandbox.fault(Fault(**_object(incoming))).label}


def _clear(sandbox: "Sandbox", _incoming: Incoming) -> object:
    sandbox.faults.clear()
    return {}


def _object(incoming: Incoming) -> dict[str, Any]:
    if incoming.json_object is None:
        raise ValueError("the body must be a JSON object")
    return incoming.json_object


_READS: dict[str, Callable[["Sandbox", Incoming], object]] = {
    "state": _state,
    "opt-outs": _opt_outs,
    "requests": _requests,
    "verdict": _verdict,
}
_ACTIONS: dict[str, Callable[["Sandbox", Incoming], object]] = {
    "seed": _seed,
    "reset": _reset,
    "fault": _fault,
    "faults/clear": _clear,
}
_ROUTES = _READS | _ACTIONS
_METHODS = dict.fromkeys(_READS, "GET") | dict.fromkeys(_ACTIONS, "POST")
