"""The native HTTP dialect: what jobs left behind."""

import asyncio
import re
from collections.abc import AsyncIterator
from email.utils import format_datetime
from typing import Annotated, Any, BinaryIO
from urllib.parse import quote

from fastapi import APIRouter, Header, Request, Response
from starlette.convertors import Convertor, register_url_convertor
from typing_extensions import override

from ci_common.job import Artifact
from ci_common.ports.artifacts import ArtifactReader
from ci_server.apis.native.openapi import FILE_ANSWER
from ci_server.apis.native.present import artifact_json
from ci_server.apis.native.routes import Api
from ci_server.http.byte_range import ranged
from ci_server.http.guards import Reader, stream_slot

_CHUNK_BYTES = 1 << 18

router = APIRouter()


class ArtifactPath(Convertor[str]):
    """All that follows in the URL's path. Starlette's own `path` stops at the end of a line, which
    a name may hold.
    """

    regex = "(?s:.*)"

    @override
    def convert(self, value: str) -> str:
        """The path as the job wrote it."""
        return value

    @override
    def to_string(self, value: str) -> str:
        """The path, to be quoted by whoever makes a URL of it."""
        return value


register_url_convertor("artifact_path", ArtifactPath())


@router.get("/jobs/{job_id}/artifacts")
async def list_artifacts(job_id: str, api: Api, principal: Reader) -> list[dict[str, Any]]:
    """The files a job left behind, by path; none before its end."""
    return [artifact_json(artifact) for artifact in await api.service.artifacts(principal, job_id)]


@router.get("/jobs/{job_id}/artifacts/{path:artifact_path}", **FILE_ANSWER)
async def get_artifact(
    request: Request,
    job_id: str,
    path: str,
    api: Api,
    principal: Reader,
    range_: Annotated[str | None, Header(alias="range")] = None,
    if_range: Annotated[str | None, Header()] = None,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """One of them, whole or a `Range`. Its SHA-256 is its `ETag`; `Last-Modified` is when the job
    wrote it.
    """
    artifact = await api.service.artifact(principal, job_id, path)
    tag = f'"{artifact.sha256}"'
    kept = {"ETag": tag, "Cache-Control": "private, no-cache"}  # kept, and asked for each time
    if artifact.modified_at is not None:
        kept["Last-Modified"] = format_datetime(artifact.modified_at, usegmt=True)
    if if_none_match is not None and tag in if_none_match:
        return Response(status_code=304, headers=kept)
    stream_slot(request, principal)
    # Now, because once the answer has begun it is too late to say that the file is gone.
    (await asyncio.to_thread(api.artifacts.open, job_id, artifact)).close()

    def body(first: int, end: int) -> AsyncIterator[bytes]:
        return _content(api.artifacts, job_id, artifact, first, end)

    headers = {**kept, "Content-Disposition": _disposition(path)}
    wanted = range_ if if_range in (None, tag) else None
    return ranged(
        body,
        artifact.size,
        wanted,
        api.send_timeout_seconds,
        headers,
        "application/octet-stream",
    )


async def _content(
    artifacts: ArtifactReader, job_id: str, artifact: Artifact, first: int, end: int
) -> AsyncIterator[bytes]:
    file: BinaryIO = await asyncio.to_thread(artifacts.open, job_id, artifact)
    try:
        file.seek(first)
        while first < end:
            content = await asyncio.to_thread(file.read, min(_CHUNK_BYTES, end - first))
            if not content:
                return
            first += len(content)
            yield content
    finally:
        file.close()


def _disposition(path: str) -> str:
    """Saved, never shown: what a job wrote must not run in a browser as ours (RFC 6266)."""
    name = path.rpartition("/")[2]
    plain = re.sub(r"[^A-Za-z0-9 ._()+,=@~-]", "_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
