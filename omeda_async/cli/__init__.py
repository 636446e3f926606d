"""The command line: one thin function for each command."""

from omeda_async.cli._app import app

__all__ = ["app"]
