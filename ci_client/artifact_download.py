"""A job's artifacts as files: streamed, resumed after a drop, checked, then put in place."""

import hashlib
import os
import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

import httpx

from ci_client.errors import DownloadError, UnexpectedAnswer
from ci_client.retry import TRANSIENT, Dropped, Retry, raise_if_transient
from ci_client.transport import address, refusal
from ci_common.artifact_paths import is_artifact_path

OnFile = Callable[[Path], None]
"""Told each file that is in its place."""

_CONTENT_RANGE = re.compile(r"bytes (\d+)-")


class ArtifactDownload:
    """Downloads artifacts of one job into a directory, and writes nowhere else."""

    def __init__(
        self,
        http: httpx.Client,
        job_id: str,
        directory: Path,
        retry: Callable[[], Retry],
        below: str | None = None,
    ) -> None:
        """`below` is a directory of the job, whose files are put into `directory` itself."""
        self._http = http
        self._job_id = job_id
        self._directory = directory
        self._new_retry = retry
        self._prefix = "" if below is None else f"{below}/"

    def fetch_all(
        self, artifacts: Sequence[Mapping[str, Any]], on_file: OnFile | None
    ) -> list[Path]:
        """Where they are, in order. Files that are there already, and are the same, stay.

        Raises:
            UnexpectedAnswer: one of them has no place in a directory; then none is fetched.
            DownloadError: the directory leads elsewhere, or what arrived is damaged.
            JobNotFound, RequestRefused, ServerUnreachable.
        """
        for artifact in artifacts:
            self._check_path(artifact["path"])
        artifacts = [a for a in artifacts if a["path"].startswith(self._prefix)]
        self._directory.mkdir(parents=True, exist_ok=True)
        places = []
        for artifact in artifacts:
            places.append(self._fetch(artifact))
            if on_file is not None:
                on_file(places[-1])
        return places

    def _check_path(self, path: str) -> None:
        foreign = os.name == "nt" and re.search(r"[\\:]", path)
        if foreign or not is_artifact_path(path):
            raise UnexpectedAnswer(address(self._http), f"an artifact called {path!r}")

    def _fetch(self, artifact: Mapping[str, Any]) -> Path:
        place = self._place(artifact["path"])
        if _is_same(place, artifact):
            return place
        part = place.with_name(f".{uuid.uuid4().hex}.part")
        try:
            with part.open("xb") as file:
                digest = self._download(artifact, file)
            if digest != artifact["sha256"]:
                raise DownloadError(
                    f"The artifact {artifact['path']!r} arrived damaged: its SHA-256 is not the "
                    "one that was recorded. Try again; if that does not help, the server's copy "
                    "is damaged."
                )
            part.replace(place)
        finally:
            part.unlink(missing_ok=True)
        return place

    def _place(self, path: str) -> Path:
        """Where the file is to be, with the directories above it."""
        *above, name = path.removeprefix(self._prefix).split("/")
        place = self._directory
        for directory in above:
            place /= directory
            if place.is_symlink():
                raise DownloadError(
                    f"{place} is a link, so {path!r} would be written to another place. "
                    "Remove the link, or choose another directory."
                )
            place.mkdir(exist_ok=True)
        return place / name

    def _download(self, artifact: Mapping[str, Any], file: BinaryIO) -> str:
        """Its SHA-256, after all of it was written, over as many connections as it takes."""
        retry, digest = self._new_retry(), hashlib.sha256()
        while True:
            try:
                for chunk in self._from(artifact, file.tell()):
                    retry.contact()
                    retry.progress()
                    digest.update(chunk)
                    file.write(chunk)
                if file.tell() < artifact["size"]:
                    raise Dropped("the file ended early")
                return digest.hexdigest()
            except TRANSIENT as error:
                retry.wait(error)

    def _from(self, artifact: Mapping[str, Any], offset: int) -> Iterator[bytes]:
        """The bytes from an offset to the end, as far as the connection carries."""
        headers = {"Accept-Encoding": "identity"}
        if offset:
            headers |= {"Range": f"bytes={offset}-", "If-Range": f'"{artifact["sha256"]}"'}
        path = f"/jobs/{self._job_id}/artifacts/{quote(artifact['path'])}"
        with self._http.stream("GET", path, headers=headers) as response:
            if response.status_code == 416:
                return
            if response.status_code not in (200, 206):
                raise_if_transient(self._http, response)
                raise refusal(self._http, response, self._job_id)
            found = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
            skip = offset - (int(found[1]) if found else 0)
            for chunk in response.iter_raw():  # with a size it would hold bytes back
                if skip < len(chunk):
                    yield chunk[skip:]
                skip = max(0, skip - len(chunk))


def _is_same(place: Path, artifact: Mapping[str, Any]) -> bool:
    """Whether this very content is there: an earlier download that broke off is carried on."""
    if place.is_symlink() or not place.is_file() or place.stat().st_size != artifact["size"]:
        return False
    with place.open("rb") as file:
        digest: str = hashlib.file_digest(file, "sha256").hexdigest()
    return digest == str(artifact["sha256"])
