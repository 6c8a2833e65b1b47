"""What both streams have in common: offsets, headers, and the events of the protocol."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from enum import StrEnum
from typing import Annotated, TypeVar

from fastapi import Query
from starlette.responses import Response

from ci_server.http.query import query_error

BEGINNING = "-1"
"""The offset of a reader that wants all."""

NOW = "now"
"""The offset of a reader that wants only what is to come."""

LONG_POLL_SECONDS = 20.0
"""Below the idle time of common proxies."""

SSE_SECONDS = 60.0
"""After this the client reconnects: whoever lost their access does not keep reading."""

Event = TypeVar("Event")

_DIGITS = 20
_CURSOR_SECONDS = 20
_MOST_CURSOR_DIGITS = 18


class Live(StrEnum):
    """How a reader waits for what is not there yet."""

    LONG_POLL = "long-poll"
    SSE = "sse"


LiveMode = Annotated[Live | None, Query()]
Offset = Annotated[str | None, Query(max_length=128)]
Cursor = Annotated[str | None, Query(max_length=128)]


def check_offset_given(offset: str | None, live: Live | None) -> None:
    """Raise RequestValidationError where the protocol requires one."""
    if live is not None and offset is None:
        raise query_error("offset", "is required with live")


async def up_to(seconds: float, events: AsyncGenerator[Event, None]) -> AsyncGenerator[Event, None]:
    """The same events for so many seconds. The time-out applies only while waiting for the next
    event: around `yield` it would cancel the sender, and cut the stream of a slow reader.
    """
    end = asyncio.get_running_loop().time() + seconds
    async with aclosing(events):
        while True:
            try:
                async with asyncio.timeout_at(end):
                    event = await anext(events)
            except (TimeoutError, StopAsyncIteration):
                return
            yield event


def padded(number: int) -> str:
    """A number in an offset: with leading zeros, so that offsets sort as text."""
    return f"{number:0{_DIGITS}d}"


def unpadded(text: str) -> int | None:
    """The number of `padded`; `None` for any other text."""
    is_number = len(text) == _DIGITS and text.isascii() and text.isdecimal()
    return int(text) if is_number else None


def stream_headers(
    next_offset: str, *, up_to_date: bool, closed: bool = False, cursor: str | None = None
) -> dict[str, str]:
    """The headers of an answer. Streams here are private, so nobody may store them."""
    return {
        "Cache-Control": "private, no-store",
        "Stream-Next-Offset": next_offset,
        **({"Stream-Up-To-Date": "true"} if up_to_date else {}),
        **({"Stream-Closed": "true"} if closed else {}),
        **({} if cursor is None else {"Stream-Cursor": cursor}),
    }


def next_cursor(given: str | None) -> str:
    """The number of the current interval of time, and always more than the client has: shared
    caches then keep waiting requests apart. Ours may not be stored, but the protocol wants one.
    """
    now = int(time.time()) // _CURSOR_SECONDS
    if given and given.isascii() and given.isdecimal() and len(given) <= _MOST_CURSOR_DIGITS:
        now = max(now, int(given) + 1)
    return str(now)


def tagged(tag: str, headers: dict[str, str]) -> dict[str, str]:
    """The headers, and the entity tag of the piece."""
    return {**headers, "ETag": f'"{tag}"'}


def not_modified(header: str | None, headers: dict[str, str]) -> Response | None:
    """304 when the reader has this very piece; otherwise `None`."""
    known = {each.strip().removeprefix("W/") for each in (header or "").split(",")}
    if headers["ETag"] not in known:
        return None
    return Response(status_code=304, headers=headers)


def data_event(content: bytes) -> bytes:
    """An event with bytes, in base64 (`stream-sse-data-encoding`)."""
    return b"event: data\ndata: " + base64.b64encode(content) + b"\n\n"


def json_event(text: str) -> bytes:
    """An event with a JSON array on one line."""
    return b"event: data\ndata: " + text.encode("ascii") + b"\n\n"


def control_event(next_offset: str, *, up_to_date: bool, closed: bool = False) -> bytes:
    """The event that tells where the reader is; after each event with data."""
    told: dict[str, object] = {"streamNextOffset": next_offset}
    if closed:
        told["streamClosed"] = True
    else:
        told["streamCursor"] = next_cursor(None)
    if up_to_date:
        told["upToDate"] = True
    return b"event: control\ndata: " + json.dumps(told).encode("ascii") + b"\n\n"
