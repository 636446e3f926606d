"""The options that all bulk commands share, declared once."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from omeda_async.cli._help import Command
from omeda_async.cli._order import Asked, Format, Make, Order, Provider
from omeda_async.rows import RowKind


def _file(kind: RowKind) -> Any:
    if kind.bare:
        text = (
            "CSV with a header row, JSON Lines, a JSON array, .xlsx, one id a line, or - for standard input; also .gz."
        )
    else:
        text = "CSV with a header row, JSON Lines, a JSON array, .xlsx, or - for standard input; also .gz."
        text += f" In a list with one a line, put a line that reads {kind.short} above the first."
    return Annotated[str, typer.Argument(metavar="FILE", help=text)]


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


def _shared(  # noqa: PLR0917 its parameters become the command's, in this order
    file: str,
    journal: Annotated[
        str | None,
        typer.Option(
            metavar="RUN.sqlite3",
            help="Remember the run there: a file, or a PostgreSQL URL with ?run=NAME; the same command then goes on.",
        ),
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Show what would be sent, and send nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask. Needed where there is no terminal.")] = False,
    output: Annotated[
        str | None,
        typer.Option(
            metavar="RESULTS.jsonl",
            help="Write what became of each record there, one JSON object a line; as CSV where the name ends in .csv.",
        ),
    ] = None,
    report: Annotated[
        str | None,
        typer.Option(metavar="RUN.html", help="Write a page with pictures of the run there; it needs no network."),
    ] = None,
    format: Annotated[Format, typer.Option(help="The summary: a table, or one JSON document.")] = Format.TABLE,  # noqa: A002 the option's name
    ignore_column: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A column of FILE to leave out; repeatable.")
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="FIELD=NAME", help="The column of FILE that stands for a field; repeatable."),
    ] = None,
    ignore_other_columns: Annotated[
        bool, typer.Option("--ignore-other-columns", help="Leave out every column that stands for no field.")
    ] = False,
    encoding: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of FILE, such as cp1252, where it is not UTF-8 or UTF-16.")
    ] = None,
    delimiter: Annotated[
        str | None, typer.Option(metavar="SIGN", help="What separates the cells of FILE: one sign, or tab.")
    ] = None,
    sheet: Annotated[str | None, typer.Option(metavar="NAME", help="The sheet of a workbook.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="Take only the first N rows of FILE.")] = None,
    concurrency: Annotated[int | None, typer.Option(min=1, help="Requests under way at once at the most.")] = None,
    deadline: Annotated[
        float | None,
        typer.Option(min=0.001, metavar="SECONDS", help="Stop after so long; what is left is not sent."),
    ] = None,
    rate: Annotated[
        str | None,
        typer.Option(
            metavar="LIMIT", help="Instead of the provider's limit: calls/seconds, such as 10/1,150/60,parallel=10."
        ),
    ] = None,
    share_limits: Annotated[
        str | None,
        typer.Option(
            metavar="WHERE",
            help="Share the limits with other processes: in a folder of this host, or at a redis: or postgresql: URL.",
        ),
    ] = None,
    proxy: Proxy = None,
    ca_file: CaFile = None,
    enqueue: Annotated[
        bool,
        typer.Option(
            "--enqueue",
            help="Send nothing here: read FILE into the journal, a PostgreSQL URL with ?run=NAME, for 'omeda-async "
            "worker' to send.",
        ),
    ] = False,
    priority: Annotated[int, typer.Option(help="With --enqueue: workers send what has more of it first.")] = 0,
    reopen: Annotated[
        bool,
        typer.Option("--reopen", help="With --enqueue: go on with a cancelled run, and try again what failed."),
    ] = False,
) -> None:
    """Declare them: the parameters of Asked."""


def bulk_command(
    app: typer.Typer, name: str, kind: RowKind, provider: Provider, verb: str = "cancel"
) -> Callable[[Callable[..., Make]], Callable[..., Make]]:
    """Make a command of a function that takes the options only it has, and returns what makes its run."""

    def decorate(own: Callable[..., Make]) -> Callable[..., Make]:
        first, *others = inspect.signature(_shared).parameters.values()
        mine = inspect.signature(own).parameters

        def command(**given: Any) -> None:
            from omeda_async.cli._bulk import perform  # noqa: PLC0415 --help needs no session manager and no tables

            words = [name, *_words(given, {one.name: one.default for one in parameters})]
            options = {option: given.pop(option) for option in mine}
            order = Order(
                kind=kind,
                verb=verb,
                provider=provider,
                make=own(**options),
                own=options,
                asked=Asked(**given),
                words=words,
            )
            perform(order)

        parameters = [first.replace(annotation=_file(kind)), *mine.values(), *others]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # functions may have one
        command.__annotations__ = {one.name: one.annotation for one in parameters}
        app.command(name, cls=Command, help=_unwrapped(inspect.getdoc(own) or ""))(command)
        return own

    return decorate


def _words(given: Mapping[str, Any], defaults: Mapping[str, Any]) -> Iterator[str]:
    """Return what was given as it is typed; what is so by default is left out."""
    yield given["file"]
    for name, value in given.items():
        option = f"--{name.replace('_', '-')}"
        if name == "file" or value is None or value == defaults[name]:
            continue
        for one in value if isinstance(value, list) else [value]:
            yield from [option] if one is True else [option, str(one)]


def _unwrapped(text: str) -> str:
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))
