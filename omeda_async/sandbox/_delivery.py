"""How an answer leaves, whole, cut or not at all."""

from http import HTTPStatus

from aiohttp import web

from omeda_async.sandbox._message import Answer


def response(answer: Answer) -> web.Response:
    """Make what aiohttp sends."""
    headers = {"Content-Type": answer.content_type, **answer.headers}
    return web.Response(status=answer.status, body=answer.body, headers=headers)


def half(answer: Answer) -> bytes:
    """Return an answer up to the middle of its body; of one without a body, the middle of its head."""
    phrase = HTTPStatus(answer.status).phrase
    head = f"HTTP/1.1 {answer.status} {phrase}\r\nContent-Type: {answer.content_type}\r\n"
    if not answer.body:
        return head.encode()
    length = len(answer.body)
    return f"{head}Content-Length: {length}\r\n\r\n".encode() + answer.body[: length // 2]


def hang_up(request: web.BaseRequest, last_words: bytes = b"") -> None:
    """Close the connection of a request, perhaps after some bytes."""
    transport = request.transport
    if transport is None:
        return
    if last_words:
        transport.write(last_words)
    transport.close()
