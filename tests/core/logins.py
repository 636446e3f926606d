"""Logins and tokens that count how often they are asked for, and what a provider shows who is not logged in."""

import asyncio
from collections.abc import Mapping
from typing import Any

from tests.core.scripted import (
    answer,
)

REFUSED = answer(401, {})


LOGIN_PAGE = answer(302, text="", Location="/login")


class Tokens:
    """A token callable that counts, and gives the tokens in turn, the last for ever."""

    def __init__(self, *tokens: Any) -> None:
        self.tokens = list(tokens)
        self.asked = 0
        self.at_work = 0
        self.most_at_work = 0

    async def __call__(self) -> Any:
        """Return the next token, after a second."""
        self.asked += 1
        self.at_work += 1
        self.most_at_work = max(self.most_at_work, self.at_work)
        await asyncio.sleep(1)
        self.at_work -= 1
        token = self.tokens.pop(0) if len(self.tokens) > 1 else self.tokens[0]
        if isinstance(token, Exception):
            raise token
        return token

    async def headers(self) -> Mapping[str, str]:
        """Return the next token as the headers of a session."""
        return {"Cookie": f"JSESSIONID={await self()}"}


def signed(transport: Any) -> list[str]:
    return [one.headers.get("Authorization") or one.headers.get("Cookie") for one in transport.sent]


LOGIN_HTML = answer(200, text="<html>log in</html>", Content_Type="text/html")
