"""The chunks into which a shared run's journal is divided: what filling it gives, what claims are made of and give."""

import enum
import os
import secrets
import socket
from collections.abc import Sequence
from typing import Final, NamedTuple

import attrs

from omeda_async.bulk.journal.interface import Kept
from omeda_async.errors import OmedaAsyncError
from omeda_async.outcomes import AsJson

_TOKEN: Final = secrets.token_hex(4)
"""Where each process is the first of its container, their numbers are the same."""


def holder() -> str:
    """Return who this process is, for others and for people to read."""
    return f"{socket.gethostname()}, process {os.getpid()} ({_TOKEN})"


CANCELLED: Final = "the run was cancelled"


class ChunkStatus(enum.StrEnum):
    """How it stands with a chunk."""

    DONE = "done"
    """Each of its records has an outcome; nobody has to perform it any more."""
    TAKEN = "taken"
    """Another process performs it, or has been and may still have a request on its way: try after ``retry_in``."""
    CANCELLED = "cancelled"
    """The run was cancelled."""
    LEFT = "left"
    """It was stopped early, ``stopped_by`` says why: some of its records are not sent. Whoever performs it goes on."""


@attrs.frozen(kw_only=True)
class RunFilled(AsJson):
    """What the journal of a shared run holds, once all of the input has been read into it."""

    run: str
    """The name of the run."""
    place: str
    """Its URL without the password."""
    chunks: range
    """The numbers of all of its chunks, from 0, those of an earlier call of ``fill`` included."""
    records: int
    """Records that are sent, each once: they are in the chunks."""
    repeats: int
    """Records that ask for what an earlier one asks for, and share its outcome."""
    refused: int
    """Records that cannot be sent, those of earlier inputs included; the journal keeps the reasons."""
    added: int = 0
    """Of ``records``, those that this call has added; the others an earlier one had."""
    absent: int = 0
    """Of ``records``, those that this input does not hold, but an earlier one did. They are sent all the same."""


class ChunkRow(NamedTuple):
    """A record of a chunk that is to be sent."""

    id: int
    fingerprint: bytes
    kept: Kept | None
    """What is known of it; None: it may have been sent."""
    record: str
    """As JSON."""


@attrs.frozen(kw_only=True)
class Claimed:
    """A chunk that this process may perform, as long as it holds it."""

    journal: int
    number: int
    fence: int
    """Whoever claims it next has a higher one."""
    first: int
    last: int
    rows: Sequence[ChunkRow] = attrs.field(repr=False)
    salt: bytes | None = attrs.field(repr=False)
    requests: int
    """Made for it before."""
    recent: int
    """Made for the run of late, by processes that this one has not heard of before."""
    seconds_ago: float
    """When the last of them was seen."""


@attrs.frozen(kw_only=True)
class NotClaimed:
    """Why there is no chunk to perform."""

    status: ChunkStatus
    """``LEFT``: the input was not read to its end, and nobody reads it."""
    retry_in: float | None = None
    """Seconds after which there may be one."""
    stopped_by: OmedaAsyncError | None = None
    """Why none is to be waited for, unless all are done."""


@attrs.frozen(kw_only=True)
class Terms:
    """How chunks are held."""

    lease: float
    """Seconds for which it is held, unless that is renewed."""
    attempt: float
    """Seconds that a request may be under way: for so long after the lease nobody else performs the chunk."""
    lookback: float
    """Seconds that requests count as made of late."""
