"""Omeda's opt-outs: those applied, what the queue accepts, and the words in which it refuses."""

import json
import zlib
from collections import Counter
from collections.abc import Collection, Iterator
from typing import Any

import attrs

LEVELS = {
    "ClientOptOut": ("client", None),
    "BrandOptOut": ("brand", "BrandId"),
    "DeploymentTypeOptOut": ("deployment_type", "DeploymentTypeId"),
}
DEFAULT_SOURCE = "Optout API 2"
NO_BRANDS = "There are currently no valid brands associated for the client submitted."
SUMMARY = "There were errors with your submission.  None of the OptOuts submitted in your request were created."
_CULPRIT = (
    "{level} submission ({id}): the {field} is not authorized for OptOuts for the AppId submitted. "
    "Email address {email} was not opted out."
)
_REFUSED = "{level} submission: the EmailAddress is not valid. Email address {email} was not opted out."
_OPTIONAL = frozenset({"Source", "PromoCode"})


@attrs.frozen
class OptOut:
    """One address opted out of one thing."""

    level: str
    """``client``, ``brand`` or ``deployment_type``."""
    email_address: str = attrs.field(repr=False)
    id: str | int | None
    """The brand, the deployment type, or None for ``client``."""
    source: str


@attrs.frozen
class OptOutSubmission:
    """An opt-out request that was applied as a whole."""

    submission_id: str
    arrived_at: float
    entries: int
    """Elements of its three lists."""
    opt_outs: int
    """Pairs of address and id."""
    packed: bytes = attrs.field(repr=False)

    def opened(self) -> Iterator[OptOut]:
        """Return its opt-outs, an element with several ids as several."""
        return opt_outs_in(zlib.decompress(self.packed))


@attrs.define
class OptOuts:
    """Every opt-out that was applied, kept packed and unpacked when it is asked for."""

    submissions: list[OptOutSubmission] = attrs.field(factory=list)

    def apply(self, submission_id: str, arrived_at: float, body: bytes, data: dict[str, Any]) -> None:
        """Apply a whole request."""
        entries = sum(len(items) for items in data.values())
        packed = zlib.compress(body, 1)
        self.submissions.append(OptOutSubmission(submission_id, arrived_at, entries, pairs_in(data), packed))

    def __iter__(self) -> Iterator[OptOut]:
        """Return every opt-out, in the order of application, repeats included."""
        for submission in self.submissions:
            yield from submission.opened()

    def __len__(self) -> int:
        return sum(submission.opt_outs for submission in self.submissions)

    def counter(self) -> Counter[tuple[str, str, str | int | None]]:
        """Count the applications of every (level, e-mail address, id); the id of ``client`` is None."""
        return Counter((one.level, one.email_address, one.id) for one in self)

    def applied(self) -> set[tuple[str, str, str | int | None]]:
        """Return the set of every (level, e-mail address, id) that is opted out."""
        return set(self.counter())

    def clear(self) -> None:
        """Forget all."""
        self.submissions.clear()


def opt_outs_in(body: bytes) -> Iterator[OptOut]:
    """Return every opt-out of a request, an element with several ids as several."""
    for name, entries in json.loads(body).items():
        level, field = LEVELS[name]
        for entry in entries:
            source = entry.get("Source") or DEFAULT_SOURCE
            for one in ids_of(entry, field):
                yield OptOut(level, entry["EmailAddress"], one, source)


def pairs_in(data: dict[str, Any]) -> int:
    """Count the pairs of address and id in a request."""
    return sum(len(ids_of(entry, LEVELS[name][1])) for name, entries in data.items() for entry in entries)


def ids_of(entry: dict[str, Any], field: str | None) -> list[Any]:
    """Return the ids of an element; ``[None]`` at the client level.

    A lone id is taken as a list of one: the field table says "string", the example shows a list.
    """
    if field is None:
        return [None]
    value = entry[field]
    ids = value if type(value) is list else [value]
    if field == "DeploymentTypeId" and str in map(type, ids):
        return [_as_type_id(one) for one in ids]
    return ids


def _as_type_id(value: object) -> object:
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def malformed(data: dict[str, Any] | None, *, strict: bool) -> list[str]:
    """Return what is wrong with the form of a request, before anyone looks at what it asks for."""
    if data is None:
        return ["The request body is not valid JSON."]
    unknown = sorted(data.keys() - LEVELS.keys())
    if unknown:
        return [f"Unknown field '{name}'." for name in unknown]
    wrong = [name for name, entries in data.items() if not isinstance(entries, list)]
    if wrong:
        return [f"The field '{name}' must be an array." for name in wrong]
    if not any(data.values()):
        return ["At least one of 'ClientOptOut', 'BrandOptOut', 'DeploymentTypeOptOut' is required."]
    found: list[str] = []
    for name, entries in data.items():
        field = LEVELS[name][1]
        known = {"EmailAddress", *_OPTIONAL, *(() if field is None else (field,))}
        for entry in entries:
            if not _plainly_good(entry, field, known):
                found.extend(_malformed_entry(entry, name, field, strict=strict))
    return found


def _plainly_good(entry: Any, field: str | None, known: set[str]) -> bool:
    """Whether an element is as documented: a quick look, as nearly all are and there are millions."""
    if type(entry) is not dict or not entry.keys() <= known:
        return False
    email, ids = entry.get("EmailAddress"), None if field is None else entry.get(field)
    plain = field is None or (type(ids) is list and ids and all(type(one) in (str, int) for one in ids))
    return bool(plain and email and type(email) is str and type(entry.get("Source", "")) is str)


def _malformed_entry(entry: Any, level: str, field: str | None, *, strict: bool) -> list[str]:
    if not isinstance(entry, dict):
        return [f"{level} submission: an element must be an object."]
    required = ("EmailAddress",) if field is None else ("EmailAddress", field)
    missing = [name for name in required if not entry.get(name)]
    if missing:
        return [f"The field '{name}' is required." for name in missing]
    if not isinstance(entry["EmailAddress"], str) or not isinstance(entry.get("Source", ""), str):
        return [f"{level} submission: 'EmailAddress' and 'Source' must be strings."]
    if field is not None and not all(type(one) in (str, int) for one in ids_of(entry, field)):
        return [f"{level} submission: '{field}' must be a list of ids."]
    unknown = entry.keys() - _OPTIONAL - set(required) if strict else ()
    return [f"Unknown field '{name}'." for name in sorted(unknown)]


def culprits(
    data: dict[str, Any],
    brands: Collection[str],
    deployment_types: Collection[int],
    refused_emails: Collection[str],
) -> Iterator[str]:
    """Return every reason to refuse an opt-out of a well-formed request, in the provider's words."""
    if not brands:
        yield NO_BRANDS
        return
    allowed: dict[str | None, Collection[Any]] = {
        None: (None,),
        "BrandId": brands,
        "DeploymentTypeId": deployment_types,
    }
    for level, entries in data.items():
        field = LEVELS[level][1]
        for entry in entries:
            email = entry["EmailAddress"]
            if email in refused_emails:
                yield _REFUSED.format(level=level, email=email)
            for one in ids_of(entry, field):
                if one not in allowed[field]:
                    yield _CULPRIT.format(level=level, id=one, field=field, email=email)
