"""What a store on one host has to know of that host."""

import platform
import re
from pathlib import Path

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_TIME = Path("/proc/self/ns/time")
_MOUNTS = Path("/proc/mounts")
_NETWORK = re.compile(
    r"9p|afs|beegfs|ceph|cifs|coda|fuse\.(ceph|glusterfs|s3fs|sshfs)|gfs2|glusterfs|gpfs|lustre|ncpfs|nfs4?|ocfs2"
    r"|orangefs|smb3|smbfs"
)


def host_id() -> str:
    """Return what tells a host from others, and its present life from earlier ones, where the system tells that.

    Containers of one host are one, as long as they have its clock.
    """
    try:
        boot = _BOOT.read_text("ascii").strip()
    except OSError:
        return platform.node()
    try:
        return f"{boot} {_TIME.readlink()}"
    except OSError:
        return boot


def network_of(folder: Path) -> str | None:
    """Return the kind of network file system that a folder is on; None when it is on none, or nobody knows."""
    try:
        mounts = [line.split(" ")[1:3] for line in _MOUNTS.read_text("utf-8", "replace").splitlines()]
    except OSError:
        return None
    found, kind = Path(), ""
    real = folder.resolve()
    for point, one in mounts:
        place = Path(point.encode().decode("unicode_escape"))
        if (real == place or place in real.parents) and len(place.parts) >= len(found.parts):
            found, kind = place, one
    return kind if _NETWORK.fullmatch(kind) else None
