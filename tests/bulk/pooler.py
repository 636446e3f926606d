"""A PgBouncer of a test's own, where one is installed."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest

from tests.limits.postgres_service import OwnPostgres, free_port


@contextmanager
def pgbouncer(server: OwnPostgres, mode: str) -> Iterator[str]:
    """Give the address of one before a server."""
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        pytest.skip("no pgbouncer is installed")
    where = "/tmp" if os.geteuid() == 0 else None  # noqa: S108 the folder in it is of this run alone
    with TemporaryDirectory(prefix="omeda-async-pgbouncer-", dir=where) as folder:
        port, file = free_port(), Path(folder) / "pgbouncer.ini"
        file.write_text(
            f"[databases]\n* = host=127.0.0.1 port={server.port} user=postgres\n[pgbouncer]\nauth_type = any\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\npool_mode = {mode}\n"
        )
        user: list[str] = []
        if os.geteuid() == 0:  # which it refuses to be
            shutil.chown(folder, "postgres")
            shutil.chown(file, "postgres")
            user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        process = subprocess.Popen([*user, program, "-q", str(file)], stderr=subprocess.DEVNULL, cwd="/")  # noqa: S603 our own words
        url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
        try:
            give_up = time.monotonic() + 20.0
            while True:
                try:
                    psycopg.connect(url, connect_timeout=2).close()
                except psycopg.Error:
                    assert time.monotonic() < give_up
                    time.sleep(0.02)
                else:
                    break
            yield url
        finally:
            process.terminate()
            process.wait()
