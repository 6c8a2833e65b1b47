"""Artifacts as answers: whole, a `Range` of one, only the headers, or 304."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from email.utils import format_datetime
from typing import Annotated, BinaryIO
from urllib.parse import quote

from fastapi import Depends, Header
from starlette.requests import HTTPConnection
from starlette.responses import Response

from ci_common.job import Artifact
from ci_common.ports.artifacts import ArtifactReader
from ci_server.http.byte_range import ranged
from ci_server.http.streaming import file_content


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a request says about which bytes it wants, and which it has."""

    range: Annotated[str | None, Header()] = None
    if_range: Annotated[str | None, Header()] = None
    if_none_match: Annotated[str | None, Header()] = None


Wanted = Annotated[Conditions, Depends(Conditions)]


@dataclass(frozen=True, slots=True)
class StoredFile:
    """An artifact of a job, and what is put into it on its way."""

    artifacts: ArtifactReader
    job_id: str
    artifact: Artifact
    inserted: bytes = b""
    at: int = 0
    """Where that begins."""

    @property
    def size(self) -> int:
        """Of what is sent."""
        return self.artifact.size + len(self.inserted)

    @property
    def tag(self) -> str:
        """The ETag: the SHA-256 of the artifact, and whether it is sent as it is."""
        return f'"{self.artifact.sha256}{"+" if self.inserted else ""}"'

    async def head(self, size: int) -> bytes:
        """The artifact's first bytes. Raises ArtifactNotFoundError when it is gone."""

        def read() -> bytes:
            with self.artifacts.open(self.job_id, self.artifact) as file:
                return file.read(size)

        return await asyncio.to_thread(read)

    async def content(self, first: int, end: int) -> AsyncIterator[bytes]:
        """What is sent, from one offset to another."""
        file: BinaryIO = await asyncio.to_thread(self.artifacts.open, self.job_id, self.artifact)
        at, more = self.at, len(self.inserted)
        try:
            async for content in file_content(file, first, min(end, at) if more else end):
                yield content
            if not more:
                return
            if inserted := self.inserted[max(first - at, 0) : max(end - at, 0)]:
                yield inserted
            async for content in file_content(file, max(first - more, at), end - more):
                yield content
        finally:
            file.close()


def stored_file_answer(
    connection: HTTPConnection,
    file: StoredFile,
    wanted: Conditions,
    headers: Mapping[str, str],
    media_type: str,
    send_timeout_seconds: float,
) -> Response:
    """What the request wants of a file that is there. A client that keeps it has to ask each
    time.
    """
    kept = {"ETag": file.tag, "Cache-Control": "private, no-cache", **headers}
    if file.artifact.modified_at is not None:
        kept["Last-Modified"] = format_datetime(file.artifact.modified_at, usegmt=True)
    if wanted.if_none_match is not None and file.tag in wanted.if_none_match:
        return Response(status_code=304, headers=kept)
    if connection.scope["method"] == "HEAD":
        size = {"Content-Length": str(file.size), "Accept-Ranges": "bytes"}
        return Response(headers={**kept, **size}, media_type=media_type)
    range_ = wanted.range if wanted.if_range in (None, file.tag) else None
    return ranged(file.content, file.size, range_, send_timeout_seconds, kept, media_type)


def disposition(kind: str, path: str) -> str:
    """Content-Disposition of a kind, `inline` or `attachment`, with the file's name (RFC 6266)."""
    name = path.rpartition("/")[2]
    plain = re.sub(r"[^A-Za-z0-9 ._()+,=@~-]", "_", name)
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
