"""What a bulk command was asked for."""

import enum
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import attrs

if TYPE_CHECKING:  # whoever only asks for help loads none of it
    from omeda_async import BulkRun, SessionManager
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
    variable: str
    """The variable without which it is not configured."""


OMEDA = Provider(name="Omeda", setting="omeda", variable="OMEDA_APP_ID")
OCAMBA = Provider(name="Ocamba", setting="ocamba", variable="OCAMBA_TOKEN")
JOURNEY_MANAGER = Provider(name="Journey Manager", setting="journey_manager", variable="JOURNEY_MANAGER_BASE_URL")


@attrs.frozen(kw_only=True)
class Asked:
    """What every bulk command can be asked for; see the options of the same names."""

    file: str
    journal: Path | None = None
    plan: bool = False
    yes: bool = False
    output: str | None = None
    format: Format = Format.TABLE
    ignore_column: list[str] | None = None
    concurrency: int | None = None
    deadline: float | None = None
    rate: str | None = None
    share_limits: str | None = None


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

    @property
    def title(self) -> str:
        """Return what is done: ``"Cancel campaigns"``."""
        return f"{self.verb.capitalize()} {self.kind.what}"

    def run(self, manager: "SessionManager", rows: "RowFile") -> "BulkRun":
        """Make the run, which has not begun then."""
        asked = self.asked
        options = {"journal": asked.journal, "concurrency": asked.concurrency, "deadline": asked.deadline}
        return self.make(manager, rows, options)
