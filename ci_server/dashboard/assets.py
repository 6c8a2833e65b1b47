"""What pages load: files as they were when the server started, ready to be sent."""

import gzip
import hashlib
import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from importlib.resources import files
from pathlib import Path, PurePosixPath

from starlette.requests import Request
from starlette.responses import Response

from ci_server.http.security_headers import DASHBOARD_HEADERS
from ci_server.http.static_files import media_type_of

STATIC = Path(str(files(__package__) / "static"))

_KEPT = "public, max-age=31536000, immutable"
_ASKED_FOR_AGAIN = "no-cache"
_VERSION_LENGTH = 16
_NO_GZIP = re.compile(r"\bgzip\s*;\s*q=0(?:\.0*)?\s*(?:,|$)", re.IGNORECASE)


class Asset:
    """One file."""

    def __init__(self, path: str, content: bytes) -> None:
        self.content = content
        self._type = media_type_of(PurePosixPath(path)) or "application/octet-stream"

    @cached_property
    def _gzipped(self) -> bytes:
        return gzip.compress(self.content, mtime=0)

    def answer(self, request: Request, *, versioned: bool) -> Response:
        """The file, compressed for those who take that; `versioned`: the address is that of this
        version, so that a browser need not ask for it again.
        """
        headers = {
            "Cache-Control": _KEPT if versioned else _ASKED_FOR_AGAIN,
            "Vary": "Accept-Encoding",
            **DASHBOARD_HEADERS,
        }
        accepted = request.headers.get("accept-encoding", "")
        if "gzip" not in accepted.lower() or _NO_GZIP.search(accepted):
            return Response(self.content, headers=headers, media_type=self._type)
        headers["Content-Encoding"] = "gzip"
        return Response(self._gzipped, headers=headers, media_type=self._type)


def read_assets() -> dict[str, bytes]:
    """The files by their path. Later changes on the disk, as by an upgrade, do not count."""
    found = sorted(path for path in STATIC.rglob("*") if path.is_file())
    return {path.relative_to(STATIC).as_posix(): path.read_bytes() for path in found}


def joined(assets: Mapping[str, bytes], paths: Iterable[str]) -> bytes:
    """Style sheets, or scripts that are no modules, as one."""
    return b"\n".join(assets[path] for path in paths)


def version_of(assets: Mapping[str, bytes]) -> str:
    """A name of these contents: another one when any of them is another one."""
    digest = hashlib.sha256()
    for path, content in sorted(assets.items()):
        digest.update(f"{path} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:_VERSION_LENGTH]
