"""What Omeda's responses mean: its JSON in all its shapes, and its sentences, as it has no error codes."""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from itertools import islice
from typing import Any, Final, TypeAlias, TypeVar

from omeda_async._operation import GAVE_UP, Response
from omeda_async._quick import quick
from omeda_async.errors import (
    AlreadyDone,
    ApiError,
    AuthenticationFailed,
    BatchRejected,
    NotAuthorized,
    OmedaAsyncError,
    TooLate,
)
from omeda_async.providers._models import Answer
from omeda_async.providers._responses import (
    LONGEST_SENTENCE,
    NO_JSON,
    api_error,
    first_text,
    load_json,
    lowered,
    means_no,
    text_of,
    texts_in,
    unreadable,
    walk,
)
from omeda_async.providers.omeda._culprits import culprits_in, speaks_of_a_batch
from omeda_async.providers.omeda._dates import read_date
from omeda_async.providers.omeda.models import DeploymentReceipt, DeploymentStatus, OptOutReceipt

R = TypeVar("R")
Meanings: TypeAlias = tuple[tuple[re.Pattern[str], type[ApiError]], ...]

_SALVAGED: Final = 1_000_000
"""Bytes of a broken body that are searched for messages."""
_MOST_SALVAGED: Final = 2000
_TOO_LARGE: Final = 413
MAY_BE_FOR_SIZE: Final = GAVE_UP | {_TOO_LARGE}
"""The 4xx after which a smaller request may fare better."""
_MOST_TELLING: Final = 100
"""Messages whose meaning is looked for; whom they name is read in all."""
_REFUSES_A_BATCH: Final = frozenset({400, 409, 422})
_DECIDES: Final = frozenset({401, 408, 429, 502, 503, 504})
"""Statuses that say more than words on opt-outs beside them: the request was not looked at, and no record of it."""
_SUBMISSION: Final = ("submissionid", "submission")
"""Omeda's two names of the id of a submission, in lower case."""
_FAILED: Final = "the response does not say that it was successful"
_SUCCESSFUL: Final = "Your submission was successful"
_OF_A_RECEIPT: Final = frozenset({"success", *_SUBMISSION})
_OF_A_DEPLOYMENT: Final = frozenset({"TrackId", "Url", "SubmissionId"})
_TEXTS: Final = {str}
_TELLING: Final = re.compile(
    r"(?P<success>(?<!un)succe)|(?P<failure>succe|fail|fault|exception|denied|reject|error)"
    r"|(?P<outcome>^(?:status|result|outcome|state|ok|message)$)",
    re.IGNORECASE,
)
"""Names of properties that say whether something was successful."""
_LONGEST_NAME: Final = 100
_NO_RECEIPT: Final = "the response names no deployment"

_CANCELLED: Final = re.compile(r"^(?:the )?deployment\b.*\b(?:previously|already)\b.*\bcancell?ed\b", re.IGNORECASE)
_SENT: Final = re.compile(r"^(?:the )?deployment\b.*\b(?:was|been|is) (?:already )?sent\b", re.IGNORECASE)
_NOT_AUTHORIZED: Final = re.compile(r"^(?:the )?(?:user|\w*userid)\b.*\bnot authori[sz]ed to\b", re.IGNORECASE)
_FORBIDDEN: Final = re.compile(r"^(?:the )?appid\b.*\bforbidden\b", re.IGNORECASE)
_ALWAYS: Final[Meanings] = ((_NOT_AUTHORIZED, NotAuthorized), (_FORBIDDEN, AuthenticationFailed))
# The state of the target comes first: it holds whoever asks.
CANCEL_MEANINGS: Final[Meanings] = ((_CANCELLED, AlreadyDone), (_SENT, TooLate), *_ALWAYS)
WRITE_MEANINGS: Final[Meanings] = ((_CANCELLED, TooLate), (_SENT, TooLate), *_ALWAYS)
READ_MEANINGS: Final[Meanings] = _ALWAYS

# Omeda's documented samples of errors are not JSON themselves: Error": "…" lacks its first quotation mark.
_BROKEN_ERROR: Final = re.compile(r'\bError"?\s*:\s*"((?:[^"\\]|\\.){1,2000})"')
_BROKEN_ID: Final = re.compile(r'"Submission(?:Id)?"\s*:\s*"([^"\\]{1,100})"')

_FIELDS: Final = (
    "TrackId CloneTrackId DeploymentName DeploymentDate DeploymentTypeId OwnerUserId CampaignId Splits TrackOpens "
    "TrackLinks Testers FinalApproverUserId Notes ReloadOnqQueryBeforeFinalDeployment BillingCategoryCode "
    "UseContentRecommendation ContentRecommendationBehaviorId UseImagesInRecommendation "
    "NumberOfRecommendations ReportRecipient FirstName LastName EmailAddress UserId BrandId Source PromoCode"
)
_FIELD: Final = re.compile(
    rf"\bfield '(?P<quoted>[A-Za-z]\w{{0,99}})'|\b(?P<known>{'|'.join(_FIELDS.split())}|trackId)\b"
)
_QUOTED_VALUE: Final = re.compile(r"\bvalue '.{0,500}?' (?=(?:submitted )?for\b)", re.IGNORECASE | re.DOTALL)


@quick(eq=False)
class Content:
    """What the JSON object of a response holds, whichever of its shapes it has."""

    raw: Mapping[str, Any]
    """The whole object, as it came."""
    fields: Mapping[str, Any]
    """The fields of ``ResponseInfo`` and of the top level together, by their names in lower case."""
    errors: tuple[str, ...] | None = None
    """The messages of its errors; None if it holds no errors."""
    is_plain: bool = False
    """Whether it is a receipt as documented, and holds nothing else that could say that it failed."""


def parser(
    take: Callable[[Content], R | str], meanings: Meanings = READ_MEANINGS, *, batch: bool = False
) -> Callable[[Response], R | OmedaAsyncError]:
    """Return the function that parses the responses to an operation.

    Args:
        take: Returns what a success holds; a text says why it holds nothing.
        meanings: What the sentences of errors mean, the most telling first.
        batch: Whether many records are asked for at once, all or none.
    """

    def parse(response: Response) -> R | OmedaAsyncError:
        content = _content_of(response.body)
        if content is None or content.errors is not None or not 200 <= response.status <= 299:
            return _failure(response, content, meanings, batch=batch)
        taken = take(content)
        return unreadable(response, taken) if isinstance(taken, str) else taken

    return parse


def _content_of(body: bytes) -> Content | None:
    """Return what a body holds; None if it is not a JSON object."""
    value = load_json(body)
    if not isinstance(value, dict):
        return None
    if "ResponseInfo" in value and (receipt := _plain_receipt(value)) is not None:
        return Content(value, lowered(receipt), is_plain=True)
    fields = lowered(value)
    found = [fields.get("errors"), fields.get("error")]
    if (info := value.get("ResponseInfo")) is not None:
        inside = [lowered(one) for one in info] if isinstance(info, list) else [lowered(info)]
        fields = {**(inside[0] if inside else {}), **fields}
        found = [one.get(name) for one in inside for name in ("errors", "error")] + found
    if not any(found):
        return Content(value, fields)
    texts = (text for part in found if part for text in texts_in(part, "error", "message"))
    return Content(value, fields, tuple(dict.fromkeys(texts)))


def _plain_receipt(value: dict[str, Any]) -> dict[str, str] | None:
    """Return what ``ResponseInfo`` holds, if it is one receipt of texts as documented, and all that there is."""
    info = value.get("ResponseInfo")
    if len(value) != 1 or type(info) is not list or len(info) != 1 or type(info[0]) is not dict:
        return None
    receipt: dict[str, Any] = info[0]
    return receipt if receipt.keys() <= _OF_A_DEPLOYMENT and {*map(type, receipt.values())} <= _TEXTS else None


def take_receipt(content: Content) -> DeploymentReceipt | str:
    """Return the receipt of an update or a cancel; a text says why there is none."""
    fields = content.fields
    if not content.is_plain and _says_that_it_failed(content):
        return _FAILED
    track_id, url = text_of(fields.get("trackid")), text_of(fields.get("url"))
    if track_id is None and url is None:
        return _NO_RECEIPT
    submission_id = first_text(fields, *_SUBMISSION)
    return DeploymentReceipt(track_id, url, submission_id, _warnings(fields), raw=Answer(content.raw))


def take_new_receipt(content: Content) -> DeploymentReceipt | str:
    """Return the receipt of a create or a clone, where one without a track id is of no use."""
    receipt = take_receipt(content)
    return receipt if isinstance(receipt, str) or receipt.track_id is not None else _NO_RECEIPT


def take_opt_out_receipt(content: Content) -> OptOutReceipt | str:
    """Return the receipt of a request of opt-outs; a text says why there is none."""
    fields = content.fields
    # As documented, and no more: no name twice, and texts that hold nothing else.
    is_usual = fields.keys() <= _OF_A_RECEIPT and len(fields) == len(content.raw)
    if is_usual and fields.get("success") == _SUCCESSFUL and {*map(type, fields.values())} <= _TEXTS:
        return OptOutReceipt(first_text(fields, *_SUBMISSION), _SUCCESSFUL, raw=Answer(content.raw))
    if "success" not in fields or _says_that_it_failed(content):
        return "the response does not say that the submission was successful"
    submission_id, message = first_text(fields, *_SUBMISSION), text_of(fields["success"])
    return OptOutReceipt(submission_id, message, _warnings(fields), raw=Answer(content.raw))


def take_status(content: Content) -> DeploymentStatus | str:
    """Return the deployment that a look-up shows; a text says why there is none."""
    found = _status_of(content.raw, content.fields)
    return "the response shows no deployment" if found.track_id is None else found


def take_statuses(content: Content) -> tuple[DeploymentStatus, ...] | str:
    """Return the deployments that a search shows; a text says why there are none."""
    rows = content.fields.get("deployments")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        return "the response holds no list of deployments"
    return tuple(_status_of(row, lowered(row)) for row in rows)


def _says_that_it_failed(content: Content) -> bool:
    """Whether a receipt says of itself, in any spelling and at any depth, that it is none."""
    parts: list[tuple[str | None, Any]] = [*content.raw.items()]
    for value in content.raw.values():
        if isinstance(value, dict | list):
            parts += walk(value)
    for name, value in parts:
        match name and _told_by(name[:_LONGEST_NAME]):
            case "success" if means_no(value) or not (value is True or text_of(value)):
                return True
            case "failure" if value and not means_no(value):
                return True
            case "outcome" if means_no(value):
                return True
    return False


@lru_cache(maxsize=256)
def _told_by(name: str) -> str | None:
    """Return what a property of this name tells."""
    found = _TELLING.search(name)
    return None if found is None else found.lastgroup


def _warnings(fields: Mapping[str, Any]) -> tuple[str, ...]:
    warnings, messages = fields.get("warnings"), fields.get("messages")
    if warnings is None and messages is None:
        return ()
    return texts_in(warnings, "warning", "message") + texts_in(messages, "message", "warning")


def _status_of(raw: Mapping[str, Any], fields: Mapping[str, Any]) -> DeploymentStatus:
    return DeploymentStatus(
        track_id=text_of(fields.get("trackid")),
        deployment_name=text_of(fields.get("deploymentname")),
        status=_in_words(first_text(fields, "status", "deploymentstatus")),
        deployment_type_id=text_of(fields.get("deploymenttypeid")),
        owner_user_id=first_text(fields, "owneruserid", "owner"),
        created_by=text_of(fields.get("createdby")),
        deployment_date=read_date(fields.get("deploymentdate")),
        requested_date=read_date(fields.get("requesteddate")),
        scheduled_date=read_date(fields.get("scheduleddate")),
        sent_date=read_date(fields.get("sentdate")),
        created_date=read_date(fields.get("createddate")),
        url=text_of(fields.get("url")),
        raw=raw,
    )


def _in_words(status: str | None) -> str | None:
    """Return a status as a look-up shows it: a search may give a code for it, such as ``WAITING_REVIEW``."""
    if status is None or not status.isupper():
        return status
    return status.replace("_", " ").title()


def _failure(response: Response, content: Content | None, meanings: Meanings, *, batch: bool) -> OmedaAsyncError:
    """Return the error of a response that holds errors, cannot be read, or has not come with a 2xx."""
    if content is not None and content.errors is not None:
        return _named(response, content.errors, first_text(content.fields, *_SUBMISSION), meanings, batch=batch)
    if response.accepted:
        return unreadable(response, "the response is not a JSON object, and says neither success nor failure")
    if not response.refused:
        return unreadable(response, "the response says neither success nor failure")
    if content is not None:
        return api_error(response, submission_id=first_text(content.fields, *_SUBMISSION))
    if batch and response.status == _TOO_LARGE:
        return api_error(response, sent=False)  # whoever says so has looked at nothing but the size
    return _salvaged(response, meanings, batch=batch)


def _named(
    response: Response, messages: tuple[str, ...], submission_id: str | None, meanings: Meanings, *, batch: bool
) -> ApiError:
    telling = [text[:LONGEST_SENTENCE] for text in messages[:_MOST_TELLING]]
    kind = next((kind for words, kind in meanings if any(map(words.search, telling))), None)
    details: dict[str, Any] = {"submission_id": submission_id, "fields": _fields_in(telling)}
    by_words = response.status not in _DECIDES and (speaks_of_a_batch(telling) or response.accepted)
    if kind is None and batch and (by_words or response.status in _REFUSES_A_BATCH):
        kind, details["culprits"] = BatchRejected, culprits_in(messages)
    return api_error(response, kind, sent=None if kind is None else False, messages=messages, **details)


def _salvaged(response: Response, meanings: Meanings, *, batch: bool) -> OmedaAsyncError:
    """Return the error of a refusal whose JSON is broken, with what can still be read in it."""
    if load_json(response.body) is not NO_JSON:
        return api_error(response)
    text = response.body[:_SALVAGED].decode("utf-8", "replace")
    found = islice(_BROKEN_ERROR.finditer(text), _MOST_SALVAGED)
    messages = tuple(_unescaped(one[1]) for one in found)
    submission = _BROKEN_ID.search(text)
    return _named(response, messages, submission[1] if submission else None, meanings, batch=batch and bool(messages))


def _unescaped(quoted: str) -> str:
    value = load_json(f'"{quoted}"'.encode("utf-8", "replace"))
    return value if isinstance(value, str) else quoted


def _fields_in(messages: Iterable[str]) -> tuple[str, ...]:
    """Return the wire names of the fields that messages speak of, each once."""
    names: dict[str, None] = {}
    for message in messages:
        for found in _FIELD.finditer(_QUOTED_VALUE.sub("value ", message)):
            name = found["quoted"] or found["known"]
            names["TrackId" if name == "trackId" else name] = None
    return tuple(names)
