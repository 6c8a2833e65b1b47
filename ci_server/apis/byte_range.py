"""A log as plain text, whole or a `Range` of it (RFC 9110, section 14)."""

import asyncio
import re
from collections.abc import AsyncIterator

from starlette.responses import Response

from ci_common.job import Job
from ci_server.apis.errors import error_response
from ci_server.log_stream import LogStreams
from ci_server.sse import text_stream

_SINGLE_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def ranged_log(
    streams: LogStreams, job: Job, start: int, header: str | None, send_timeout_seconds: float
) -> Response:
    """The log from `start` to where it ends now, or the one range of that the header asks for.

    Several ranges at once, and what is not a range of bytes, are answered with the whole.
    """
    end = streams.size(job)
    wanted = _parse(header, end - start)
    if wanted is None:
        return text_stream(
            _body(streams, job, start, end),
            send_timeout_seconds,
            headers={"Accept-Ranges": "bytes", "Content-Length": str(end - start)},
        )
    first, last = wanted
    if first > last or first >= end - start:
        refusal = error_response(416, "range_not_satisfiable", "the log has no such bytes yet")
        refusal.headers["Content-Range"] = f"bytes */{end - start}"
        return refusal
    return text_stream(
        _body(streams, job, start + first, start + last + 1),
        send_timeout_seconds,
        206,
        {
            "Accept-Ranges": "bytes",
            "Content-Length": str(last - first + 1),
            "Content-Range": f"bytes {first}-{last}/{end - start}",
        },
    )


def _parse(header: str | None, size: int) -> tuple[int, int] | None:
    match = _SINGLE_RANGE.fullmatch((header or "").strip())
    if match is None or match[0] == "bytes=-":
        return None
    if not match[1]:
        length = int(match[2])
        return (max(size - length, 0), size - 1) if length else (size, size)
    first = int(match[1])
    last = int(match[2]) if match[2] else size - 1
    if match[2] and first > last:
        return None
    return first, min(last, size - 1)


async def _body(streams: LogStreams, job: Job, start: int, end: int) -> AsyncIterator[bytes]:
    while content := streams.read(job, start, end):
        yield content
        start += len(content)
        await asyncio.sleep(0)  # see LogStreams.events
