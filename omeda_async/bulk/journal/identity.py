"""Whose run a journal remembers."""

from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import attrs

from omeda_async.errors import JournalError


@attrs.frozen(kw_only=True)
class Identity:
    """Whose run a journal remembers: another's is refused."""

    provider: str
    operation: str
    base_url: str
    scope: Mapping[str, Any] = attrs.field(factory=dict)
    """What holds for every record of the run: brand, client, reason …"""
    pii: str = "keep"
    later: frozenset[str] = frozenset()
    """Of the scope, what the first versions did not keep: a run of theirs may be anybody's in that."""

    def kept(self, salt: bytes | None) -> dict[str, Any]:
        """Return what a journal keeps of it, by name; the scope as salted hashes where it keeps no records."""
        named = {"provider": self.provider, "operation": self.operation, "base_url": self.base_url}
        scope = {name: value for name, value in self.scope.items() if value is not None}
        if salt is not None:
            scope = {name: _hashed(value, salt) for name, value in scope.items()}
        return {**named, "journal_pii": self.pii, **scope}

    def check(self, found: Mapping[str, Any], salt: bytes | None, where: Path | str, *, is_older: bool = False) -> None:
        """Compare with what a journal says.

        Args:
            found: What it says.
            salt: Of its hashes.
            where: Where it is.
            is_older: Whether one of the first versions may have begun it.

        Raises:
            JournalError: It is another run's; the message names both.
        """
        own = self.kept(salt)
        unknown = self.later - found.keys() if is_older else frozenset[str]()
        for name in [*own, *found]:
            if name not in unknown and own.get(name) != found.get(name):
                hidden = salt is not None and name in self.scope
                both = (
                    "is another one" if hidden else f"is {_said(found.get(name))} there and {_said(own.get(name))} here"
                )
                own_place = "file" if isinstance(where, Path) else "name"
                raise JournalError(
                    f"the journal {where} belongs to another run: {name} {both}; give it as it is there, or each "
                    f"run its own {own_place}"
                )


def _said(value: object) -> str:
    return "not given" if value is None else repr(value)


def _hashed(value: object, salt: bytes) -> str:
    return blake2b(str(value).encode(), digest_size=16, key=salt).hexdigest()
