"""Redis for the tests: the one that is there, and others of their own that may be stopped and killed."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

URL = os.environ.get("OMEDA_ASYNC_TEST_REDIS", "redis://127.0.0.1:6379/0")
REQUIRED = os.environ.get("OMEDA_ASYNC_TEST_SERVICES") == "required"


def missing(what: str) -> None:
    """Skip a test, or fail where nothing may be missing."""
    if REQUIRED:
        pytest.fail(f"{what} (OMEDA_ASYNC_TEST_SERVICES=required)")
    pytest.skip(what)


def answers(host: str, port: int) -> bool:
    """Whether a server answers there."""
    try:
        with socket.create_connection((host, port), timeout=0.5) as connection:
            connection.settimeout(0.5)
            connection.sendall(b"PING\r\n")
            return connection.recv(64)[:1] in {b"+", b"-"}
    except OSError:
        return False


def free_port() -> int:
    """Return a port on which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def program() -> str:
    """Return where Redis's program is, or Valkey's; without one, the test is skipped, or fails where it is required."""
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    if found is None:
        missing("no redis-server or valkey-server to start: install one")
    return str(found)


class OwnServer:
    """A server of a test's own, without persistence: killed, it has lost everything."""

    def __init__(self, folder: Path, *options: str, host: str = "127.0.0.1") -> None:
        """Start it on a free port; at another address of this machine it serves whoever reaches that."""
        self.port = free_port()
        self._command = [program(), "--port", str(self.port), "--dir", str(folder), "--protected-mode", "no"]
        self._command += ["--bind", *dict.fromkeys(("127.0.0.1", host)), "--save", "", "--appendonly", "no", *options]
        self.url = f"redis://{host}:{self.port}/0"
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)  # noqa: S603 our own words
        give_up = time.monotonic() + 10
        while not answers("127.0.0.1", self.port):
            if self._process.poll() is not None:
                missing(f"no {self._command[0]} that starts with {self._command[1:]}")
            assert time.monotonic() < give_up, f"{self._command[0]} does not start"
            time.sleep(0.005)

    def kill(self) -> None:
        """Kill it, and wait until it is gone."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def suspend(self) -> None:
        """Let it stand still."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it run again."""
        self._process.send_signal(signal.SIGCONT)

    async def says(self, *command: str) -> bytes:
        """Send a command, and return the first that is answered."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        words = "".join(f"${len(word.encode())}\r\n{word}\r\n" for word in command)
        writer.write(f"*{len(command)}\r\n{words}".encode())
        try:
            return await reader.read(65_536)
        finally:
            writer.close()
            await writer.wait_closed()


def own_server(folder: Path, *options: str, host: str = "127.0.0.1") -> Iterator[OwnServer]:
    """Give a server, and kill it at the end."""
    server = OwnServer(folder, *options, host=host)
    try:
        yield server
    finally:
        server.kill()


def redis_url() -> str:
    """Return where Redis is; without one, the test is skipped, or fails where it is required."""
    place = urlsplit(URL)
    if not answers(place.hostname or "127.0.0.1", place.port or 6379):
        missing("no Redis answers")
    return URL
