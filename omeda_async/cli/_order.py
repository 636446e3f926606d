"""What a bulk command was asked for."""

import enum
import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import attrs

if TYPE_CHECKING:  # whoever only asks for help loads none of it
    from omeda_async import BulkRun, SessionManager
    from omeda_async.events import Hook
    from omeda_async.rows import RowFile, RowKind


class Format(enum.StrEnum):
    """How results are shown."""

    TABLE = "table"
    JSON = "json"


@attrs.frozen(kw_only=True)
class Provider:
    """A provider as people and the environment call it."""

    name: str
    setting: Literal["omeda", "ocamba", "journey_manager"]
    """The name of its settings."""
    needs: str | None = None
    """The variables without which a command cannot go on; None where they are those that the settings need."""


OMEDA_OPT_OUTS = Provider(name="Omeda", setting="omeda", needs="OMEDA_APP_ID and OMEDA_CLIENT")
OMEDA_DEPLOYMENTS = Provider(
    name="Omeda",
    setting="omeda",
    needs="OMEDA_APP_ID and OMEDA_BRAND, and OMEDA_USER_ID where neither --user-id nor the file names a user",
)
OCAMBA = Provider(name="Ocamba", setting="ocamba")
JOURNEY_MANAGER = Provider(name="Journey Manager", setting="journey_manager")


@attrs.frozen(kw_only=True)
class Asked:
    """What every bulk command can be asked for; see the options of the same names."""

    file: str
    journal: str | None = attrs.field(default=None, repr=False)
    plan: bool = False
    yes: bool = False
    output: str | None = None
    report: str | None = None
    format: Format = Format.TABLE
    ignore_column: list[str] | None = None
    column: list[str] | None = None
    ignore_other_columns: bool = False
    encoding: str | None = None
    delimiter: str | None = None
    sheet: str | None = None
    limit: int | None = None
    concurrency: int | None = None
    deadline: float | None = None
    rate: str | None = None
    share_limits: str | None = attrs.field(default=None, repr=False)
    proxy: str | None = attrs.field(default=None, repr=False)
    ca_file: Path | None = None
    enqueue: bool = False
    priority: int = 0
    reopen: bool = False


Make: TypeAlias = "Callable[[SessionManager, RowFile, dict[str, Any]], BulkRun]"
"""Makes the run, of the manager, the records and the options of every bulk method."""


@attrs.frozen(kw_only=True)
class Order:
    """A bulk command with everything it was given."""

    kind: "RowKind"
    verb: str
    """What is done to the records: ``"cancel"``."""
    provider: Provider
    make: Make
    asked: Asked
    own: Mapping[str, Any] = attrs.field(factory=dict)
    """The options that only this command has."""
    words: Sequence[str] = attrs.field(default=(), repr=False)
    """The command line, without what it leaves as it is by default."""

    @property
    def title(self) -> str:
        """Return what is done: ``"Cancel campaigns"``."""
        return f"{self.verb.capitalize()} {self.kind.what}"

    def manager(self, settings: Any, *, hooks: "Iterable[Hook]" = ()) -> "SessionManager":
        """Return a manager for the provider, with the way out that was asked for.

        Raises:
            ConfigurationError: That is none, or cannot be read.
        """
        from omeda_async import SessionManager  # noqa: PLC0415 whoever only asks for help needs none

        context = None if self.asked.ca_file is None else trusting(self.asked.ca_file)
        options = {self.provider.setting: settings, "proxy": self.asked.proxy, "ssl": context}
        return SessionManager(**options, hooks=hooks, log_events=False, share_limits=self.asked.share_limits)

    def run(self, manager: "SessionManager", rows: "RowFile") -> "BulkRun":
        """Make the run, which has not begun then."""
        asked = self.asked
        options = {"journal": asked.journal, "concurrency": asked.concurrency, "deadline": asked.deadline}
        return self.make(manager, rows, options)


def check_extra() -> None:
    """Check that the queue can be used.

    Raises:
        ConfigurationError: What it needs is not installed.
    """
    from omeda_async import ConfigurationError  # noqa: PLC0415 the same

    if find_spec("procrastinate") is None:
        raise ConfigurationError("what is enqueued needs an extra: pip install 'omeda-async[worker]'")


def trusting(path: Path) -> ssl.SSLContext:
    """Return what trusts the authorities of a file besides the system's.

    Raises:
        ConfigurationError: It cannot be read, or holds none.
    """
    from omeda_async import ConfigurationError  # noqa: PLC0415 the same

    context = ssl.create_default_context()
    try:
        context.load_verify_locations(path)
    except ssl.SSLError:
        raise ConfigurationError(f"--ca-file {path} holds no certificates: it must be a PEM file of them") from None
    except OSError as error:
        raise ConfigurationError(f"--ca-file {path} cannot be read: {error.strerror}") from None
    return context
