"""Files of pages, which browsers keep and ask for again."""

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import Path, PurePath
from typing import BinaryIO

from starlette.requests import HTTPConnection
from starlette.responses import Response

from ci_server.http.byte_range import ranged
from ci_server.http.cleanup import at_end
from ci_server.http.streaming import file_content

_TEXT = "; charset=utf-8"
_UNKNOWN = "application/octet-stream"
_TYPES = {
    ".avif": "image/avif",
    ".css": "text/css" + _TEXT,
    ".csv": "text/csv" + _TEXT,
    ".gif": "image/gif",
    ".htm": "text/html" + _TEXT,
    ".html": "text/html" + _TEXT,
    ".ico": "image/x-icon",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".js": "text/javascript" + _TEXT,
    ".json": "application/json",
    ".map": "application/json",
    ".md": "text/markdown" + _TEXT,
    ".mjs": "text/javascript" + _TEXT,
    ".mp4": "video/mp4",
    ".otf": "font/otf",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".ttf": "font/ttf",
    ".txt": "text/plain" + _TEXT,
    ".wasm": "application/wasm",
    ".webm": "video/webm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".xml": "application/xml",
}
"""Not those of the machine's own table, which differ; with `nosniff`, a wrong one breaks a page."""


def media_type_of(path: PurePath) -> str | None:
    """By the ending; `None` for one that pages do not have."""
    return _TYPES.get(path.suffix.lower())


async def file_answer(
    connection: HTTPConnection,
    path: Path,
    send_timeout_seconds: float,
    headers: Mapping[str, str],
) -> Response | None:
    """The file, a `Range` of it, its head, or 304; `None` when it is no regular file that can be
    read. It has `ETag` and `Last-Modified`, and a client that keeps it has to ask each time.
    """
    opened = await asyncio.to_thread(_open, path)
    if opened is None:
        return None
    file, status = opened
    at_end(connection.scope, file.close)
    tag = f'"{status.st_mtime_ns:x}-{status.st_size:x}"'
    modified = datetime.fromtimestamp(int(status.st_mtime), UTC)
    kept = {
        "ETag": tag,
        "Last-Modified": format_datetime(modified, usegmt=True),
        "Cache-Control": "no-cache",
        **headers,
    }
    if _is_kept(connection, tag, modified):
        return Response(status_code=304, headers=kept)
    media_type = media_type_of(path) or _UNKNOWN
    if connection.scope["method"] == "HEAD":
        size = {"Content-Length": str(status.st_size), "Accept-Ranges": "bytes"}
        return Response(headers={**kept, **size}, media_type=media_type)

    def body(first: int, end: int) -> AsyncIterator[bytes]:
        return file_content(file, first, end)

    wanted = connection.headers.get("range")
    if connection.headers.get("if-range", tag) != tag:
        wanted = None
    return ranged(body, status.st_size, wanted, send_timeout_seconds, kept, media_type)


def _open(path: Path) -> tuple[BinaryIO, os.stat_result] | None:
    try:
        # What is no file, such as a pipe, must not keep us waiting.
        file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    except (OSError, ValueError):
        return None
    status = os.fstat(file.fileno())
    if stat.S_ISREG(status.st_mode):
        return file, status
    file.close()
    return None


def _is_kept(connection: HTTPConnection, tag: str, modified: datetime) -> bool:
    """Whether the client has this version; its tag decides, if it sent one (RFC 9110, 13.2.2)."""
    tags = connection.headers.getlist("if-none-match")
    if tags:
        known = {each.strip().removeprefix("W/") for each in ",".join(tags).split(",")}
        return not known.isdisjoint((tag, "*"))
    try:
        return modified <= parsedate_to_datetime(connection.headers["if-modified-since"])
    except (KeyError, ValueError, TypeError):
        return False
