"""How opt-outs go in bulk: many records in one request, and who of them is to blame when it is refused."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from hashlib import blake2b
from operator import attrgetter, itemgetter
from typing import Any

import attrs

from omeda_async._account import Account
from omeda_async._call import Call
from omeda_async._decide import in_doubt
from omeda_async._operation import Operation
from omeda_async._result import Result
from omeda_async.bulk import CommonCause, Evidence, Group, Isolation, Item, Job, Part, Sizes, in_vain, not_sent, size_of
from omeda_async.errors import ApiError, BatchRejected, ClosedError, OmedaAsyncError, ServerError
from omeda_async.providers.omeda._addresses import Addresses
from omeda_async.providers.omeda._converter import Entry, entry_of, read_opt_out, record_of
from omeda_async.providers.omeda._culprits import blame, merge, without_ids
from omeda_async.providers.omeda._operations import SUBMIT_OPT_OUTS
from omeda_async.providers.omeda._parse import MAY_BE_FOR_SIZE
from omeda_async.providers.omeda._requests import SubmitOptOuts
from omeda_async.providers.omeda.models import OptOutReceipt

# Omeda publishes no limit on the size of a request: these are ours.
MAX_ENTRIES = 500
MAX_BYTES = 256 * 1024
CONCURRENCY = 8
_PARAMS, _ADDRESS = attrgetter("params"), itemgetter(2)
SHORT = 200
"""Bytes: an entry of so many is its own fingerprint; a longer one is hashed, for the sake of memory."""


@attrs.define
class OptOutWork:
    """Work with one request for many opt-outs."""

    account: Account
    client: str
    addresses: Addresses = Addresses.REAL
    """Which addresses the records may be of."""
    max_entries: int = MAX_ENTRIES
    max_bytes: int = MAX_BYTES
    name: str = "opt_outs.submit_many"
    operation: Operation[SubmitOptOuts, OptOutReceipt] = SUBMIT_OPT_OUTS
    concurrency: int = CONCURRENCY
    look_ahead: int = 0
    sizes: Sizes = attrs.field(factory=Sizes, init=False, repr=False)
    _evidence: Evidence = attrs.field(init=False, repr=False)
    _common: CommonCause = attrs.field(init=False, repr=False)
    _one_at_a_time: asyncio.Lock = attrs.field(factory=asyncio.Lock, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._evidence = Evidence(sizes=self.sizes)
        self._common = CommonCause(SUBMIT_OPT_OUTS, self.account.retry)

    @property
    def scope(self) -> dict[str, Any]:
        """Return what holds for every record."""
        return {"client": self.client}

    @property
    def reading(self) -> dict[str, Any]:
        """Return what else decides how records read."""
        return {"allow_odd_addresses": True if self.addresses is Addresses.ODD else None}

    def read(self, raw: Any) -> Item:
        """Turn a record into an item.

        Raises:
            InvalidRecord: It cannot be sent.
        """
        entry, key = read_opt_out(raw, self.addresses)
        data = entry[1]
        same = data if len(data) <= SHORT else blake2b(data, digest_size=16).digest()
        return Item(raw, key, entry, same, len(data) + 1)

    async def perform(self, items: list[Item], job: Job) -> None:
        """Send the items in one request, and isolate the culprits if it is refused."""
        result = None
        known = self.sizes.refused and len(items) > 1 and self.sizes.too_large(size_of(items))
        if not (job.stop.is_set or known):
            call = self._call(list(map(_PARAMS, items)), job)
            result = await job.run(call)
            if result.error is None:
                common = self._common
                common.alive = call.deadline
                if common.met or common.away or not common.proved:
                    common.took()
                self._evidence.accepted = True
                self.sizes.took(size_of(items))
                job.close(items, result)
                return
        isolation = Isolation(items, _blame, _without, self._evidence)
        async with AsyncExitStack() as turn:
            await self._isolate(isolation, job, turn, result)
        job.rest = self._common.rest()

    async def _isolate(self, isolation: Isolation, job: Job, turn: AsyncExitStack, result: Result[Any] | None) -> None:
        waited = False
        while (group := isolation.next()) is not None:
            if self._evidence.accepted:
                await turn.aclose()
            elif result is None and not waited and (group.cause is not None or self.sizes.refused):
                # Nobody named, nothing accepted yet: one batch at a time finds out whether the cause meets everyone,
                # or which size goes through.
                await turn.enter_async_context(self._one_at_a_time)
                waited = True
            if result is not None:
                self._take(isolation, job, group, result)
                result = None
            elif job.stop.is_set or (group.isolating and not job.spend_isolation()):
                isolation.give_up(_left_out(job), group)
                isolation.give_up(_left_out(job))
            elif len(group.parts) > 1 and self.sizes.too_large(group.size):
                isolation.cut(group)
            else:
                answer = await job.run(self._call(list(map(_PARAMS, group.parts)), job, fail_fast=group.probes_size))
                self._take(isolation, job, group, answer)
            # At once: should this be broken off, what is certain so far is known.
            _close(isolation, job)
        _close(isolation, job)

    def _take(self, isolation: Isolation, job: Job, group: Group, result: Result[Any]) -> None:
        error = result.error
        if self._common.suspects(error, lone=len(group.parts) == 1) and error is not None:
            isolation.failed(group, in_vain(result))
            if self._common.is_certain:
                job.stop.set(self._common.cause(error))
        elif error is None:
            isolation.accepted(group, result)
        elif isinstance(error, ApiError) and _refuses_the_batch(error) and (result.lost or not result.doubtful):
            isolation.refused(group, error, result.attempts, lost=result.lost)
        elif _may_be_for_size(error) and not job.stop.is_set and job.time_left() > self.account.shortest_attempt:
            isolation.too_large(group, result)
        else:
            isolation.failed(group, in_vain(result))
        if isolation.common_cause is not None:
            job.stop.set(isolation.common_cause)

    def _call(self, entries: list[Entry], job: Job, *, fail_fast: bool = False) -> Call[SubmitOptOuts, OptOutReceipt]:
        if len(set(map(_ADDRESS, entries))) < len(entries):
            # Records of the same address, level and source share an entry, as in Omeda's own example.
            entries = [entry_of(record, Addresses.ODD) for record in merge(map(record_of, entries))]
        params = SubmitOptOuts(client=self.client, opt_outs=entries)
        options = attrs.evolve(job.call_options, fail_fast=True) if fail_fast else job.call_options
        return Call(self.account, SUBMIT_OPT_OUTS, params, options)


def _close(isolation: Isolation, job: Job) -> None:
    closed, isolation.closed = isolation.closed, []
    for item, result in closed:
        job.close([item], result)


def _refuses_the_batch(error: ApiError) -> bool:
    return isinstance(error, BatchRejected) or error.status in {400, 409, 422}


def _may_be_for_size(error: OmedaAsyncError) -> bool:
    """Whether a smaller request may fare better: the provider says so, it broke down over this one, or a page came."""
    if isinstance(error, ApiError) and not isinstance(error, ServerError):
        return error.status in MAY_BE_FOR_SIZE or _refuses_the_batch(error)
    return in_doubt(error) and getattr(error, "status", None) != 503


def _blame(entries: Sequence[Entry], culprits: Any) -> dict[int, Any]:
    return blame(list(map(record_of, entries)), culprits) if culprits else {}


def _without(entry: Entry, refused: Any) -> Entry | None:
    left = without_ids(record_of(entry), refused)
    return None if left is None else entry_of(left, Addresses.ODD)


def _left_out(job: Job) -> Callable[[Part], Result[Any]]:
    stopped = job.stop.is_set
    reason = "the run was stopped" if stopped else "the run's max_isolation_requests are used up"

    def make(part: Part) -> Result[Any]:
        unclear = "it was known whether this record is a culprit" if part.attempts else "this record was sent"
        return not_sent(ClosedError(f"{reason} before {unclear}"), part.attempts)

    return make
