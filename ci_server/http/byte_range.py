"""Bytes, whole or a `Range` of them (RFC 9110, section 14)."""

import re
from collections.abc import AsyncIterator, Callable, Mapping

from starlette.responses import Response

from ci_common.errors import InvalidOffsetError, quoted
from ci_common.job import Job
from ci_server.http.errors import error_response
from ci_server.http.streaming import text_stream
from ci_server.streams.log_stream import LogStreams

_SINGLE_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_NO_END_YET = 2**53 - 1
"""The last byte of what still grows (RFC 8673)."""


def offset_in_log(streams: LogStreams, job: Job, wanted: str) -> int:
    """An offset that was asked for. Raises InvalidOffsetError."""
    if not wanted.isascii() or not wanted.isdecimal() or len(wanted) > 18:
        raise InvalidOffsetError(f"{quoted(wanted)} is not an offset (an integer number of bytes)")
    streams.check_offset(job, int(wanted))
    return int(wanted)


def ranged_log(
    streams: LogStreams, job: Job, start: int, header: str | None, send_timeout_seconds: float
) -> Response:
    """The log from `start` to where it ends now, or the one range of that the header asks for. A
    live log may end before `start`.
    """

    async def body(first: int, end: int) -> AsyncIterator[bytes]:
        position = start + first
        while position < start + end and (content := streams.read(job, position, start + end)):
            yield content
            position += len(content)

    size = max(streams.size(job) - start, 0)
    first, last = _parse(header, size) or (0, size - 1)
    if first <= last < size:
        streams.check_stored(job, start + last + 1)
    so_far = "" if job.status.is_terminal else " so far"
    return ranged(body, size, header, send_timeout_seconds, so_far=so_far)


def followed_log(
    streams: LogStreams, job: Job, start: int, header: str | None, send_timeout_seconds: float
) -> Response:
    """The log of a live job from `start` on until its end, or the one range of that the header asks
    for. It may begin behind what is written, and ends with the log, wherever that will be.
    """
    wanted = _parse_growing(header, max(streams.size(job) - start, 0))
    if wanted is None:
        body = streams.content(job, start)
        return text_stream(body, send_timeout_seconds, headers={"Accept-Ranges": "bytes"})
    first, last = wanted
    return text_stream(
        streams.content(job, start + first, start + last + 1),
        send_timeout_seconds,
        206,
        {"Accept-Ranges": "bytes", "Content-Range": f"bytes {first}-{last}/*"},
    )


def ranged(
    body: Callable[[int, int], AsyncIterator[bytes]],
    size: int,
    header: str | None,
    send_timeout_seconds: float,
    headers: Mapping[str, str] | None = None,
    media_type: str = "text/plain; charset=utf-8",
    so_far: str = "",
) -> Response:
    """All bytes, of which `body` gives those from one offset to another, or the one range of them
    that the header asks for.

    Several ranges at once, and what is not a range of bytes, are answered with the whole. `so_far`
    is said of the size to those who ask for bytes behind it.
    """
    wanted = _parse(header, size)
    first, last = wanted or (0, size - 1)
    if wanted and (first > last or first >= size):
        refusal = error_response(
            416, "range_not_satisfiable", f"the range is outside of the {size} bytes{so_far}"
        )
        refusal.headers["Content-Range"] = f"bytes */{size}"
        return refusal
    headers = {
        "Accept-Ranges": "bytes",
        "Content-Length": str(last - first + 1),
        **({"Content-Range": f"bytes {first}-{last}/{size}"} if wanted else {}),
        **(headers or {}),
    }
    stream = body(first, last + 1)
    return text_stream(stream, send_timeout_seconds, 206 if wanted else 200, headers, media_type)


def _parse(header: str | None, size: int) -> tuple[int, int] | None:
    match = _SINGLE_RANGE.fullmatch((header or "").strip())
    if match is None or match[0] == "bytes=-":
        return None
    if not match[1]:
        length = int(match[2])
        if length and not size:
            return None  # all of nothing, which no 206 can tell
        return (max(size - length, 0), size - 1) if length else (size, size)
    first = int(match[1])
    last = int(match[2]) if match[2] else size - 1
    if match[2] and first > last:
        return None
    return first, min(last, size - 1)


def _parse_growing(header: str | None, size: int) -> tuple[int, int] | None:
    """The same of what has `size` bytes so far, and will have more."""
    match = _SINGLE_RANGE.fullmatch((header or "").strip())
    if match is None or match[0] == "bytes=-":
        return None
    if not match[1]:
        return max(size - int(match[2]), 0), _NO_END_YET
    first, last = int(match[1]), int(match[2] or _NO_END_YET)
    return (first, last) if first <= last else None
