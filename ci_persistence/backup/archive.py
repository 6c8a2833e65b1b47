"""A backup as one tar file, gzipped when its name ends with `.gz` or `.tgz`.

    backup.json                     format, time, and whose it is
    packages/JOB.zip                the uploads of live jobs, and those that are kept
    marks/JOB.marks                 of the log that comes next: when its lines were received
    live/JOB.log, logs/JOB.log      logs of live and of finished jobs: what the API serves
    artifacts/JOB/SHA256            artifacts, named by their content
    database.sqlite                 the rows
    MANIFEST.sha256                 of everything before it, as `sha256sum -c` reads it

Contents are what the ports tell, not how this version happens to store it. Names are matched
against the few forms above and never used as paths, so no archive can write anywhere else.
"""

import contextlib
import gzip
import hashlib
import io
import json
import re
import tarfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import SpooledTemporaryFile, TemporaryFile
from typing import IO, Any, BinaryIO

from ci_common.errors import BackupError

FORMAT = 2
"""Format 1 had no marks."""

HEADER = "backup.json"
DATABASE = "database.sqlite"
MANIFEST = "MANIFEST.sha256"

_NAME = re.compile(
    r"(?P<kind>packages|marks|live|logs|artifacts)"
    r"/(?P<job>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
    r"(?:\.zip|\.marks|\.log|/(?P<digest>[0-9a-f]{64}))"
)

_PIECE = 1 << 20
_MEMORY = 8 << 20
_GZIP_LEVEL = 6

_BROKEN = (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, OSError)


@dataclass(frozen=True, slots=True)
class Header:
    """Whose backup it is."""

    created_at: str
    """The rows are not older than this."""
    instance_id: str
    schema: int
    host: str
    database: str
    """Path of the database it was made of."""
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class Member:
    """One file of a backup."""

    kind: str
    """`packages`, `marks`, `live`, `logs`, `artifacts`, or the whole name of the others."""
    job_id: str
    digest: str
    """SHA-256 that an artifact is named by."""
    size: int

    @property
    def name(self) -> str:
        """In the archive."""
        return member_name(self.kind, self.job_id, self.digest) if self.job_id else self.kind


class ArchiveWriter:
    """Writes a backup to an open file. `finish` ends it; without that it is not one."""

    def __init__(self, file: BinaryIO, name: str, header: Header) -> None:
        self._tar = _open_tar(file, name)
        self._manifest = SpooledTemporaryFile(max_size=_MEMORY)  # noqa: SIM115 - see close
        self._add_bytes(HEADER, json.dumps(asdict(header), indent=2).encode() + b"\n")

    def add(self, name: str, content: IO[bytes], size: int) -> str:
        """Add a file of `size` bytes; returns its SHA-256."""
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode, entry.mtime = size, 0o600, int(time.time())
        hashing = _Hashing(content)
        self._tar.addfile(entry, hashing)
        # The library remembers all entries, for uses that are not ours.
        self._tar.members.clear()  # type: ignore[attr-defined]
        digest = hashing.digest.hexdigest()
        self._manifest.write(_line(digest, name))
        return digest

    def finish(self) -> None:
        """Write the manifest and the end of the archive."""
        size = self._manifest.tell()
        self._manifest.seek(0)
        self.add(MANIFEST, self._manifest, size)
        self._tar.close()

    def close(self) -> None:
        """Free what the writer holds, finished or not; safe to repeat."""
        self._manifest.close()
        with contextlib.suppress(OSError, ValueError):
            self._tar.close()

    def _add_bytes(self, name: str, content: bytes) -> None:
        self.add(name, io.BytesIO(content), len(content))


class ArchiveReader:
    """Reads a backup from beginning to end, as often as wanted."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def verify(self) -> Header:
        """Read everything and compare it with the manifest. Raises BackupError."""
        with TemporaryFile() as found:
            members = self.members()
            header, digest = self._read_header(members)
            found.write(_line(digest, HEADER))
            for member, content in members:
                if member.kind == MANIFEST:
                    self._compare(found, content)
                    if next(members, None) is not None:
                        raise BackupError(f"{self._path} has files that its manifest lacks")
                    return header
                digest = hashlib.file_digest(content, "sha256").hexdigest()  # type: ignore[arg-type]
                found.write(_line(digest, member.name))
        raise BackupError(f"{self._path} is truncated: it does not end with its manifest")

    def members(self) -> Iterator[tuple[Member, IO[bytes]]]:
        """Every file; its content is to be read before the next one is asked for."""
        with self._translated(), tarfile.open(self._path, "r|*") as tar:
            for entry in tar:
                tar.members.clear()  # type: ignore[attr-defined]
                content = tar.extractfile(entry) if entry.isreg() else None
                if content is None:
                    raise BackupError(f"{self._path}: {entry.name!r} is not a plain file")
                yield self._member(entry), _Content(content, self._translated)  # type: ignore[misc]

    def _read_header(self, members: Iterator[tuple[Member, IO[bytes]]]) -> tuple[Header, str]:
        member, content = next(members, (None, None))
        if member is None or content is None or member.kind != HEADER:
            raise BackupError(f"{self._path} is not a backup of this program")
        text = content.read()
        try:
            fields: dict[str, Any] = json.loads(text)
            if fields["format"] not in range(1, FORMAT + 1):
                raise BackupError(
                    f"{self._path} has format {fields['format']}, this program knows {FORMAT}: "
                    "it was made by a newer version; upgrade this program"
                )
            return Header(**fields), hashlib.sha256(text).hexdigest()
        except (ValueError, KeyError, TypeError) as error:
            raise BackupError(f"{self._path} has a damaged header: {error}") from error

    def _compare(self, found: IO[bytes], manifest: IO[bytes]) -> None:
        found.seek(0)
        for line in found:
            should = manifest.read(len(line))
            if line != should:
                name = line.decode().partition("  ")[2].strip()
                raise BackupError(
                    f"{self._path} is damaged: {name} is not what was backed up (SHA-256)"
                )
        if manifest.read(1):
            raise BackupError(f"{self._path} is damaged: files of its manifest are missing")

    def _member(self, entry: tarfile.TarInfo) -> Member:
        if entry.name in (HEADER, DATABASE, MANIFEST):
            return Member(entry.name, "", "", entry.size)
        if match := _NAME.fullmatch(entry.name):
            member = Member(match["kind"], match["job"], match["digest"] or "", entry.size)
            if member.name == entry.name:
                return member
        raise BackupError(f"{self._path} has a file of an unknown kind: {entry.name!r}")

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except _BROKEN as error:
            raise BackupError(f"{self._path} cannot be read as a backup: {error}") from error


def member_name(kind: str, job_id: str, digest: str = "") -> str:
    """The name of a file in a backup."""
    if kind == "artifacts":
        return f"{kind}/{job_id}/{digest}"
    suffix = {"packages": "zip", "marks": "marks"}.get(kind, "log")
    return f"{kind}/{job_id}.{suffix}"


def copy(content: IO[bytes], target: IO[bytes]) -> int:
    """Copy all bytes; returns how many."""
    size = 0
    while piece := content.read(_PIECE):
        target.write(piece)
        size += len(piece)
    return size


def _line(digest: str, name: str) -> bytes:
    return f"{digest}  {name}\n".encode()


def _open_tar(file: BinaryIO, name: str) -> tarfile.TarFile:
    if name.endswith((".gz", ".tgz")):
        return tarfile.open(fileobj=file, mode="w:gz", compresslevel=_GZIP_LEVEL)
    return tarfile.open(fileobj=file, mode="w:")


class _Hashing:
    """A file that is hashed while it is read."""

    def __init__(self, content: IO[bytes]) -> None:
        self._content = content
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        piece = self._content.read(size)
        self.digest.update(piece)
        return piece


class _Content:
    """A file of an archive, whose errors are told as the archive's."""

    def __init__(
        self, content: IO[bytes], translated: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._content = content
        self._translated = translated

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:
        with self._translated():
            return self._content.readinto(buffer)  # type: ignore[attr-defined,no-any-return]

    def read(self, size: int = -1) -> bytes:
        with self._translated():
            return self._content.read(size)
