"""The HTTP API: artifacts of jobs."""

import mimetypes
import re
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request, Response
from starlette.convertors import Convertor, register_url_convertor
from typing_extensions import override

from ci_common.principal import Principal
from ci_server.apis.native.openapi import FILE_ANSWER
from ci_server.apis.native.present import artifact_json
from ci_server.apis.native.routes import Api, NativeApi
from ci_server.http.guards import Reader, origin_of, public, rate_limited, stream_slot
from ci_server.http.stored_file import (
    Conditions,
    StoredFile,
    Wanted,
    disposition,
    stored_file_answer,
)
from ci_server.services.jobs import SIGNED_URL

_LOADED = re.compile("javascript|ecmascript|css|wasm")
_TYPES = mimetypes.MimeTypes()
"""Those that Python knows, whatever this machine has besides."""

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


_OF_JOB = "/jobs/{job_id}/artifacts/{path:artifact_path}"
_SIGNED = "/artifacts/{job_id}/{path:artifact_path}"
_FOR_EVERYBODY = [Depends(public), Depends(rate_limited)]


@router.get(_OF_JOB, **FILE_ANSWER)
@router.head(_OF_JOB, include_in_schema=False)
async def get_artifact(
    request: Request, job_id: str, path: str, api: Api, principal: Reader, wanted: Wanted
) -> Response:
    """One of them, whole or a `Range`. Its SHA-256 is its `ETag`; `Last-Modified` is when the job
    wrote it.
    """
    return await _answer(request, api, principal, job_id, path, wanted)


@router.get(_SIGNED, dependencies=_FOR_EVERYBODY, **FILE_ANSWER)
@router.head(_SIGNED, dependencies=_FOR_EVERYBODY, include_in_schema=False)
async def get_signed_artifact(
    request: Request,
    job_id: str,
    path: str,
    api: Api,
    wanted: Wanted,
    expires: str = "",
    sig: str = "",
) -> Response:
    """The same for whoever has a signed URL, without other credentials."""
    api.grants.check_artifact(job_id, path, expires, sig)
    principal = await api.service.grantee(job_id, origin_of(request))
    return await _answer(request, api, principal, job_id, path, wanted)


async def _answer(
    request: Request,
    api: NativeApi,
    principal: Principal,
    job_id: str,
    path: str,
    wanted: Conditions,
) -> Response:
    job, artifact = await api.service.artifact(principal, job_id, path)
    file = StoredFile(api.artifacts, job.job_id, artifact)
    await file.head(0)  # once the answer has begun it is too late to say that the file is gone
    if request.method != "HEAD":
        stream_slot(request, principal, of_user=principal.credential != SIGNED_URL)
    # Saved, never shown: what a job wrote must not run in a browser as ours.
    headers = {"Content-Disposition": disposition("attachment", path)}
    kind = _content_type(path)
    return stored_file_answer(request, file, wanted, headers, kind, api.send_timeout_seconds)


def _content_type(path: str) -> str:
    """By the ending; but what a page could load as a script or style of ours is plain text."""
    kind, encoding = _TYPES.guess_type(f"file:///{quote(path)}")
    if kind is not None and _LOADED.search(kind):
        return "text/plain"
    return kind if kind is not None and encoding is None else "application/octet-stream"
