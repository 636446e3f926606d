"""What goes wrong on purpose: repeatable by its seed, at a chosen point of a chosen request."""

import enum
import sys
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any, TypeVar

import attrs

from omeda_async.sandbox._message import Api, Incoming, Response, html_response, json_response

E = TypeVar("E", bound=enum.StrEnum)


class FaultKind(enum.StrEnum):
    """What goes wrong."""

    DROP = "drop"
    """The connection is closed without a response."""
    SLOW = "slow"
    """A delay of ``seconds``, and nothing else."""
    INTERNAL_ERROR = "500"
    """In the provider's own error format."""
    BAD_GATEWAY = "502"
    """An HTML page, as a proxy shows it."""
    UNAVAILABLE = "503"
    """An HTML page, with Retry-After."""
    GATEWAY_TIMEOUT = "504"
    """An HTML page."""
    TOO_LARGE = "413"
    """An HTML page."""
    TOO_MANY = "429"
    """With Retry-After (None: without it). The audit does not count it as a refusal: nobody was over a limit."""
    TOO_PARALLEL = "parallel"
    """429 with ``Retry-After: -1``."""
    WRONG_JSON = "wrong-json"
    """200 and a whole JSON document that nobody expects."""
    CUT_JSON = "cut-json"
    """200 and a JSON document that ends in the middle, in a whole HTTP response."""
    HTML = "html"
    """200 and an HTML page."""
    EMPTY = "empty"
    """200 and no body."""
    SESSION_LOST = "session-lost"
    """Journey Manager: the session ends, with the response that ``expired_answer`` says; the others: 401 or 403."""
    STRAY = "stray"
    """The real response, and ``seconds`` later, on the same connection, a 204 that nobody has asked for."""


class FaultPoint(enum.StrEnum):
    """When it goes wrong."""

    BEFORE = "before"
    """The request has arrived, and has no effect."""
    AFTER = "after"
    """It was carried out, and its response is lost or replaced."""
    LATER = "later"
    """The response is lost or replaced at once, and the request is carried out ``seconds`` later."""
    MID = "mid"
    """The connection ends in the middle of the response's body.

    Of ``drop`` it is the real response, and of the others the fault's own; what is no refusal was carried out.
    """


_REFUSALS = frozenset({FaultKind.TOO_LARGE, FaultKind.TOO_MANY, FaultKind.TOO_PARALLEL, FaultKind.SESSION_LOST})
_HONEST = frozenset({FaultKind.SLOW, FaultKind.STRAY})
"""With these the real response comes in the end."""
_DELAYED = (FaultKind.UNAVAILABLE, FaultKind.TOO_MANY)
_NOT_AT = {
    FaultPoint.LATER: dict.fromkeys(_HONEST, "its response is the real one"),
    FaultPoint.MID: {
        **dict.fromkeys(_HONEST, "its response is the real one"),
        FaultKind.EMPTY: "there is no body to cut",
    },
}
_PAGES = {
    FaultKind.BAD_GATEWAY: "502 Bad Gateway",
    FaultKind.UNAVAILABLE: "503 Service Unavailable",
    FaultKind.GATEWAY_TIMEOUT: "504 Gateway Timeout",
    FaultKind.TOO_LARGE: "413 Request Entity Too Large",
    FaultKind.HTML: "200 Welcome",
}
_RESPONSES = {
    FaultKind.WRONG_JSON: json_response(200, [1, "two", {"three": None}]),
    FaultKind.CUT_JSON: Response(200, b'{"ResponseInfo":[{"TrackId":"FO'),
    FaultKind.EMPTY: Response(200),
}


def _number(text: str) -> int | None:
    return None if text == "always" else int(text)


_PARSERS: dict[str, tuple[Callable[[str], Any], str]] = {
    "match": (str, "a provider, an operation, an id or an address"),
    "times": (_number, "a whole number from 1, or always"),
    "probability": (float, "a number from 0 to 1"),
    "seconds": (float, "a number from 0"),
    "retry_after": (lambda text: None if text == "none" else text, "seconds, an HTTP date, or none"),
}
"""How each option is read, and what it may be."""


def _option(name: str, text: str) -> Any:
    if name not in _PARSERS:
        raise ValueError(f"unknown option '{name}'; the options are {', '.join(_PARSERS)}")
    read, allowed = _PARSERS[name]
    try:
        return read(text)
    except ValueError:
        raise ValueError(f"'{name}={text}': {name} must be {allowed}") from None


def _member(kind: type[E], text: str, what: str) -> E:
    try:
        return kind(text)
    except ValueError:
        raise ValueError(f"unknown {what} '{text}'; the {what}s are {', '.join(kind)}") from None


def _at_least_once(_fault: object, _field: object, times: int | None) -> None:
    if times is not None and (not isinstance(times, int) or times < 1):
        raise ValueError(f"times must be a whole number of at least 1, or None for always, not {times}")


def _from_zero(_fault: object, field: "attrs.Attribute[float]", number: float) -> None:
    if not 0 <= number <= sys.float_info.max:
        raise ValueError(f"{field.name} must be a number from 0, not {number}")


def _up_to_one(_fault: object, field: "attrs.Attribute[float]", number: float) -> None:
    if not 0 <= number <= 1:
        raise ValueError(f"{field.name} must be a number from 0 to 1, not {number}")


def _header(_fault: object, field: "attrs.Attribute[Any]", value: Any) -> None:
    text = "" if value is None else str(value)
    if not (text.isascii() and text.isprintable()):
        raise ValueError(f"{field.name} must be what a header can hold: ASCII that can be printed, in one line")


@attrs.frozen(eq=False)
class Fault:
    """Something that goes wrong with requests that match, at one point, so many times."""

    kind: FaultKind = attrs.field(converter=FaultKind)
    where: FaultPoint = attrs.field(default=FaultPoint.BEFORE, converter=FaultPoint)
    match: str | Callable[[Incoming], bool] | None = None
    """A provider, an operation (``campaigns.cancel``, ``ocamba.campaigns.cancel``), a record's id or e-mail
    address, or a predicate. None: every request."""
    times: int | None = attrs.field(default=1, kw_only=True, validator=_at_least_once)
    """How often it happens; None: always."""
    probability: float = attrs.field(default=1.0, kw_only=True, validator=_up_to_one)
    """Chance that it happens to a request that matches, drawn from the sandbox's seed."""
    seconds: float = attrs.field(default=1.0, kw_only=True, validator=_from_zero)
    """The delay of ``slow``, ``stray`` and ``later``."""
    retry_after: float | str | None = attrs.field(default=1, kw_only=True, validator=_header)
    """For 503 and 429: seconds, or an HTTP date; None: no header."""

    def __attrs_post_init__(self) -> None:
        if self.where in _NOT_AT and self.kind in _NOT_AT[self.where]:
            raise ValueError(f"'{self.kind}' cannot happen at '{self.where}': {_NOT_AT[self.where][self.kind]}")

    @classmethod
    def parse(cls, text: str) -> "Fault":
        """Parse a fault as it is written on a command line.

        ``drop,after,match=campaigns.cancel,times=3`` or ``503,probability=0.1,times=always,retry_after=2``.

        Raises:
            ValueError: The text is no fault; the message says which part of it.
        """
        words = [part.strip() for part in text.split(",")]
        plain = [word for word in words if "=" not in word]
        options: dict[str, Any] = {}
        for name, _, value in (word.partition("=") for word in words if "=" in word):
            options[name] = _option(name, value)
        if not 1 <= len(plain) <= 2:
            raise ValueError(f"fault '{text}' is not of the form kind[,where][,option=value…]")
        kind = _member(FaultKind, plain[0], "kind")
        return cls(kind, _member(FaultPoint, plain[1] if len(plain) == 2 else "before", "point"), **options)

    @property
    def label(self) -> str:
        """Return kind and point in words: ``drop after``."""
        return f"{self.kind} {self.where}"

    @property
    def is_honest(self) -> bool:
        """Whether the real response comes in the end, whole or cut."""
        return self.kind in _HONEST or (self.kind is FaultKind.DROP and self.where is FaultPoint.MID)

    @property
    def is_carried_out(self) -> bool:
        """Whether a request is carried out by the time of its response."""
        return self.where is FaultPoint.AFTER or (self.where is FaultPoint.MID and self.kind not in _REFUSALS)

    def concerns(self, incoming: Incoming, api: Api) -> bool:
        """Whether the fault is for a request."""
        if self.match is None:
            return True
        if callable(self.match):
            return self.match(incoming)
        names = (incoming.provider, incoming.operation, f"{incoming.provider}.{incoming.operation}")
        return self.match in names or self.match in api.ids(incoming)

    def response(self, api: Api) -> Response:
        """Return what is sent instead of the real response; not for ``drop``, ``slow`` and ``stray``."""
        if self.kind in _PAGES:
            title = _PAGES[self.kind]
            return html_response(int(title[:3]), title, self._headers())
        if self.kind in _RESPONSES:
            return _RESPONSES[self.kind]
        match self.kind:
            case FaultKind.TOO_MANY:
                return api.failure(429).with_headers(self._headers())
            case FaultKind.TOO_PARALLEL:
                return api.failure(429).with_headers({"Retry-After": "-1"})
            case FaultKind.SESSION_LOST:
                return api.session_lost()
        return api.failure(500)

    def _headers(self) -> dict[str, str]:
        if self.kind not in _DELAYED or self.retry_after is None:
            return {}
        return {"Retry-After": str(self.retry_after)}


@attrs.define
class Faults:
    """The faults in force, and how often each has happened."""

    _rng: Random
    fired: Counter[Fault] = attrs.field(factory=Counter)
    """How often each fault has happened."""
    _left: dict[Fault, int | None] = attrs.field(factory=dict)
    _numbers: dict[Fault, int] = attrs.field(factory=dict, repr=False)

    def add(self, *faults: Fault) -> None:
        """Put faults in force, after those that are."""
        self._left.update((fault, fault.times) for fault in faults)
        for fault in faults:
            self._numbers.setdefault(fault, len(self._numbers) + 1)

    def remove(self, number: int) -> None:
        """Take one fault out of force, by its number among all that ever were, if it still is."""
        self._left = {fault: left for fault, left in self._left.items() if self._numbers[fault] != number}

    def clear(self) -> None:
        """Take all faults out of force; what has happened stays counted."""
        self._left.clear()

    @property
    def armed(self) -> tuple[Fault, ...]:
        """Return the faults that may still happen."""
        return tuple(self._left)

    @property
    def numbered(self) -> list[tuple[int, Fault, int | None]]:
        """Return the faults that may still happen: number, fault, and how often it still may, None for always."""
        return [(self._numbers[fault], fault, left) for fault, left in self._left.items()]

    @property
    def by_label(self) -> Counter[str]:
        """Count what has happened by kind and point: ``{"drop after": 3}``."""
        counts: Counter[str] = Counter()
        for fault, times in self.fired.items():
            counts[fault.label] += times
        return counts

    def pick(self, incoming: Incoming, api: Api) -> Fault | None:
        """Return the fault that happens to a request: the first that is for it and whose chance comes up."""
        for fault, left in self._left.items():
            if not fault.concerns(incoming, api) or self._rng.random() >= fault.probability:
                continue
            self.fired[fault] += 1
            if left == 1:
                del self._left[fault]
            elif left is not None:
                self._left[fault] = left - 1
            return fault
        return None
