"""Requirements files: their lines, by what each needs in order to be installed."""

import posixpath
import re
from dataclasses import dataclass, field
from enum import Enum, auto

from packaging.requirements import InvalidRequirement, Requirement

from ci_controller.executors.shared.manifests import Manifests

FILE_NAME = "requirements.txt"

_INCLUDE_OPTIONS = ("--requirement", "--constraint", "-r", "-c")
_CONSTRAINTS = ("--constraint", "-c")
_COMMENT = re.compile(r"(^|\s)#.*$")
_LONGEST_LINE = 4096
_PLAIN_OPTION = re.compile(
    r"^(-i|--index-url|--extra-index-url|--no-index|--only-binary|--no-binary|--prefer-binary"
    r"|--pre|--trusted-host|--require-hashes)\b"
)
_HASH = re.compile(r"\s--hash\b")
_LOCAL = re.compile(
    r"^(?P<editable>(?:-e|--editable)(?:\s+|=))?(?P<path>[^\s\[\]:;]+)(?:\[(?P<extras>[^\]]*)\])?$"
)


class Kind(Enum):
    """What a line needs, besides an index."""

    INDEX = auto()
    """Nothing: a requirement that an index, or a URL, serves."""
    OPTION = auto()
    """Nothing: it applies to all lines."""
    LOCAL = auto()
    """A directory, or a file, of the project."""
    OTHER = auto()
    """Not understood: it may need any file of the project."""


@dataclass(frozen=True, slots=True)
class LocalPackage:
    """A directory of the project that is to be installed."""

    path: str
    """Relative to the project; `.` is its top."""
    extras: tuple[str, ...]
    is_editable: bool


@dataclass(frozen=True, slots=True)
class Line:
    """One line, as if it stood in a file at the project's top."""

    text: str
    kind: Kind
    local: LocalPackage | None = None
    """Of a directory that has a manifest."""


@dataclass(slots=True)
class RequirementLines:
    """A requirements file together with those it includes."""

    files: dict[str, bytes] = field(default_factory=dict)
    """All of them, by path in the project."""
    constraints: dict[str, bytes] = field(default_factory=dict)
    """Those of them that only constrain, and what these include."""
    lines: list[Line] = field(default_factory=list)

    def of(self, *kinds: Kind) -> list[Line]:
        """The lines of these kinds, in order."""
        return [line for line in self.lines if line.kind in kinds]

    @property
    def has_hashes(self) -> bool:
        """Whether pip would install nothing that has no hash."""
        return any(
            _HASH.search(line.text) or line.text.startswith("--require-hashes")
            for line in self.lines
        )


def read_requirements(manifests: Manifests, name: str, content: bytes) -> RequirementLines:
    """The lines of a requirements file, and of those it includes.

    A line that is not understood counts as needing the project: that costs a new installation for
    every upload, whereas a guess the other way would hand out a wrong one.

    Raises SetupFailedError when they are larger than any that people write.
    """
    found = RequirementLines()
    _follow(manifests, name, content, found)
    return found


def _follow(manifests: Manifests, name: str, content: bytes, found: RequirementLines) -> None:
    """Take in a file, and those it includes where they are included."""
    found.files[name] = content
    for text in file_lines(content):
        included = _included(name, text)
        if included is None:
            found.lines.append(_line(manifests, text))
        elif text.startswith(_CONSTRAINTS):
            _constrain(manifests, included, found)
        elif included not in found.files:
            inner = manifests.read(included)
            if inner is None:
                found.lines.append(Line(text, Kind.OTHER))
            else:
                _follow(manifests, included, inner, found)


def _constrain(manifests: Manifests, name: str, found: RequirementLines) -> None:
    """Take in a file of constraints. Those in it may name any file, so each is kept as it is."""
    content = manifests.read(name)
    if content is None:
        found.lines.append(Line(f"-c {name}", Kind.OTHER))
        return
    found.lines.append(Line(f"-c {name}", Kind.OPTION))
    inner = RequirementLines()
    _follow(manifests, name, content, inner)
    found.files |= inner.files
    found.constraints |= inner.files
    found.lines += inner.of(Kind.OTHER)


def _line(manifests: Manifests, text: str) -> Line:
    if _PLAIN_OPTION.match(text):
        return Line(text, Kind.OPTION)
    if _is_from_index(text):
        return Line(text, Kind.INDEX)
    match = _LOCAL.match(text)
    if match is None:
        return Line(text, Kind.OTHER)
    path = posixpath.normpath(match["path"])
    if manifests.is_package(path):
        extras = tuple(
            filter(None, (extra.strip() for extra in (match["extras"] or "").split(",")))
        )
        return Line(text, Kind.LOCAL, LocalPackage(path, extras, bool(match["editable"])))
    is_file = not match["editable"] and manifests.has(path)
    return Line(text, Kind.LOCAL if is_file else Kind.OTHER)


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


def file_lines(content: bytes) -> list[str]:
    """The lines of a requirements file that say something, without comments."""
    text = content.decode(errors="replace").replace("\\\r\n", " ").replace("\\\n", " ")
    lines = (_COMMENT.sub("", line).strip() for line in text.splitlines())
    return [line for line in lines if line]
