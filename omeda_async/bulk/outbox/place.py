"""Where outboxes are kept: so far in SQLite files."""

from os import PathLike
from pathlib import Path
from typing import Any, Final, Unpack

from omeda_async import _clock
from omeda_async._checks import check_path
from omeda_async.bulk._job import Work
from omeda_async.bulk._outbox_options import OutboxOptions
from omeda_async.bulk.outbox.interface import Identity
from omeda_async.bulk.outbox.options import DeliveryOptions
from omeda_async.bulk.outbox.outbox import Outbox
from omeda_async.bulk.outbox.sqlite import SqliteStore
from omeda_async.errors import ConfigurationError
from omeda_async.limits import Priority

LEASE: Final = 10.0
MAX_DELAY: Final = 0.05
RETENTION: Final = 30 * 86400.0


def outbox_at(
    where: str | PathLike[str], work: Work, sending: Work, **options: Unpack[OutboxOptions]
) -> Outbox[Any, Any]:
    """Make an outbox, to be opened by ``async with``.

    Args:
        where: The path of its file.
        work: How records are read when they are put.
        sending: How they are read and sent when they are delivered.
        options: See :class:`OutboxOptions`.

    Raises:
        ConfigurationError: An option is out of range; the message names it.
        TypeError: There is no such option.
    """
    unknown = options.keys() - OutboxOptions.__annotations__.keys()
    if unknown:
        raise TypeError(f"{work.name} has no option {', '.join(sorted(unknown))}")
    pii = options.get("pii", "keep")
    if pii not in {"keep", "hash"}:
        raise ConfigurationError("pii must be 'keep' or 'hash'")
    identity = Identity(
        provider=work.account.provider,
        operation=work.name,
        base_url=work.account.settings.url,
        scope=work.scope,
        pii=pii,
    )
    how = DeliveryOptions(
        lease=options.get("lease", LEASE),
        max_delay=options.get("max_delay", MAX_DELAY),
        priority=options.get("priority") or work.account.priority or Priority.INTERACTIVE,
        retention=options.get("retention", RETENTION),
        give_up_after=options.get("give_up_after"),
    )
    store = SqliteStore(_path(where), identity, _now)
    return Outbox(work, sending, store, how, options.get("on_outcome"))


def _now() -> float:
    return _clock.utc_now().timestamp()


def _path(where: object) -> Path:
    text = check_path("an outbox", where)
    if "://" in text:
        raise ConfigurationError("an outbox is kept in a file so far: give its path, and no URL")
    return Path(text)
