"""The smallest program that typer makes: what a command line costs before it does anything."""

from typing import Annotated

import typer

app = typer.Typer(name="alone", add_completion=False)


@app.command()
def greet(name: Annotated[str, typer.Argument(help="Whom to greet.")]) -> None:
    """Greet somebody."""
    typer.echo(f"Hello {name}")


if __name__ == "__main__":
    app()
