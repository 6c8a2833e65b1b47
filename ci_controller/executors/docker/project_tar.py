"""A project as the tar stream the engine unpacks into a container, in constant memory."""

import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import PurePosixPath

import docker

from ci_common.ports.packages import PackageSource
from ci_common.secret import Secret
from ci_controller.executors.docker.keeper import protocol
from ci_controller.executors.docker.tar_header import tar_header
from ci_controller.executors.shared.interruption import Interruption
from ci_controller.executors.shared.project_archive import ProjectArchive, seconds_of

USER_ID = 1000
"""The non-root user that owns the files and runs the command."""

WORKSPACE = "workspace"
HOME = "home/ci"
SECRETS = "run/secrets"
ENVIRONMENT_FILE = ".ci-environment"
"""Among the secrets of an installation; no secret has such a name."""

_CHUNK_BYTES = 1 << 18
_END = b"\0" * (2 * tarfile.BLOCKSIZE)


def project_tar(
    archive: ProjectArchive,
    more: Iterable[bytes] = (),
    interruption: Interruption | None = None,
) -> Iterator[bytes]:
    """The whole project, and `more` of this module, to be unpacked at `/` in one go: each costs a
    few milliseconds. Raises PackageCorruptError on the way, and InterruptedWorkError.
    """
    return _batched(_project_blocks(archive, more), interruption or Interruption())


def put_project(
    client: docker.APIClient,
    container: str,
    package: PackageSource | None,
    more: Iterable[bytes],
    interruption: Interruption,
    submitted_at: datetime | None = None,
    *,
    files: Mapping[str, bytes] | None = None,
) -> None:
    """Have the engine unpack the project, or an empty workspace, and `more` in the container;
    `files` are put beside the project's own.

    Raises what `project_tar` raises, APIError, and StorageUnavailableError.
    """
    if package is None:
        client.put_archive(container, "/", files_tar({}, more, submitted_at))
        return
    with ProjectArchive(package.open(), submitted_at) as archive:
        more = [*more, *_entries(files or {}, archive.latest)]
        client.put_archive(container, "/", project_tar(archive, more, interruption))


def keeper_blocks(program: bytes, config: bytes) -> list[bytes]:
    """The init process with its directory, which is root's, and nobody else's."""
    directories = [(name, 0o700) for name in (protocol.DIRECTORY, protocol.MESSAGES)]
    files = [(protocol.PROGRAM[1:], 0o700, program), (protocol.CONFIG, 0o600, config)]
    now = seconds_of(None)
    blocks = [_header(name, mode, tarfile.DIRTYPE, now, user=0) for name, mode in directories]
    for name, mode, content in files:
        blocks.append(_header(name, mode, tarfile.REGTYPE, now, size=len(content), user=0))
        blocks.append(content + _padding(len(content)))
    return blocks


def message_tar(name: str) -> bytes:
    """An empty file, to be unpacked in the init process's directory of messages."""
    return _header(name, 0o600, tarfile.REGTYPE, seconds_of(None), user=0) + _END


def files_tar(
    files: Mapping[str, bytes], more: Iterable[bytes] = (), submitted_at: datetime | None = None
) -> Iterator[bytes]:
    """Only these files of the project, by path, and `more`, to be unpacked at `/`."""
    return _batched(_file_blocks(files, more, seconds_of(submitted_at)), Interruption())


def secrets_blocks(
    secrets: Sequence[Secret], submitted_at: datetime | None, environment: bytes = b""
) -> list[bytes]:
    """The secrets, and a file of variables that is with them. Nobody but the command's user can
    read them.
    """
    if environment:
        secrets = [*secrets, Secret(ENVIRONMENT_FILE, environment)]
    if not secrets:
        return []
    at = seconds_of(submitted_at)
    blocks = [_header(SECRETS, 0o700, tarfile.DIRTYPE, at)]
    for secret in secrets:
        size = len(secret.value)
        name = f"{SECRETS}/{secret.name}"
        blocks.append(_header(name, 0o400, tarfile.REGTYPE, at, size=size))
        blocks.append(secret.value + _padding(size))
    return blocks


def _project_blocks(archive: ProjectArchive, more: Iterable[bytes]) -> Iterator[bytes]:
    yield from _places(archive.latest)
    yield from more
    for entry in archive.entries():
        name, at = f"{WORKSPACE}/{entry.path}", entry.modified
        if entry.is_directory:
            yield _header(name, entry.mode, tarfile.DIRTYPE, at)
        elif entry.link_target is not None:
            yield _header(name, entry.mode, tarfile.SYMTYPE, at, link=entry.link_target)
        else:
            yield _header(name, entry.mode, tarfile.REGTYPE, at, size=entry.size)
            yield from archive.content(entry)
            yield _padding(entry.size)
    yield _END


def _file_blocks(files: Mapping[str, bytes], more: Iterable[bytes], at: int) -> Iterator[bytes]:
    yield from _places(at)
    yield from more
    for directory in _parents(files):
        yield _header(f"{WORKSPACE}/{directory}", 0o755, tarfile.DIRTYPE, at)
    yield from _entries(files, at)
    yield _END


def _entries(files: Mapping[str, bytes], at: int) -> Iterator[bytes]:
    for name, content in files.items():
        yield _header(f"{WORKSPACE}/{name}", 0o644, tarfile.REGTYPE, at, size=len(content))
        yield content + _padding(len(content))


def _places(at: int) -> Iterator[bytes]:
    for place in (HOME, WORKSPACE):
        yield _header(place, 0o755, tarfile.DIRTYPE, at)


def _header(
    name: str,
    mode: int,
    kind: bytes,
    mtime: int,
    *,
    size: int = 0,
    link: str = "",
    user: int = USER_ID,
) -> bytes:
    return tar_header(name, mode, kind, user=user, size=size, link=link, mtime=mtime)


def _padding(size: int) -> bytes:
    return b"\0" * (-size % tarfile.BLOCKSIZE)


def _batched(blocks: Iterable[bytes], interruption: Interruption) -> Iterator[bytes]:
    """Small blocks joined: each piece costs a write to the engine's socket."""
    pieces: list[bytes] = []
    size = 0
    for block in blocks:
        pieces.append(block)
        size += len(block)
        if size >= _CHUNK_BYTES:
            interruption.check()
            yield b"".join(pieces)
            pieces, size = [], 0
    yield b"".join(pieces)


def _parents(files: Iterable[str]) -> list[str]:
    directories = {
        str(parent)
        for name in files
        for parent in PurePosixPath(name).parents
        if str(parent) != "."
    }
    return sorted(directories)
