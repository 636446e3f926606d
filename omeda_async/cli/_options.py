"""How a bulk command is made of the options that all share, and of its own."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any

import typer

from omeda_async.cli._help import Command
from omeda_async.cli._order import Asked, Make, Order, Provider
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


def bulk_command(
    app: typer.Typer, name: str, kind: RowKind, provider: Provider, verb: str = "cancel"
) -> Callable[[Callable[..., Make]], Callable[..., Make]]:
    """Make a command of a function that takes the options only it has, and returns what makes its run."""

    def decorate(own: Callable[..., Make]) -> Callable[..., Make]:
        file, *shared = inspect.signature(Asked).parameters.values()
        mine = inspect.signature(own).parameters
        parameters = [file.replace(annotation=_file(kind)), *mine.values(), *shared]

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

        named = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in parameters]
        command.__signature__ = inspect.Signature(named)  # type: ignore[attr-defined]  # functions may have one
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
