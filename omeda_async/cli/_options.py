"""The options that all bulk commands share, declared once."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from omeda_async.cli._order import Asked, Format, Make, Order, Provider
from omeda_async.rows import RowKind


def _file(kind: RowKind) -> Any:
    if kind.bare:
        text = "CSV with a header row, JSON Lines, one id a line, or - for standard input."
    else:
        text = "CSV with a header row, JSON Lines, or - for standard input."
        text += f" In a list with one a line, let the first line be {kind.short}."
    return Annotated[str, typer.Argument(metavar="FILE", help=text)]


def _shared(  # noqa: PLR0917 its parameters become the command's, in this order
    file: str,
    journal: Annotated[
        Path | None,
        typer.Option(metavar="RUN.sqlite3", help="Remember the run there; the same command then goes on with it."),
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Show what would be sent, and send nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask. Needed where there is no terminal.")] = False,
    output: Annotated[
        str | None,
        typer.Option(metavar="RESULTS.jsonl", help="Write what became of each record there, one JSON object a line."),
    ] = None,
    format: Annotated[Format, typer.Option(help="The summary: a table, or one JSON document.")] = Format.TABLE,  # noqa: A002 the option's name
    ignore_column: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A column of FILE to leave out; repeatable.")
    ] = None,
    concurrency: Annotated[int | None, typer.Option(min=1, help="Requests under way at once at the most.")] = None,
    deadline: Annotated[
        float | None,
        typer.Option(min=0.001, metavar="SECONDS", help="Stop after so long; what is left is not sent."),
    ] = None,
    rate: Annotated[
        str | None,
        typer.Option(
            metavar="LIMIT", help="Instead of the provider's limit: calls/seconds, such as '10/1,150/60,parallel=10'."
        ),
    ] = None,
    share_limits: Annotated[
        str | None,
        typer.Option(
            metavar="WHERE",
            help="Share the limits with other processes: the path of a folder on this host, redis://… or postgresql://….",
        ),
    ] = None,
) -> None:
    del file, journal, plan, yes, output, format, ignore_column, concurrency, deadline, rate, share_limits


def bulk_command(
    app: typer.Typer, name: str, kind: RowKind, provider: Provider, verb: str = "cancel"
) -> Callable[[Callable[..., Make]], Callable[..., Make]]:
    """Make a command of a function that takes the options only it has, and returns what makes its run."""

    def decorate(own: Callable[..., Make]) -> Callable[..., Make]:
        first, *others = inspect.signature(_shared).parameters.values()
        mine = inspect.signature(own).parameters

        def command(**given: Any) -> None:
            from omeda_async.cli._bulk import perform  # noqa: PLC0415 --help needs no session manager and no tables

            options = {option: given.pop(option) for option in mine}
            order = Order(
                kind=kind, verb=verb, provider=provider, make=own(**options), own=options, asked=Asked(**given)
            )
            perform(order)

        parameters = [first.replace(annotation=_file(kind)), *mine.values(), *others]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # functions may have one
        command.__annotations__ = {one.name: one.annotation for one in parameters}
        app.command(name, help=_unwrapped(inspect.getdoc(own) or ""))(command)
        return own

    return decorate


def _unwrapped(text: str) -> str:
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))
