"""A project's `requirements.txt`: what it takes to install it, and when it is the same again."""

import hashlib
import posixpath
import re
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from ci_controller.project_archive import ProjectArchive

FILE_NAME = "requirements.txt"

_INCLUDE = re.compile(r"^(?:-r|--requirement|-c|--constraint)[\s=]*(\S+)$")
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


def read_requirements(package: Path, package_sha256: str) -> Requirements | None:
    """The project's requirements, or `None` when it has no `requirements.txt` at its top."""
    with ProjectArchive(package) as archive:
        content = archive.read_file(FILE_NAME)
        if content is None or not _lines(content):
            return None
        files: dict[str, bytes] = {}
        needs_project = _collect(archive, FILE_NAME, content, files)
    return Requirements(files, needs_project, package_sha256)


def _collect(archive: ProjectArchive, name: str, content: bytes, files: dict[str, bytes]) -> bool:
    """Gather a file and those it includes; tell whether any line needs the project itself.

    Anything not understood counts as needing it: that costs a new installation for every
    upload, whereas a guess the other way would hand out a wrong one.
    """
    files[name] = content
    needs_project = False
    for line in _lines(content):
        if match := _INCLUDE.match(line):
            included = posixpath.normpath(posixpath.join(posixpath.dirname(name), match[1]))
            if included in files:
                continue
            inner = archive.read_file(included)
            if inner is None:
                needs_project = True
            else:
                needs_project |= _collect(archive, included, inner, files)
        elif not _PLAIN_OPTION.match(line):
            needs_project |= not _is_from_index(line)
    return needs_project


def _is_from_index(line: str) -> bool:
    requirement = re.split(r"\s--hash", line, maxsplit=1)[0].strip()
    try:
        url = Requirement(requirement).url
    except InvalidRequirement:
        return False
    return url is None or not url.startswith("file:")


def _lines(content: bytes) -> list[str]:
    text = content.decode(errors="replace").replace("\\\r\n", " ").replace("\\\n", " ")
    lines = (re.sub(r"(^|\s)#.*$", "", line).strip() for line in text.splitlines())
    return [line for line in lines if line]
