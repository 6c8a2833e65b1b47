"""Errors in our form, as bytes: for connections whose request never reaches the application."""

import json
from http import HTTPStatus

from ci_server.http.security_headers import SECURITY_HEADERS
from ci_server.telemetry.request_id import REQUEST_ID_HEADER

RETRY_AFTER_SECONDS = 5


def error_answer(
    status: HTTPStatus, code: str, message: str, request_id: str, *, with_body: bool = True
) -> bytes:
    """The whole answer, after which the connection is closed; `HEAD` gets it without the body."""
    error = {"code": code, "message": message, "request_id": request_id}
    body = json.dumps({"error": error}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
        (REQUEST_ID_HEADER, request_id.encode()),
        *SECURITY_HEADERS,
    ]
    if status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS):
        headers.append((b"retry-after", b"%d" % RETRY_AFTER_SECONDS))
    head = b"".join(b"%s: %s\r\n" % header for header in headers)
    start = b"HTTP/1.1 %d %s\r\n%s\r\n" % (status, status.phrase.encode(), head)
    return start + body if with_body else start
