"""What a bulk command is asked for: the options that all of them share, and what is made of them."""

import enum
import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias
from urllib.parse import urlsplit

import attrs
import typer

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

Proxy: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="URL", help="Go out through it, not through HTTPS_PROXY: that is the place for one with a password."
    ),
]
CaFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(metavar="FILE.pem", help="Trust these authorities besides the system's, such as a proxy's."),
]


@attrs.frozen(kw_only=True)
class Asked:
    """What every bulk command can be asked for: each field is an option, in this order."""

    file: str
    """As each command describes it."""
    journal: Annotated[
        str | None,
        typer.Option(
            metavar="RUN.sqlite3",
            help="Remember the run there: a file, or a PostgreSQL URL with ?run=NAME; the same command then goes on.",
        ),
    ] = attrs.field(default=None, repr=False)
    plan: Annotated[bool, typer.Option("--plan", help="Show what would be sent, and send nothing.")] = False
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask. Needed where there is no terminal.")] = False
    output: Annotated[
        str | None,
        typer.Option(
            metavar="RESULTS.jsonl",
            help="Write what became of each record there, one JSON object a line; as CSV where the name ends in .csv.",
        ),
    ] = None
    report: Annotated[
        str | None,
        typer.Option(metavar="RUN.html", help="Write a page with pictures of the run there; it needs no network."),
    ] = None
    format: Annotated[Format, typer.Option(help="The summary: a table, or one JSON document.")] = Format.TABLE
    ignore_column: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A column of FILE to leave out; repeatable.")
    ] = None
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="FIELD=NAME", help="The column of FILE that stands for a field; repeatable."),
    ] = None
    ignore_other_columns: Annotated[
        bool, typer.Option("--ignore-other-columns", help="Leave out every column that stands for no field.")
    ] = False
    encoding: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of FILE, such as cp1252, where it is not UTF-8 or UTF-16.")
    ] = None
    delimiter: Annotated[
        str | None, typer.Option(metavar="SIGN", help="What separates the cells of FILE: one sign, or tab.")
    ] = None
    sheet: Annotated[str | None, typer.Option(metavar="NAME", help="The sheet of a workbook.")] = None
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="Take only the first N rows of FILE.")] = None
    concurrency: Annotated[int | None, typer.Option(min=1, help="Requests under way at once at the most.")] = None
    deadline: Annotated[
        float | None,
        typer.Option(min=0.001, metavar="SECONDS", help="Stop after so long; what is left is not sent."),
    ] = None
    rate: Annotated[
        str | None,
        typer.Option(
            metavar="LIMIT", help="Instead of the provider's limit: calls/seconds, such as 10/1,150/60,parallel=10."
        ),
    ] = None
    share_limits: Annotated[
        str | None,
        typer.Option(
            metavar="WHERE",
            help="Share the limits with other processes: in a folder of this host, or at a redis: or postgresql: URL.",
        ),
    ] = attrs.field(default=None, repr=False)
    proxy: Proxy = attrs.field(default=None, repr=False)
    ca_file: CaFile = None
    enqueue: Annotated[
        bool,
        typer.Option(
            "--enqueue",
            help="Send nothing here: read FILE into the journal, a PostgreSQL URL with ?run=NAME, for 'omeda-async "
            "worker' to send.",
        ),
    ] = False
    priority: Annotated[int, typer.Option(help="With --enqueue: workers send what has more of it first.")] = 0
    reopen: Annotated[
        bool,
        typer.Option("--reopen", help="With --enqueue: go on with a cancelled run, and try again what failed."),
    ] = False


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
    settings: Any = attrs.field(default=None, repr=False)
    """The provider's, once they were read."""

    @property
    def title(self) -> str:
        """Return what is done: ``"Cancel campaigns"``."""
        return f"{self.verb.capitalize()} {self.kind.what}"

    @property
    def where(self) -> dict[str, str]:
        """Return at whom and at which host, as JSON documents say it."""
        return {"provider": self.provider.name, "host": urlsplit(self.settings.url).netloc}

    @property
    def whereabouts(self) -> str:
        """Return the same in words: ``"at Ocamba (api.ocamba.com)"``."""
        return "at {provider} ({host})".format(**self.where)

    def manager(self, *, hooks: "Iterable[Hook]" = ()) -> "SessionManager":
        """Return a manager for the provider, with the way out that was asked for.

        Raises:
            ConfigurationError: That is none, or cannot be read.
        """
        from omeda_async import SessionManager  # noqa: PLC0415 whoever only asks for help needs none

        context = None if self.asked.ca_file is None else trusting(self.asked.ca_file)
        options = {self.provider.setting: self.settings, "proxy": self.asked.proxy, "ssl": context}
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
