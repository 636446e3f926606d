"""What a job may be about: the operations by the names of their commands."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

from omeda_async._checks import check_kept
from omeda_async._masking import has_address
from omeda_async.errors import ConfigurationError
from omeda_async.manager import SessionManager
from omeda_async.rows import CAMPAIGNS, DEPLOYMENTS, OPT_OUTS, TRANSACTIONS, RowKind
from omeda_async.rows._file import RowOptions


@attrs.frozen(kw_only=True)
class Operation:
    """What is done to the records of a run."""

    rows: RowKind
    """What the rows of a file are about."""
    client: Callable[[SessionManager], Any]
    """Finds what makes its runs."""


OPERATIONS: Final[Mapping[str, Operation]] = {
    "opt-out": Operation(rows=OPT_OUTS, client=lambda manager: manager.omeda.opt_outs),
    "cancel-deployments": Operation(rows=DEPLOYMENTS, client=lambda manager: manager.omeda.deployments),
    "cancel-campaigns": Operation(rows=CAMPAIGNS, client=lambda manager: manager.ocamba.campaigns),
    "cancel-transactions": Operation(rows=TRANSACTIONS, client=lambda manager: manager.journey_manager.transactions),
}


def operation_of(name: object) -> Operation:
    """Find an operation by its name.

    Raises:
        ConfigurationError: There is none of that name.
    """
    if not isinstance(name, str) or name not in OPERATIONS:
        raise ConfigurationError(f"operation must be one of {', '.join(OPERATIONS)}: not {name!r}")
    return OPERATIONS[name]


def check_options(options: Mapping[str, Any]) -> None:
    """Check that options may stand in a job, which is stored and logged.

    Raises:
        ConfigurationError: One is no plain value, or holds an e-mail address, or what a job cannot hold.
    """
    for name, value in options.items():
        if name in RowOptions.__annotations__:
            raise ConfigurationError(f"{name} is for files: give it to defer_file, and here records as they are to be")
        if value is not None and not isinstance(value, str | int | float):
            raise ConfigurationError(
                f"{name} must be a text, a number, or a flag, as it is kept in jobs: not {type(value).__name__}"
            )
        check_kept(name, value, nul=False)
        if isinstance(value, str) and has_address(value):
            raise ConfigurationError(f"{name} holds an e-mail address, and jobs are logged: give it with each record")


def check_name(run: object) -> None:
    """Check that the name of a run may stand in a job.

    Raises:
        ConfigurationError: It holds an e-mail address.
    """
    if isinstance(run, str) and has_address(run):
        raise ConfigurationError("run holds an e-mail address, and jobs are logged: give the run another name")
