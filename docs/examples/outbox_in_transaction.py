"""A web app that keeps its accounts and an outbox in one PostgreSQL: an account is closed and opted out, or neither.

Run it with the settings of Omeda in the environment (see the README), and::

    DATABASE_URL=postgresql://app@db.example.com/app uvicorn outbox_in_transaction:app --workers 4

``docs/outbox.md`` tells what is promised.
"""

import contextlib
import os
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from omeda_async import ClientOptOut, InvalidRecord, OptOutReceipt, OptOutRecord, Outbox, OutboxError, SessionManager


class Base(DeclarativeBase):
    """The tables of this app."""


class Account(Base):
    """An account of a reader."""

    __tablename__ = "accounts"

    id: Mapped[int] = mapped_column(primary_key=True)
    address: Mapped[str]
    closed: Mapped[bool] = mapped_column(default=False)


@dataclass
class Tools:
    """What a worker works with."""

    sessions: async_sessionmaker[AsyncSession]
    outbox: Outbox[OptOutRecord, OptOutReceipt]


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None, None]:
    """Open all that a worker needs on its own loop."""
    url = os.environ["DATABASE_URL"]
    engine = create_async_engine(url.replace("postgresql://", "postgresql+psycopg://", 1))
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    where = f"{url}{'&' if '?' in url else '?'}outbox=opt-outs"
    async with SessionManager.from_env() as manager, manager.omeda.opt_outs.outbox(where) as outbox:
        app.state.tools = Tools(async_sessionmaker(engine), outbox)
        yield
    await engine.dispose()


app = FastAPI(lifespan=lifespan)


def tools(request: Request) -> Tools:
    """Give the tools of this worker."""
    found: Tools = request.app.state.tools
    return found


async def connection_of(session: AsyncSession) -> object:
    """Return the driver's own connection, which is inside the session's transaction."""
    return (await (await session.connection()).get_raw_connection()).driver_connection


@app.post("/accounts/{number}/close", status_code=202)
async def close(number: int, tools: Annotated[Tools, Depends(tools)]) -> dict[str, str]:
    """Close an account, and opt its reader out: both are committed, or neither is."""
    try:
        async with tools.sessions.begin() as session:
            account = await session.get(Account, number, with_for_update=True)
            if account is None:
                raise HTTPException(404)
            account.closed = True
            record, connection = ClientOptOut(account.address), await connection_of(session)
            ticket = await tools.outbox.put(record, key=f"account {number}", connection=connection)
    except InvalidRecord as error:
        raise HTTPException(422, error.reason) from None
    except OutboxError:
        raise HTTPException(503) from None
    return {"ticket": ticket}
