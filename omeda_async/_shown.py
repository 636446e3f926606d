"""What an error may show of a request and its response: nothing that signs, and no e-mail address."""

from collections.abc import Mapping
from typing import Final

from omeda_async._masking import mask_emails, readable

_LONGEST: Final = 200
_NAMES: Final = frozenset(
    {"date", "retry-after", "server", "via", "content-type", "cf-ray", "traceparent", "x-amz-cf-id"}
    | {"request-id", "x-request-id", "x-correlation-id", "x-trace-id", "x-amzn-requestid", "x-amzn-trace-id"}
)
_BEGINNINGS: Final = ("x-ratelimit-", "ratelimit")


def shown_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return those headers of a response that help to find out what happened: times, limits, ids, who answered.

    Their names are in lower case.
    """
    folded = ((name.lower(), value) for name, value in headers.items())
    return {
        name: readable(value)[:_LONGEST] for name, value in folded if name in _NAMES or name.startswith(_BEGINNINGS)
    }


def shown_url(base_url: str, path: str) -> str:
    """Return a URL without its query; of an e-mail address in it, the local part is masked."""
    return base_url + "/".join(map(mask_emails, path.partition("?")[0].split("/")))
