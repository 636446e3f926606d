"""Hosts on one machine: each a network namespace with a disk and a name of its own, where this machine permits that.

They reach each other through a bridge. A server of this process can listen on the loopback address of each, as plain
HTTP goes nowhere else.
"""

import ctypes
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import attrs

_NEW_NETWORK = 0x40000000
"""What setns(2) enters: CLONE_NEWNET."""
DISK = "/mnt"
"""Where a host has its disk; what is on another's cannot be seen there."""
_ENTER = f'hostname "$1" && mount --bind "$2" {DISK} && mount -t tmpfs none "$3" && shift 3 && exec "$@"'


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)  # noqa: S603, S607 our own words


@attrs.frozen
class Host:
    """One of them."""

    name: str
    disk: Path
    """A folder; with a namespace, a file system of its own."""
    namespace: str | None
    """None: the machine does not permit one."""

    def command(self, *words: str) -> list[str]:
        """Return the command that becomes a program on this host; its process is that program's."""
        if self.namespace is None:
            return list(words)
        enter = ["ip", "netns", "exec", self.namespace, "unshare", "--mount", "--uts"]
        return [*enter, "sh", "-c", _ENTER, "sh", self.name, str(self.disk), str(self.disk.parent), *words]

    def environment(self) -> dict[str, str]:
        """Return the variables of programs on this host."""
        folder = DISK if self.namespace else str(self.disk)
        return os.environ | {"TMPDIR": folder, "HOME": folder}

    def listening(self, port: int) -> socket.socket | None:
        """Listen on this host's loopback address; None where that is this machine's own."""
        if self.namespace is None:
            return None
        with ThreadPoolExecutor(1) as apart:  # a thread that has entered a namespace stays there
            return apart.submit(_listening, self.namespace, port).result()


def _listening(namespace: str, port: int) -> socket.socket:
    with Path(f"/run/netns/{namespace}").open("rb") as place:
        if ctypes.CDLL(None, use_errno=True).setns(place.fileno(), _NEW_NETWORK):
            raise OSError(ctypes.get_errno(), "the namespace cannot be entered")
    return socket.create_server(("127.0.0.1", port))


def may_have_namespaces() -> bool:
    """Whether this process may make namespaces."""
    if os.geteuid() or not all(map(shutil.which, ("ip", "unshare", "mount"))):
        return False
    trial = f"oa{os.getpid()}t"
    with suppress(subprocess.CalledProcessError):
        _ip("netns", "add", trial)
        try:
            _ip("link", "add", trial, "type", "bridge")
            _ip("link", "del", trial)
            subprocess.run(["unshare", "--mount", "--uts", "hostname", trial], check=True, capture_output=True)  # noqa: S603, S607 our own words
        finally:
            _ip("netns", "del", trial)
        return True
    return False


@contextmanager
def hosts(folder: Path, *names: str) -> Iterator[tuple[str, list[Host]]]:
    """Make hosts, and remove them; gives the address at which they reach this machine, and them."""
    if not may_have_namespaces():
        plain = [Host(name, folder / name, None) for name in names]
        for host in plain:
            host.disk.mkdir()
        yield "127.0.0.1", plain
        return
    mark = f"oa{os.getpid()}"
    network = f"10.{77 + os.getpid() // 250 % 100}.{os.getpid() % 250}"
    with ExitStack() as stack:
        _ip("link", "add", f"{mark}br", "type", "bridge")
        stack.callback(_ip, "link", "del", f"{mark}br")
        _ip("addr", "add", f"{network}.1/24", "dev", f"{mark}br")
        _ip("link", "set", f"{mark}br", "up")
        found = [stack.enter_context(_host(folder, name, mark, f"{network}.{n}")) for n, name in enumerate(names, 2)]
        yield f"{network}.1", found


@contextmanager
def _host(folder: Path, name: str, mark: str, address: str) -> Iterator[Host]:
    host = Host(name, folder / name, f"{mark}{name}")
    host.disk.mkdir()
    near, far = f"{mark}n{name[-1]}", f"{mark}f{name[-1]}"
    with ExitStack() as stack:
        subprocess.run(["mount", "-t", "tmpfs", name, str(host.disk)], check=True)  # noqa: S603, S607 our own words
        stack.callback(subprocess.run, ["umount", "--lazy", str(host.disk)], check=True)
        _ip("netns", "add", f"{mark}{name}")
        stack.callback(_ip, "netns", "del", f"{mark}{name}")
        _ip("link", "add", near, "master", f"{mark}br", "type", "veth", "peer", "name", far, "netns", f"{mark}{name}")
        _ip("link", "set", near, "up")
        _ip("-n", f"{mark}{name}", "addr", "add", f"{address}/24", "dev", far)
        for device in (far, "lo"):
            _ip("-n", f"{mark}{name}", "link", "set", device, "up")
        yield host
