"""PostgreSQL for the tests: the one that is there, and others of their own that may be stopped and killed."""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import attrs
import psycopg
import pytest

from omeda_async._postgres_blocking import Connection, connect

URL = os.environ.get("OMEDA_ASYNC_TEST_POSTGRES", "postgresql://127.0.0.1:5432/postgres")
REQUIRED = os.environ.get("OMEDA_ASYNC_TEST_SERVICES") == "required"


def missing(what: str) -> None:
    """Skip a test, or fail where nothing may be missing."""
    if REQUIRED:
        pytest.fail(f"{what}, and OMEDA_ASYNC_TEST_SERVICES=required")
    pytest.skip(f"{what}: start one, or name it in OMEDA_ASYNC_TEST_POSTGRES")


def postgres_url() -> str:
    """Return where PostgreSQL is; without one, the test is skipped, or fails where it is required."""
    try:
        psycopg.connect(URL, connect_timeout=2).close()
    except psycopg.Error:
        missing("no PostgreSQL answers")
    return URL


@contextlib.contextmanager
def own_schema() -> Iterator[str]:
    """Give the address of a schema of our own in that PostgreSQL; it is dropped in the end."""
    url, name = postgres_url(), f"omeda_async_test_{secrets.token_hex(6)}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}".encode())
    yield f"{url}{'&' if '?' in url else '?'}options=-csearch_path%3D{name}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"DROP SCHEMA {name} CASCADE".encode())


def program(name: str) -> str:
    """Return where a program of PostgreSQL is."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    found = shutil.which(name, path=os.pathsep.join([*map(str, reversed(places)), os.environ.get("PATH", "")]))
    if found is None:
        missing(f"no {name} to start a PostgreSQL with")
    return str(found)


def free_port() -> int:
    """Return a port on which nobody listens, and that no connection is given: a server may be stopped, and started."""
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as free, contextlib.suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port


@attrs.define
class AwayAtFirst:
    """Connects, and finds nobody there so many times."""

    times: int
    tries: int = 0

    def __call__(self, url: str) -> Connection:
        """Connect."""
        self.tries += 1
        return connect(f"postgresql://127.0.0.1:{free_port()}/x" if self.tries <= self.times else url)


class OwnPostgres:
    """A server of a test's own, whose data is on disk as far as it is ever on disk, unless it is told otherwise."""

    def __init__(self, folder: Path, host: str = "127.0.0.1", *, syncs: bool = True) -> None:
        """Make it, and start it on a free port; at another address of this machine it trusts whoever reaches that."""
        self.folder, self.port, self.host, self._syncs = folder / "data", free_port(), host, syncs
        self._user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
        if self._user:
            shutil.chown(folder, "postgres")
        make = [program("initdb"), "--auth=trust", "--username=postgres", "--no-sync", "-D", str(self.folder)]
        subprocess.run([*self._user, *make], check=True, capture_output=True, cwd="/")  # noqa: S603 our own words
        self.url = f"postgresql://postgres@{host}:{self.port}/postgres"
        with (self.folder / "pg_hba.conf").open("a", encoding="ascii") as rules:
            rules.write(f"host all all {host}/24 trust\n")
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = [
            f"-p{self.port}",
            "-cunix_socket_directories=",
            f"-clisten_addresses={self.host}",
            "-cmax_connections=100",
            f"-cfsync={'on' if self._syncs else 'off'}",
        ]
        command = [*self._user, program("postgres"), "-D", str(self.folder), *options]
        with (self.folder.parent / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stderr=log, cwd="/")  # noqa: S603 our own words
        give_up = time.monotonic() + 20
        while True:
            try:
                psycopg.connect(self.url, connect_timeout=2).close()
            except psycopg.Error:
                runs = self.process.poll() is None and time.monotonic() < give_up
                assert runs, (self.folder.parent / "log").read_text()[-2000:]
                time.sleep(0.01)
            else:
                return

    def says(self, sql: str) -> list[tuple[object, ...]]:
        """Carry out a statement."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description is not None else []

    def stop(self, by: signal.Signals = signal.SIGINT) -> None:
        """Stop it, and wait until it is gone."""
        self.process.send_signal(by)
        self.process.wait()

    def signal_all(self, number: signal.Signals) -> None:
        """Send a signal to the server and all of its processes."""
        for pid in (self.process.pid, *children_of(self.process.pid)):
            with contextlib.suppress(ProcessLookupError):  # some end by themselves
                os.kill(pid, number)


def children_of(parent: int) -> list[int]:
    """Return the processes that a process has started; none where it is gone."""
    with contextlib.suppress(FileNotFoundError):
        return [int(one) for one in Path(f"/proc/{parent}/task/{parent}/children").read_text("ascii").split()]
    return []


@contextlib.contextmanager
def own_postgres(host: str = "127.0.0.1", *, syncs: bool = True) -> Iterator[OwnPostgres]:
    """Give a server in a folder of its own, and stop it at the end.

    Not in a folder of pytest's, or where root keeps its files: PostgreSQL runs as a user then who may not see it.
    """
    where = "/tmp" if os.geteuid() == 0 else None  # noqa: S108 the folder in it is of this run alone
    with tempfile.TemporaryDirectory(prefix="omeda-async-postgres-", dir=where, ignore_cleanup_errors=True) as folder:
        server = OwnPostgres(Path(folder), host, syncs=syncs)
        try:
            yield server
        finally:
            server.signal_all(signal.SIGCONT)
            server.stop()
