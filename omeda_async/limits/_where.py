"""Where limits are shared: what ``share_limits`` may say, and the store that it means."""

import hashlib
import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from omeda_async._checks import check_path
from omeda_async.errors import ConfigurationError
from omeda_async.limits._rate_limit import RateLimit

if TYPE_CHECKING:
    from omeda_async.limits._protocol import Limiter
    from omeda_async.limits._store import Store

# What has to be installed, and the extra that does so.
_REDIS: Final = ("redis", "redis")
_POSTGRES: Final = ("psycopg", "postgres")
_SERVERS: Final = {"redis": _REDIS, "rediss": _REDIS, "unix": _REDIS, "postgresql": _POSTGRES, "postgres": _POSTGRES}
_FILES: Final = frozenset({".db", ".sqlite", ".sqlite3"})
_SQLITE: Final = b"SQLite format 3\0"
MARGIN: Final = 1.0
"""Seconds by which a lease is longer than all that an attempt may take, at the most."""


def check_where(where: object, called: str = "share_limits") -> None:
    """Check where limits are to be shared.

    Args:
        where: A path, or a URL; None for nowhere.
        called: What errors call it. What it holds may be a secret, and is not shown.

    Raises:
        ConfigurationError: It is neither, the scheme is none that is known, or what it needs is not installed.
    """
    if where is None:
        return
    text = check_path(called, where, "the path of a folder or file, redis://… or postgresql://…")
    scheme, is_url, _ = text.partition("://")
    if not is_url:
        _expanded(text, called)
        return
    if scheme not in _SERVERS:
        shown = repr(scheme) if scheme.isidentifier() else "that"
        raise ConfigurationError(
            f"{called} begins with {shown}, which is no scheme that limits can be shared by: give redis://…, "
            "rediss://…, postgresql://…, or the path of a folder or file alone"
        )
    module, extra = _SERVERS[scheme]
    if importlib.util.find_spec(module) is None:
        raise ConfigurationError(
            f"{called} begins with {scheme}://, which needs an extra: pip install 'omeda-async[{extra}]'"
        )


def check_place(where: str | os.PathLike[str], called: str) -> None:
    """Check that limits can be shared at a place, as far as that can be seen without making or asking anything.

    Args:
        where: A path, or a URL, that has been checked.
        called: What errors call it.

    Raises:
        ConfigurationError: It is a file of something else, or nothing can be written there.
    """
    text = os.fspath(where)
    if "://" in text:
        return
    path = _expanded(text, called)
    try:
        there = next(one for one in (path, *path.absolute().parents) if one.exists())
        if there.is_dir() and not os.access(there, os.W_OK | os.X_OK):
            raise ConfigurationError(f"{called} {path} cannot be written: {there} is not this user's to write to")
        if not there.is_dir() and (there != path or not _is_database(path)):
            raise ConfigurationError(f"{called} {path}: {there} is a file of something else; give a folder")
    except OSError as error:
        raise ConfigurationError(f"{called} {path} cannot be used: {error.strerror}") from error


def _is_database(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(len(_SQLITE))
    return head in {b"", _SQLITE}


def open_store(
    where: str | os.PathLike[str], account: tuple[str, str, int | None, bytes], uniform: Callable[[], float]
) -> "Store":
    """Make the store of an account; nothing is opened before its first turn.

    Args:
        where: A path, or a URL, that has been checked.
        account: What tells the account from others, and holds no secret.
        uniform: A source of numbers between 0 and 1, for the jitter of pauses.

    Raises:
        ConfigurationError: The URL is none.
    """
    provider, host, port, fingerprint = account
    digest = hashlib.blake2b(f"{host}\0{port}\0".encode() + fingerprint, digest_size=12).hexdigest()
    name, text = f"{provider}-{digest}", os.fspath(where)
    scheme, is_url, _ = text.partition("://")
    if not is_url:
        from omeda_async.limits._sqlite_store import SqliteStore  # noqa: PLC0415 only who shares by a file needs SQLite

        return SqliteStore(_file(Path(text), name), name, uniform)
    try:
        if _SERVERS[scheme] is _REDIS:
            from omeda_async.limits._redis_store import RedisStore  # noqa: PLC0415 the same

            return RedisStore(text, name, uniform)
        from omeda_async.limits._postgres_store import PostgresStore  # noqa: PLC0415 the same

        return PostgresStore(text, name, uniform)
    except ValueError as error:
        raise ConfigurationError(f"share_limits: {error}") from None


def share_limiter(
    rate_limit: RateLimit,
    where: str | os.PathLike[str],
    account: tuple[str, str, int | None, bytes],
    *,
    timeout: float,
    connect_timeout: float,
    on_pause: Callable[[float], None] | None,
    uniform: Callable[[], float],
) -> "Limiter":
    """Make a limiter that shares an account's limits by a store.

    Args:
        rate_limit: The limits.
        where: A path, or a URL, that has been checked.
        account: What tells the account from others, and holds no secret.
        timeout: Seconds that an attempt may take.
        connect_timeout: Seconds that connecting may take of them.
        on_pause: Called with the seconds whenever the whole account has to wait.
        uniform: A source of numbers between 0 and 1, for the jitter of pauses.
    """
    from omeda_async.limits._store_limiter import StoreLimiter  # noqa: PLC0415 only who shares needs it

    lease, use_within = lease_of(timeout, connect_timeout)
    store = open_store(where, account, uniform)
    return StoreLimiter(rate_limit, store, lease=lease, use_within=use_within, on_pause=on_pause)


def lease_of(timeout: float, connect_timeout: float) -> tuple[float, float]:
    """Return the seconds of a permit's lease, and those at its beginning in which an attempt may be sent.

    One that is sent at the very last has its whole time-out before it counts as lost. Connecting comes before that.
    """
    use_within = min(connect_timeout, timeout / 2)
    return timeout + use_within + min(MARGIN, timeout / 10), use_within


def _expanded(path: str | Path, called: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ConfigurationError(f"{called} begins with the home of a user that this host does not know") from None


def _file(path: Path, name: str) -> Path:
    """Return the file of an account: one of its own in a folder."""
    path = _expanded(path, "share_limits")
    is_file = path.is_file() or (path.suffix in _FILES and not path.is_dir())
    return path if is_file else path / f"{name}.sqlite3"
