"""How a response is read: parsed by its operation, with the secrets hidden that it may echo."""

from typing import TypeVar

import attrs

from omeda_async._masking import LEAST_SECRET, encoded_forms, hide_secrets
from omeda_async._operation import Operation, Response
from omeda_async._shown import shown_headers
from omeda_async.errors import OmedaAsyncError, UnreadableAnswer

P = TypeVar("P")
R = TypeVar("R")


def read_response(
    operation: Operation[P, R], response: Response, secrets: tuple[str, ...], params: P | None = None
) -> R | OmedaAsyncError:
    """Parse a response, with the secrets hidden that a provider may echo.

    An error's text is cut and masked: hiding them only afterwards would leave a part of one. Of a success every value
    counts: a password too short to be told from chance is no reason to change one.

    Args:
        operation: What was asked for.
        response: What came.
        secrets: What it may echo.
        params: With which parameters it was asked for: a response that names something else is none. None for any.
    """
    result = _parsed(operation, response, params)
    least = 1 if isinstance(result, OmedaAsyncError) else LEAST_SECRET
    for form in encoded_forms(secrets, least):
        if form in response.body:
            break
    else:
        return result
    clean = hide_secrets(response.body.decode("utf-8", "surrogateescape"), secrets, least=least)
    again = _parsed(operation, attrs.evolve(response, body=clean.encode("utf-8", "surrogateescape")), params)
    return again if type(again) is type(result) else result


def _parsed(operation: Operation[P, R], response: Response, params: P | None) -> R | OmedaAsyncError:
    result, confirms = operation.parse(response), operation.confirms
    if isinstance(result, OmedaAsyncError):
        result.headers = shown_headers(response.headers)
        return result
    if confirms is None or params is None or confirms(params, result, response):
        return result
    reason = f"answered {response.status}, and names something else than what was asked for"
    seen = shown_headers(response.headers)
    return UnreadableAnswer(reason, sent=True, headers=seen, status=response.status, body=response.body)
