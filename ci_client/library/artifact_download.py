"""A job's artifacts as files: streamed, resumed after a drop, checked, then put in place."""

import contextlib
import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, NoReturn
from urllib.parse import quote

import httpx

from ci_client.errors import (
    AccessRefused,
    ArtifactsIncomplete,
    ClientError,
    DownloadError,
    JobNotFound,
    ServerUnreachable,
)
from ci_client.library.artifact_places import Places
from ci_client.library.retry import TRANSIENT, Dropped, RetryDelays, raise_if_transient
from ci_client.library.transport import refusal, unexpected
from ci_common.artifact_paths import is_artifact_path

OnFile = Callable[[Path], None]
"""Told each file that is in its place."""

OnRename = Callable[[str, Path], None]
"""Told the path of an artifact that has another name here, and where it is."""

_CONTENT_RANGE = re.compile(r"bytes (\d+)-")

_SECOND_PATIENCE_SECONDS = 10.0
"""After one artifact could not be had in all the time there was, for the next one: it tells whether
the server is away, or only that artifact's file."""


class ArtifactDownload:
    """Downloads artifacts of one job into a directory, and writes nowhere else."""

    def __init__(
        self,
        http: httpx.Client,
        job_id: str,
        places: Places,
        new_retry: Callable[[float | None], RetryDelays],
        below: str | None = None,
    ) -> None:
        """`new_retry` is given a shorter patience, or `None`. `below` is a directory of the job,
        whose files are put into the directory itself.
        """
        self._http = http
        self._job_id = job_id
        self._places = places
        self._new_retry = new_retry
        self._prefix = "" if below is None else f"{below}/"
        self._patience: float | None = None

    def fetch_all(
        self,
        artifacts: Sequence[Mapping[str, Any]],
        on_file: OnFile | None = None,
        on_rename: OnRename | None = None,
    ) -> list[Path]:
        """Where they are, in order. Files that are there already, and are the same, stay. One that
        cannot be had keeps no other from being fetched.

        Raises:
            ArtifactsIncomplete: at the end, some could not be had.
            AccessRefused, JobNotFound, ServerUnreachable: none could be had any more.
        """
        found: list[Path] = []
        failures: dict[str, ClientError] = {}
        for artifact in artifacts:
            path = artifact["path"]
            if not path.startswith(self._prefix):
                continue
            place = self._try(artifact, failures)
            if place is None:
                continue
            found.append(place)
            if on_file is not None:
                on_file(place)
            if on_rename is not None and not self._places.is_own(place, self._name(path)):
                on_rename(path, place)
        if failures:
            _raise(failures, found)
        return found

    def _try(self, artifact: Mapping[str, Any], failures: dict[str, ClientError]) -> Path | None:
        """Where it is, or `None`, and then why in `failures`."""
        try:
            place = self._fetch(artifact)
        except (AccessRefused, JobNotFound):
            raise
        except ServerUnreachable as error:
            if self._patience is not None:
                raise
            self._patience, failures[artifact["path"]] = _SECOND_PATIENCE_SECONDS, error
            return None
        except ClientError as error:
            failures[artifact["path"]] = error
            return None
        except OSError as error:
            why = f"it cannot be written: {error.strerror or error}"
            failures[artifact["path"]] = DownloadError(why)
            return None
        self._patience = None
        return place

    def _name(self, path: str) -> str:
        return path.removeprefix(self._prefix)

    def _fetch(self, artifact: Mapping[str, Any]) -> Path:
        path = artifact["path"]
        if not is_artifact_path(path) or not is_artifact_path(self._name(path)):
            raise unexpected(self._http, f"an artifact called {path!r}")
        place = self._places.of(self._name(path))
        if not _is_same(place, artifact):
            self._fetch_to(place, artifact)
        self._places.take(place, self._name(path))
        return place

    def _fetch_to(self, place: Path, artifact: Mapping[str, Any]) -> None:
        part = self._places.part(place)
        try:
            with part.open("xb") as file:
                digest = self._download(artifact, file)
            if digest != artifact["sha256"]:
                raise DownloadError(
                    f"The artifact {artifact['path']!r} is damaged: its SHA-256 does not match "
                    "the recorded one. Try again; if it happens again, the server's copy is "
                    "damaged.",
                    damaged=True,
                )
            _set_time(part, artifact.get("modified"))
            part.replace(place)
        finally:
            part.unlink(missing_ok=True)

    def _download(self, artifact: Mapping[str, Any], file: BinaryIO) -> str:
        """Its SHA-256, after all of it was written, over as many connections as it takes."""
        retry, digest = self._new_retry(self._patience), hashlib.sha256()
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


def _set_time(file: Path, modified: object) -> None:
    """When the job wrote it, as far as the server told, and this file system can hold it."""
    with contextlib.suppress(ValueError, OverflowError, OSError):
        if isinstance(modified, str):
            seconds = datetime.fromisoformat(modified).timestamp()
            os.utime(file, (seconds, seconds))


def _raise(failures: Mapping[str, ClientError], found: Sequence[Path]) -> NoReturn:
    if not found:
        for error in failures.values():
            if isinstance(error, ServerUnreachable):
                raise error
    raise ArtifactsIncomplete(failures, found)
