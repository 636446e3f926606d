"""Tables of the queue that another version of procrastinate has made, or that are another role's."""

import secrets
from collections.abc import Iterator

import pytest
from procrastinate import App, PsycopgConnector
from psycopg.conninfo import conninfo_to_dict

from omeda_async import ConfigurationError
from omeda_async.worker import BulkJobs
from tests.worker.worker_help import carry_out, manager

pytestmark = pytest.mark.real_clock  # the queue is another process's


@pytest.fixture
def older(database: str) -> Iterator[str]:
    """Give a database in which the queue's functions are not those that are called now."""
    schema = f"older_{secrets.token_hex(6)}"
    carry_out(database, f"CREATE SCHEMA {schema}")
    yield database.replace(str(conninfo_to_dict(database)["options"]).rpartition("=")[2], schema)
    carry_out(database, f"DROP SCHEMA {schema} CASCADE")


async def made(database: str, *lost: str) -> App:
    """Make the tables, and take some functions away."""
    app = App(connector=PsycopgConnector(conninfo=database))
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
    for name in lost:
        carry_out(database, f"ALTER FUNCTION {name} RENAME TO {name}_of_old")
    return app


async def test_a_worker_whose_queue_is_of_another_version_ends_and_says_so(older: str) -> None:
    """It does not begin anew again and again, as where the database is away."""
    app = await made(older, "procrastinate_register_worker_v1")
    async with app.open_async():
        with pytest.raises(ConfigurationError, match=r"by procrastinate 3.*procrastinate_register_worker"):
            await BulkJobs(app, manager).run_worker()


@pytest.mark.usefixtures("script")
async def test_a_run_is_not_deferred_to_a_queue_of_another_version(older: str) -> None:
    """The error says what is missing."""
    await made(older, "procrastinate_defer_jobs_v1")
    with pytest.raises(ConfigurationError, match=r"cannot be used by procrastinate 3.*procrastinate_defer_jobs"):
        async with BulkJobs.at(older, manager) as jobs:
            await jobs.defer_rows(["1"], "cancel-campaigns", run="any")
