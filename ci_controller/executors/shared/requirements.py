"""A project's `requirements.txt`: what it takes to install it, and when it is the same again."""

import hashlib
import posixpath
import re
from dataclasses import dataclass

from packaging.requirements import InvalidRequirement, Requirement

from ci_common.errors import SetupFailedError
from ci_common.ports.packages import PackageSource
from ci_controller.executors.shared.project_archive import ProjectArchive

FILE_NAME = "requirements.txt"

_INCLUDE_OPTIONS = ("--requirement", "--constraint", "-r", "-c")
_COMMENT = re.compile(r"(^|\s)#.*$")
_MOST_BYTES = 1 << 20
_MOST_FILES = 100
_LONGEST_LINE = 4096
_PLAIN_OPTION = re.compile(
    r"^(-i|--index-url|--extra-index-url|--no-index|--only-binary|--no-binary|--prefer-binary"
    r"|--pre|--trusted-host|--require-hashes)\b"
)


@dataclass(frozen=True, slots=True)
class Requirements:
    """What the installation depends on."""

    files: dict[str, bytes]
    """`requirements.txt` and the files it includes, by path in the project."""
    needs_project: bool
    """Whether a line refers to something else of the project, such as `-e .`"""
    package_sha256: str

    def key(self, *context: str) -> str:
        """Equal keys mean that one installation serves both; `context` is what else matters."""
        digest = hashlib.sha256()
        parts = [part.encode() for part in context]
        for name in sorted(self.files):
            parts += [name.encode(), self.files[name]]
        if self.needs_project:
            parts.append(self.package_sha256.encode())
        for part in parts:
            digest.update(len(part).to_bytes(8, "big") + part)
        return digest.hexdigest()[:32]


def read_requirements(package: PackageSource) -> Requirements | None:
    """The project's requirements, or `None` when it has no `requirements.txt` at its top.

    Raises SetupFailedError when they are larger than any that people write.
    """
    with ProjectArchive(package.open()) as archive:
        reading = _Reading(archive)
        content = reading.file(FILE_NAME)
        if content is None or not _lines(content):
            return None
        reading.follow(FILE_NAME, content)
    return Requirements(reading.files, reading.needs_project, package.sha256)


class _Reading:
    """Gathers a requirements file and those it includes; notes whether a line needs the project.

    Anything not understood counts as needing it: that costs a new installation for every
    upload, whereas a guess the other way would hand out a wrong one.
    """

    def __init__(self, archive: ProjectArchive) -> None:
        self._archive = archive
        self._bytes = 0
        self.files: dict[str, bytes] = {}
        self.needs_project = False

    def file(self, name: str) -> bytes | None:
        """A file's content, `None` when there is none."""
        size = self._archive.file_size(name)
        if size is None:
            return None
        self._bytes += size
        if self._bytes > _MOST_BYTES or len(self.files) >= _MOST_FILES:
            raise SetupFailedError(
                f"{FILE_NAME} and what it includes are more than {_MOST_FILES} files or "
                f"{_MOST_BYTES >> 20} MiB, so they were not installed"
            )
        return self._archive.read_file(name)

    def follow(self, name: str, content: bytes) -> None:
        """Take in a file, and then those it includes."""
        waiting = [(name, content)]
        while waiting:
            name, content = waiting.pop()
            self.files[name] = content
            for line in _lines(content):
                included = _included(name, line)
                if included is None:
                    self.needs_project |= not (_PLAIN_OPTION.match(line) or _is_from_index(line))
                elif included not in self.files:
                    inner = self.file(included)
                    if inner is None:
                        self.needs_project = True
                    else:
                        self.files[included] = inner
                        waiting.append((included, inner))


def _included(name: str, line: str) -> str | None:
    """The path in the project of a file that this line of `name` includes."""
    for option in _INCLUDE_OPTIONS:
        rest = line.removeprefix(option)
        if rest == line or (option.startswith("--") and rest[:1] not in ("", "=", " ", "\t")):
            continue
        target = rest.lstrip("= \t")
        if target and not any(character.isspace() for character in target):
            return posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
    return None


def _is_from_index(line: str) -> bool:
    if len(line) > _LONGEST_LINE:
        return False
    requirement = re.split(r"\s--hash", line, maxsplit=1)[0].strip()
    try:
        url = Requirement(requirement).url
    except (InvalidRequirement, RecursionError):
        return False
    return url is None or not url.startswith("file:")


def _lines(content: bytes) -> list[str]:
    text = content.decode(errors="replace").replace("\\\r\n", " ").replace("\\\n", " ")
    lines = (_COMMENT.sub("", line).strip() for line in text.splitlines())
    return [line for line in lines if line]
