"""The ways to sign requests, as settings: a user and password, a token, a session."""

import base64
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import attrs

from omeda_async._checks import check_text, check_token, refuse_pickle
from omeda_async._masking import masked_repr
from omeda_async._secret import Secret, hidden
from omeda_async.errors import ConfigurationError

TokenCall = Callable[[], str | Awaitable[str]]
"""A callable (which may be async) that returns the token in force."""
Token = str | Secret | TokenCall
"""A token, or a callable (which may be async) that returns the one in force."""


def hidden_token(token: Token) -> Secret | TokenCall:
    """Return a token as a secret, and a callable as it is."""
    return hidden(token) if isinstance(token, str) else token


@attrs.frozen
class BasicAuth:
    """A user name and a password."""

    user: str = attrs.field(repr=masked_repr)
    password: Secret = attrs.field(repr=False, converter=hidden)

    __reduce_ex__ = refuse_pickle

    def __attrs_post_init__(self) -> None:
        check_text(self, "user", self.user)
        check_text(self, "password", self.password)
        if ":" in self.user:
            raise ConfigurationError("BasicAuth.user must not hold a colon (RFC 7617)")

    @property
    def header(self) -> str:
        """The Authorization header."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password.reveal()}".encode()).decode("ascii")


@attrs.frozen
class BearerAuth:
    """A bearer token, or a callable (which may be async) that returns the one in force."""

    token: Secret | TokenCall = attrs.field(repr=False, converter=hidden_token)

    __reduce_ex__ = refuse_pickle

    def __attrs_post_init__(self) -> None:
        check_token(self, "token", self.token)


@attrs.frozen
class SessionAuth:
    """A session that has to be opened first, by a form login for instance.

    ``prepare`` is given the HTTP session and the base URL, and returns the headers that every request shall carry
    (``Cookie``, a CSRF header). It is never run twice at a time, and once more when the provider has lost the
    session. Journey Manager allows one active session per user: give this an account of its own.
    """

    prepare: Callable[[Any, str], Awaitable[Mapping[str, str]]] = attrs.field(repr=False)

    def __attrs_post_init__(self) -> None:
        if not callable(self.prepare):
            raise ConfigurationError(
                "SessionAuth.prepare must be an async callable (http_session, base_url) -> headers"
            )
