"""Bulk runs as jobs of procrastinate, which keeps its queue in PostgreSQL. Needs the extra ``worker``.

::

    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo="postgresql://db.example.com/jobs"))
    jobs = BulkJobs(app, SessionManager.from_env)

    async with app.open_async():
        await jobs.defer_file("unsubscribed.csv", "opt-out", run="spring-cleaning")     # here
        await jobs.run_worker()                                                         # on as many hosts as you like

The input is read once into a journal, and each job performs one chunk of it. The queue, its workers and their
heartbeats are procrastinate's; that no record is sent twice, and none is lost, is the journal's. See ``docs/hosts.md``.
"""

from importlib.util import find_spec

if find_spec("procrastinate") is None:
    raise ModuleNotFoundError(
        "omeda_async.worker needs procrastinate: pip install 'omeda-async[worker]'", name="procrastinate"
    )

from omeda_async.worker._jobs import BulkJobs, Deferred, Waiting

__all__ = ["BulkJobs", "Deferred", "Waiting"]
