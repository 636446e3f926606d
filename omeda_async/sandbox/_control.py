"""The routes under ``/_sandbox`` that drive and inspect a sandbox from another process."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import attrs

from omeda_async.sandbox._faults import Fault
from omeda_async.sandbox._glance import records
from omeda_async.sandbox._message import Incoming, Response, json_response
from omeda_async.sandbox._state import State


def respond(state: State, incoming: Incoming) -> Response:
    """Do what a request under ``/_sandbox`` asks for; a wrong one gets a 400 that says why."""
    name = "/".join(incoming.segments[1:])
    if name not in _METHODS:
        return json_response(404, {"error": f"no such route; there are {', '.join(sorted(_METHODS))}"})
    if incoming.method != _METHODS[name]:
        return json_response(405, {"error": f"use {_METHODS[name]}"}, {"Allow": _METHODS[name]})
    try:
        return json_response(200, _ROUTES[name](state, incoming))
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        return json_response(400, {"error": f"{type(error).__name__}: {error}"})


def _shown(state: State, _incoming: Incoming) -> object:
    omeda = state.omeda
    return {
        "url": omeda.url,
        "omeda": {
            "deployments": {key: _plain(one) for key, one in omeda.deployments.items()},
            "creates": dict(omeda.creates),
            "opt_outs": {"submissions": len(omeda.opt_outs.submissions), "opt_outs": len(omeda.opt_outs)},
        },
        "ocamba": {"campaigns": {key: _plain(one) for key, one in state.ocamba.campaigns.items()}},
        "journey_manager": {
            "transactions": {key: _plain(one) for key, one in state.journey_manager.transactions.items()}
        },
        "faults": {
            "armed": [fault.label for fault in state.faults.armed],
            "fired": state.faults.by_label,
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


def _opt_outs(state: State, _incoming: Incoming) -> object:
    counts = state.omeda.opt_outs.counter()
    return [{"level": key[0], "email_address": key[1], "id": key[2], "times": times} for key, times in counts.items()]


def _requests(state: State, _incoming: Incoming) -> object:
    return [attrs.asdict(record) for record in state.audit.requests]


def _verdict(state: State, incoming: Incoming) -> object:
    findings = state.over_limit(any_phase=incoming.query.get("any_phase") == "1")
    return {
        "ok": not findings,
        "findings": findings,
        "requests": state.audit.counts.total(),
        "refused": state.limits.refusals,
    }


def _seed(state: State, incoming: Incoming) -> object:
    seeders: dict[tuple[str, str], Callable[..., object]] = {
        ("omeda", "deployments"): state.omeda.seed_deployment,
        ("ocamba", "campaigns"): state.ocamba.seed_campaign,
        ("journey_manager", "transactions"): state.journey_manager.seed_transaction,
    }
    seeded = 0
    for provider, kinds in _object(incoming).items():
        for kind, items in kinds.items():
            for item in items:
                seeders[provider, kind](**item)
                seeded += 1
    return {"seeded": seeded}


def _reset(state: State, _incoming: Incoming) -> object:
    state.reset()
    return {}


def _fault(state: State, incoming: Incoming) -> object:
    fault = Fault(**_object(incoming))
    state.faults.add(fault)
    return {"fault": fault.label}


def _clear(state: State, _incoming: Incoming) -> object:
    state.faults.clear()
    return {}


def _remove(state: State, incoming: Incoming) -> object:
    state.faults.remove(_object(incoming)["number"])
    return {}


def _records(state: State, incoming: Incoming) -> object:
    return records(state, incoming.query.get("kind", ""), incoming.query.get("id"))


def _object(incoming: Incoming) -> dict[str, Any]:
    if incoming.json_object is None:
        raise ValueError("the body must be a JSON object")
    return incoming.json_object


_READS: dict[str, Callable[[State, Incoming], object]] = {
    "state": _shown,
    "opt-outs": _opt_outs,
    "requests": _requests,
    "verdict": _verdict,
    "records": _records,
}
_ACTIONS: dict[str, Callable[[State, Incoming], object]] = {
    "seed": _seed,
    "reset": _reset,
    "fault": _fault,
    "faults/clear": _clear,
    "faults/remove": _remove,
}
_ROUTES = _READS | _ACTIONS
_METHODS = dict.fromkeys(_READS, "GET") | dict.fromkeys(_ACTIONS, "POST")
