"""What the head of a request may be, and the refusals of what it may not be."""

from http import HTTPStatus
from typing import NamedTuple

HEAD_BYTES = 64 << 10
"""All names and values of a request's headers; also what lies between two pieces of a body."""

URL_BYTES = 16 << 10


class Refusal(NamedTuple):
    """An error that is answered without the application."""

    status: HTTPStatus
    code: str
    message: str


HEAD_TOO_LARGE = Refusal(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    "headers_too_large",
    f"the headers are larger than {HEAD_BYTES} bytes",
)
URL_TOO_LONG = Refusal(
    HTTPStatus.REQUEST_URI_TOO_LONG,
    "url_too_long",
    f"the URL is longer than {URL_BYTES} bytes",
)
OTHER_HOST = Refusal(
    HTTPStatus.BAD_REQUEST,
    "bad_request",
    "the request target names a different host than the Host header",
)


def problem_of_head(url: bytes, headers: list[tuple[bytes, bytes]]) -> Refusal | None:
    """Why a request is refused whose head is this (names in lower case); `None` when it is not."""
    if len(url) > URL_BYTES:
        return URL_TOO_LONG
    hosts = [value.lower() for name, value in headers if name == b"host"]
    if not url.startswith((b"/", b"*")) and hosts != [_authority(url).lower()]:
        return OTHER_HOST
    return None


def has_body(headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether a request with these headers (names in lower case) goes on after its head."""
    found = dict(headers)
    return found.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in found


def _authority(url: bytes) -> bytes:
    """Of a target in absolute form, or in that of CONNECT.

    The application is given the path only, so what is before it would count for nothing: a
    request for another host would be taken for one for the host of the header.
    """
    rest = url.partition(b"://")[2] or url
    for end in (b"/", b"?", b"#"):
        rest = rest.partition(end)[0]
    return rest
