"""Where shared runs are kept: in PostgreSQL."""

from typing import Any, Final, Unpack

from omeda_async._checks import check_between
from omeda_async.bulk._job import Work
from omeda_async.bulk._options import SharedOptions
from omeda_async.bulk._run import BulkOptions, BulkRun, check_scope
from omeda_async.bulk.journal.chunks import Terms
from omeda_async.bulk.journal.url import url_of
from omeda_async.bulk.shared.run import SharedRun

LEASE: Final = 30.0
SHORTEST, LONGEST = 0.1, 86400.0
"""Of leases: a shorter one is renewed without rest, and for so long a chunk may be nobody's that a dead process had."""


def shared_at(journal: str, work: Work, **options: Unpack[SharedOptions]) -> SharedRun[Any, Any]:
    """Make a shared run.

    Args:
        journal: ``postgresql://host/database?run=NAME``.
        work: How records are read and sent.
        options: See :class:`SharedOptions`.

    Raises:
        ConfigurationError: It is no such URL, or an option is out of range; the message names it.
        TypeError: There is no such option.
    """
    unknown = options.keys() - SharedOptions.__annotations__.keys()
    if unknown:
        raise TypeError(f"a shared run of {work.name} has no option {', '.join(sorted(unknown))}")
    lease = options.get("lease", LEASE)
    check_between("lease", lease, SHORTEST, LONGEST)
    how: BulkOptions = {"concurrency": options.get("concurrency")}
    if "priority" in options:
        how["priority"] = options["priority"]
    if "max_isolation_requests" in options:
        how["max_isolation_requests"] = options["max_isolation_requests"]
    _ = BulkRun(work, (), **how)  # which checks them
    check_scope(work)
    account = work.account
    terms = Terms(
        lease=lease,
        attempt=account.timeout + account.connect_timeout,
        lookback=account.settings.rate_limit.longest,
    )
    return SharedRun(url_of(journal), work, terms, how)
