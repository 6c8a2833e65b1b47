"""Files of an exited container: the engine's tar stream, in constant memory (WorkloadFiles)."""

import contextlib
import errno
import http
import io
import os
import tarfile
from collections.abc import Callable, Iterable, Iterator

import docker
import requests
from docker.errors import (
    APIError,
    DockerException,
    NotFound,
    create_api_error_from_http_exception,
)
from docker.types import CancellableStream
from typing_extensions import override
from urllib3.exceptions import HTTPError

from ci_common.errors import EngineUnavailableError, FilesUnreadableError, WorkloadLostError
from ci_common.ports.workloads import WorkloadFile, WorkloadFiles
from ci_controller.executors.docker.error_kinds import explanation, is_unreadable
from ci_controller.executors.docker.project_tar import WORKSPACE
from ci_controller.executors.shared.file_times import moment_of

_CHUNK_BYTES = 1 << 18
_TIMEOUT_SECONDS = (60, 60)
_BELOW_A_FILE = os.strerror(errno.ENOTDIR).lower()
"""How the engine's error 500 ends for a path that leads through a file."""
_TRANSPORT_ERRORS = (requests.RequestException, HTTPError, OSError)


def container_files(client: docker.APIClient, container: str, path: str) -> "TarFiles | None":
    """The files at or below a path of the project; `None` when there is no such path.

    Raises WorkloadLostError, FilesUnreadableError; and what the connection raises.
    """
    response = client.get(
        f"{client.base_url}/v{client.api_version}/containers/{container}/archive",
        params={"path": f"/{WORKSPACE}/{path}".removesuffix("/.")},
        # The engine would compress, which takes ten times as long as to send it.
        headers={"Accept-Encoding": "identity"},
        stream=True,
        timeout=_TIMEOUT_SECONDS,
    )
    if response.status_code == http.HTTPStatus.OK:
        stream = response.raw.stream(_CHUNK_BYTES, decode_content=False)
        cancel = CancellableStream(stream, response).close
        return TarFiles(stream, cancel, "" if path == "." else path)
    try:
        create_api_error_from_http_exception(requests.HTTPError(response=response))
    except NotFound:
        _check_exists(client, container)  # the path, or the container?
    except APIError as error:
        why = explanation(error)
        if why.endswith(_BELOW_A_FILE):
            return None
        if not is_unreadable(error):
            raise
        raise FilesUnreadableError(
            f"the container engine does not return {path!r}: {why}"
        ) from error
    return None


def read_file(
    client: docker.APIClient, container: str, path: str, skip: int = 0, limit: int = 1 << 20
) -> bytes | None:
    """Bytes of one file of a container, running or not; fewer than `limit` at its end, and `None`
    when there is none. The file may grow meanwhile. Waits as long as the client does.

    Raises WorkloadLostError, docker.errors.APIError, and what the connection raises.
    """
    with client.get(
        f"{client.base_url}/v{client.api_version}/containers/{container}/archive",
        params={"path": path},
        headers={"Accept-Encoding": "identity"},
        stream=True,
        timeout=client.timeout,
    ) as response:
        try:
            if response.status_code != http.HTTPStatus.OK:
                create_api_error_from_http_exception(requests.HTTPError(response=response))
        except NotFound:
            _check_exists(client, container)
            return None
        source = _Source(response.raw.stream(_CHUNK_BYTES, decode_content=False))
        header = _exactly(source, tarfile.BLOCKSIZE)
        size = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape").size
        _exactly(source, min(skip, size))
        return _exactly(source, min(max(size - skip, 0), limit))


def _exactly(source: "_Source", size: int) -> bytes:
    """So many bytes. Raises ConnectionError when the stream ends before."""
    pieces = []
    while size and (piece := source.read(min(size, _CHUNK_BYTES))):
        pieces.append(piece)
        size -= len(piece)
    if size:
        raise ConnectionError("the container engine closed the connection in the middle of a file")
    return b"".join(pieces)


def _check_exists(client: docker.APIClient, container: str) -> None:
    try:
        client.inspect_container(container)
    except NotFound as error:
        raise WorkloadLostError from error


class TarFiles(WorkloadFiles):
    """The regular files of a tar stream. Its names start with the last name of `path`."""

    def __init__(self, stream: Iterable[bytes], cancel: Callable[[], None], path: str) -> None:
        self._source = _Source(stream)
        self._cancel = cancel
        self._above = path.rpartition("/")[0]
        self._whole_project = not path

    @override
    def __iter__(self) -> Iterator[WorkloadFile]:
        with _translated():
            archive = _open(self._source)
        with contextlib.closing(archive):
            while True:
                with _translated():
                    member = _next(archive)
                if member is None:
                    break
                if member.isreg():
                    yield self._file(archive, member)
        # An archive that breaks off between two files looks like its end.
        with _translated():
            if self._source.has_more():
                raise FilesUnreadableError

    @override
    def close(self) -> None:
        with contextlib.suppress(OSError, AttributeError, DockerException):
            self._cancel()

    def _file(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> WorkloadFile:
        name = member.name
        if self._whole_project:
            name = name.partition("/")[2]
        elif self._above:
            name = f"{self._above}/{name}"
        modified = moment_of(member.mtime).replace(microsecond=0)  # the engine tells no more
        return WorkloadFile(name, member.size, modified, self._content(archive, member))

    def _content(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[bytes]:
        with _translated():
            content = archive.extractfile(member)
        while content is not None:
            with _translated():
                piece = content.read(_CHUNK_BYTES)
            if not piece:
                return
            yield piece


def _open(source: "_Source") -> tarfile.TarFile:
    return tarfile.open(fileobj=source, mode="r|", bufsize=_CHUNK_BYTES)


def _next(archive: tarfile.TarFile) -> tarfile.TarInfo | None:
    member = archive.next()
    # It would keep them all, for a way back that a stream does not have.
    archive.members.clear()  # type: ignore[attr-defined]
    return member


class _Source(io.RawIOBase):
    """A stream of pieces, as the file that tarfile wants."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._rest = memoryview(b"")

    @override
    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes; empty at the end."""
        if not self._rest:
            self._rest = memoryview(next(self._pieces, b""))
        piece, self._rest = self._rest[:size], self._rest[size:]
        return bytes(piece)

    def has_more(self) -> bool:
        """Whether anything but padding follows. Reads to the end."""
        while piece := self.read(_CHUNK_BYTES):
            if piece.strip(b"\0"):
                return True
        return False


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except tarfile.TarError as error:
        raise FilesUnreadableError(f"the container engine's archive is broken: {error}") from error
    except _TRANSPORT_ERRORS as error:
        raise EngineUnavailableError(f"the container's files are truncated: {error}") from error
