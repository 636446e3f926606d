"""A bulk command that enqueues: its file is read into a journal, and workers send it."""

import asyncio

from omeda_async.cli._order import Format, Order
from omeda_async.cli._screen import Exit, counted, notes, print_json, results, say, say_command
from omeda_async.rows import RowFile
from omeda_async.worker import BulkJobs, Deferred
from omeda_async.worker._operations import OPERATIONS
from omeda_async.worker._places import split


def enqueue(order: Order, rows: RowFile) -> Exit:
    """Read the records into the journal, and make a job for each chunk; nothing is sent."""
    deferred = asyncio.run(_deferred(order, rows))
    if order.asked.format is Format.JSON:
        print_json({"enqueued": {"operation": order.title, **order.where}, **deferred.to_dict()})
    else:
        _show(order, deferred)
    return Exit.NOT_ALL_DONE if deferred.refused else Exit.DONE


async def _deferred(order: Order, rows: RowFile) -> Deferred:
    database, run = split(order.asked.journal or "")
    operation = next(name for name, one in OPERATIONS.items() if one.rows is order.kind)
    options = {name: value for name, value in order.own.items() if value is not None}
    if order.asked.concurrency is not None:
        options["concurrency"] = order.asked.concurrency
    async with BulkJobs.at(database, order.manager) as jobs:
        return await jobs.defer_rows(
            rows, operation, run=run, priority=order.asked.priority, reopen=order.asked.reopen, **options
        )


def _show(order: Order, deferred: Deferred) -> None:
    say(results(), f"{order.title} {order.whereabouts}: enqueued", "bold")
    what = f"{counted(deferred.records, 'record')} in {counted(deferred.chunks, 'chunk')}"
    for number, name in ((deferred.repeats, "repeats"), (deferred.refused, "cannot be sent")):
        if number:
            what += f"; {number:,} {name}"
    say(results(), f"{what}; {counted(deferred.jobs, 'new job')}.")
    if deferred.added < deferred.records:
        say(results(), f"Of these records, {deferred.records - deferred.added:,} were there before.")
    if deferred.absent:
        text = f"Not in this file, but in an earlier one: {counted(deferred.absent, 'record')}, sent all the same."
        say(notes(), f"{text} A file of its own needs a run=NAME of its own.", "yellow")
    say(notes(), "This sends them, on as many hosts as you like, and this shows how it stands:", "dim")
    say_command(notes(), "worker", split(deferred.place)[0])
    say_command(notes(), "status", deferred.place)
