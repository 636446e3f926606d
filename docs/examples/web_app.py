"""A web app that takes opt-outs, and cancels campaigns: FastAPI on uvicorn, several workers, one account.

Run it with the settings of the providers in the environment (``docs/settings.md``), and::

    OMEDA_ASYNC_SHARE_LIMITS=/run/omeda OUTBOX=/var/lib/app/opt-outs.sqlite3 \
        uvicorn web_app:app --workers 4 --timeout-graceful-shutdown 10

``docs/web.md`` tells why it is as it is.
"""

import contextlib
import logging
import math
import os
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from omeda_async import (
    AlreadyDone,
    BadRequest,
    Batcher,
    ClientOptOut,
    InvalidRecord,
    NotFound,
    OmedaAsyncError,
    OptOutReceipt,
    OptOutRecord,
    Outbox,
    OutboxError,
    Outcome,
    OutcomePending,
    OutcomeStatus,
    ProviderUnavailable,
    SessionManager,
    TooLate,
)

logger = logging.getLogger("unsubscribe")
PATIENCE = 2.0
"""Seconds that a reader waits for a turn at the limiter."""


class Reader(BaseModel):
    """Who wants to hear no more. Logs name the reader by the key, and never by the address."""

    key: str
    address: str


def unheard(outcome: Outcome[Any, Any]) -> None:
    """Note an outcome whose handler was cancelled: a time-out, or a shutdown that was too short for it."""
    logger.warning("unheard %s %s", outcome.key, outcome.status)


async def delivered(outcome: Outcome[Any, Any]) -> None:
    """Note what became of an opt-out of the outbox. At least once for each: do what may be done twice."""
    logger.warning("delivered %s %s", outcome.key, outcome.status)


@dataclass
class Tools:
    """What a worker works with."""

    manager: SessionManager
    batcher: Batcher[OptOutRecord, OptOutReceipt]
    outbox: Outbox[OptOutRecord, OptOutReceipt]


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None, None]:
    """Open all that a worker needs on its own loop; leaving waits for what is under way, 20 seconds at the most."""
    async with SessionManager.from_env() as manager:
        opt_outs = manager.omeda.with_options(timeout=10.0, deadline=20.0).opt_outs
        shared = {
            manager.omeda.limits.shared_by,
            manager.ocamba.limits.shared_by,
        }  # without their settings, it ends here
        logger.info("limits are shared by %s", ", ".join(sorted(shared)))
        async with (
            opt_outs.batcher(max_waiting=1_000, on_outcome=unheard) as batcher,
            opt_outs.outbox(os.environ["OUTBOX"], on_outcome=delivered) as outbox,
        ):
            app.state.tools = Tools(manager, batcher, outbox)
            yield
            await batcher.aclose(timeout=20.0)  # a turn at the limiter, and the calls after it, may take longer


def tools_of(request: Request) -> Tools:
    """Return what the worker of a request works with."""
    tools: Tools = request.app.state.tools
    return tools


app = FastAPI(lifespan=lifespan)
ToolsOf = Annotated[Tools, Depends(tools_of)]


@app.exception_handler(OmedaAsyncError)
async def come_back(_request: Request, error: OmedaAsyncError) -> JSONResponse:
    """Say when to come back: a limit or a queue is full, or the provider is away or has refused."""
    known = (getattr(error, name, None) for name in ("retry_in", "next_slot_in", "retry_after"))
    seconds = max(1, math.ceil(next(filter(None, known), 5.0)))
    logger.warning("503: %s", error)  # whose text has addresses masked
    detail = "it may have been done: look before you try again" if error.sent else "try again later"
    return JSONResponse({"detail": detail}, 503, headers={"Retry-After": str(seconds)})


@app.exception_handler(InvalidRecord)
async def invalid(_request: Request, error: InvalidRecord) -> JSONResponse:
    """Say what is wrong with what was given."""
    return JSONResponse({"detail": error.reason}, 422)


@app.post("/unsubscribe")
async def unsubscribe(reader: Reader, tools: ToolsOf) -> Outcome[OptOutRecord, OptOutReceipt]:
    """Answer when Omeda has: 200 is its word that the reader is opted out."""
    outcome = await tools.batcher.add(ClientOptOut(reader.address, key=reader.key), max_wait=PATIENCE)
    if outcome.status.is_done:
        return outcome
    if outcome.status is OutcomeStatus.REJECTED:
        raise HTTPException(422, str(outcome.error))
    if isinstance(outcome.error, ProviderUnavailable):
        raise outcome.error
    # Sending an opt-out again is harmless: so that it is where an answer was lost, too.
    raise HTTPException(503, outcome.status, headers={"Retry-After": "5"})


@app.post("/outbox", status_code=202)
async def accept(reader: Reader, tools: ToolsOf) -> dict[str, str]:
    """Answer when the opt-out is on disk: 202 is our word that it will be delivered, whatever happens."""
    try:
        ticket = await tools.outbox.put(ClientOptOut(reader.address), key=reader.key)
    except OutboxError as error:
        raise HTTPException(503, headers={"Retry-After": "5"}) from error
    return {"ticket": ticket}


@app.get("/outbox/{ticket}")
async def outcome_of(ticket: str, tools: ToolsOf) -> dict[str, str]:
    """Tell what became of it."""
    try:
        outcome = await tools.outbox.outcome(ticket, timeout=PATIENCE)
    except OutcomePending:
        return {"status": "pending"}
    except OutboxError as error:
        raise HTTPException(404) from error
    return {"status": outcome.status}


@app.post("/campaigns/{campaign_id}/cancel")
async def cancel(campaign_id: str, reason: str, tools: ToolsOf) -> dict[str, str]:
    """Cancel a campaign while somebody waits for it."""
    try:
        await tools.manager.ocamba.campaigns.cancel(campaign_id, reason=reason, max_wait=PATIENCE, deadline=20.0)
    except AlreadyDone:
        return {"status": OutcomeStatus.ALREADY_DONE}
    except NotFound as error:
        raise HTTPException(404) from error
    except (TooLate, BadRequest) as error:
        raise HTTPException(409, str(error)) from error
    return {"status": OutcomeStatus.DONE}


@app.get("/health")
async def health(tools: ToolsOf) -> dict[str, Any]:
    """Tell how this worker stands."""
    view, limits = tools.batcher.view, tools.manager.omeda.limits
    return {
        "worker": os.getpid(),
        "breaker": view.breaker,
        "waiting": view.waiting,
        "shared_by": limits.shared_by,
        "held_for": limits.held_for,
    }
