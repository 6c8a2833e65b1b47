"""Which files of a directory are sent, and which are not.

Left out are what git ignores, `.git`, hidden files, `__pycache__`, virtual environments, links
that leave the directory, and what is neither file, directory nor link. Patterns of the user's
bring back what is ignored or hidden.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from ci_client.errors import ProjectError, ProjectNotFound
from ci_client.packing.ignore_rules import IgnoreRules, Patterns, rules_above

MAX_FILES = 100_000
MAX_BYTES = 2 * 1024**3
"""The server unpacks no more than this, so it would be a waste to pack it."""


class Why(StrEnum):
    """Why something was left out that the user might miss."""

    HIDDEN = "hidden files"
    LINK = "links that leave the directory"
    SPECIAL = "sockets, pipes and devices"


@dataclass(frozen=True, slots=True)
class ProjectFile:
    """A regular file, or a symbolic link, to be sent."""

    name: str
    """Its path in the project, with forward slashes."""
    path: str
    info: os.stat_result
    link_target: str | None = None
    """What the link says, for a symbolic link."""


@dataclass(slots=True)
class ProjectFiles:
    """What is sent of a directory."""

    files: list[ProjectFile] = field(default_factory=list)
    """Sorted by name."""
    left_out: dict[Why, list[str]] = field(default_factory=dict)
    """The names of what was left out and may be missed; those of directories end in a slash."""

    def leave_out(self, why: Why, name: str) -> None:
        """Record that something was left out that may be missed."""
        self.left_out.setdefault(why, []).append(name)


def find_project_files(directory: str, include: Sequence[str] = ()) -> ProjectFiles:
    """Look through `directory` for the files to be sent.

    Raises:
        ProjectNotFound: there is no directory of this name.
        ProjectError: it cannot be read, holds no file to be sent, or far too much.
    """
    if not os.path.isdir(directory):
        what = "is a file" if os.path.exists(directory) else "does not exist"
        raise ProjectNotFound(
            f"{directory} {what}; name the project's directory, for example with --path."
        )
    found = ProjectFiles()
    total = 0
    for file in _Walk(directory, include, found).files():
        found.files.append(file)
        total += file.info.st_size
        if len(found.files) > MAX_FILES or total > MAX_BYTES:
            raise ProjectError(
                f"{directory} holds more than {MAX_FILES} files or {MAX_BYTES >> 30} GiB, which "
                "no server would take. Is it the project's directory? A .gitignore file keeps "
                "out what the job does not need."
            )
    if not found.files:
        raise ProjectError(
            f"{directory} contains no files to send (hidden and git-ignored files are left out; "
            "--include brings them back)."
        )
    return found


class _Walk:
    """One look through a directory."""

    def __init__(self, directory: str, include: Sequence[str], found: ProjectFiles) -> None:
        self._top = directory
        self._real_top = os.path.realpath(directory)
        self._include = Inclusions(include)
        self._found = found

    def files(self) -> Iterator[ProjectFile]:
        """The files to be sent, sorted by name."""
        rules, self._prefix = rules_above(self._top)
        yield from self._directory("", rules, selected=True)

    def _directory(self, base: str, rules: IgnoreRules, selected: bool) -> Iterator[ProjectFile]:
        # An entry of a directory that is not selected is sent only if the user includes it.
        path = os.path.join(self._top, base)
        rules = rules.enter(path, self._prefix + base)
        for name, is_dir, entry in _entries(path, base):
            if is_dir:
                yield from self._enter(name, entry, rules, selected)
            elif self._include.selects(name, is_dir=False) or (
                selected and self._keeps(name, entry, rules, is_dir=False)
            ):
                yield from self._file(name, entry)

    def _enter(
        self, name: str, entry: os.DirEntry[str], rules: IgnoreRules, selected: bool
    ) -> Iterator[ProjectFile]:
        if _is_never_wanted(entry) and not self._include.names(entry.name):
            return
        if self._include.selects(name, is_dir=True):
            yield from self._everything(f"{name}/")
        elif selected and self._keeps(name, entry, rules, is_dir=True):
            yield from self._directory(f"{name}/", rules, selected=True)
        elif self._include.may_select_below(name):
            yield from self._directory(f"{name}/", rules, selected=False)

    def _everything(self, base: str) -> Iterator[ProjectFile]:
        for name, is_dir, entry in _entries(os.path.join(self._top, base), base):
            if not is_dir:
                yield from self._file(name, entry)
            elif not _is_never_wanted(entry) or self._include.names(entry.name):
                yield from self._everything(f"{name}/")

    def _keeps(
        self, name: str, entry: os.DirEntry[str], rules: IgnoreRules, *, is_dir: bool
    ) -> bool:
        if rules.ignores(self._prefix + name, is_dir):
            return False
        if not entry.name.startswith("."):
            return True
        if not _is_well_known(entry.name):
            self._found.leave_out(Why.HIDDEN, f"{name}/" if is_dir else name)
        return False

    def _file(self, name: str, entry: os.DirEntry[str]) -> Iterator[ProjectFile]:
        info = entry.stat(follow_symlinks=False)
        if stat.S_ISREG(info.st_mode):
            yield ProjectFile(name, entry.path, info)
        elif not stat.S_ISLNK(info.st_mode):
            self._found.leave_out(Why.SPECIAL, name)
        elif self._stays_inside(name, target := os.readlink(entry.path)):
            yield ProjectFile(name, entry.path, info, link_target=target)
        else:
            self._found.leave_out(Why.LINK, name)

    def _stays_inside(self, name: str, target: str) -> bool:
        # Both as it is written, for whoever looks at the archive alone, and as it is followed
        # here, for links that go through links.
        written = os.path.normpath(os.path.join(os.path.dirname(name), target))
        if os.path.isabs(target) or written.split(os.sep)[0] == os.pardir:
            return False
        followed = os.path.realpath(os.path.join(self._top, name))
        return os.path.commonpath([followed, self._real_top]) == self._real_top


class Inclusions:
    """What the user wants in spite of the rules."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._patterns = Patterns(lines) if lines else None
        parts = [line.removeprefix("/").rstrip("/").split("/") for line in lines]
        self._names = frozenset(part for pattern in parts for part in pattern)
        self._deep = [pattern[:-1] for pattern in parts if len(pattern) > 1]

    def selects(self, name: str, *, is_dir: bool) -> bool:
        """Whether a pattern matches exactly this file or directory."""
        return self._patterns is not None and self._patterns.verdict(name, is_dir) is True

    def names(self, part: str) -> bool:
        """Whether a pattern spells out this name: wildcards do not bring back `.git`."""
        return part in self._names

    def may_select_below(self, name: str) -> bool:
        """Whether a pattern with a path in it can match anything in this directory."""
        return any(_leads_into(parents, name.split("/")) for parents in self._deep)


def _leads_into(parents: Sequence[str], parts: Sequence[str]) -> bool:
    from fnmatch import fnmatchcase

    for pattern, part in zip(parents, parts, strict=False):
        if pattern == "**":
            return True
        if not fnmatchcase(part, pattern):
            return False
    return len(parts) <= len(parents)


def _entries(path: str, base: str) -> list[tuple[str, bool, os.DirEntry[str]]]:
    # A directory sorts as its contents do: the whole is then sorted by name.
    try:
        with os.scandir(path) as entries:
            found = [(base + e.name, e.is_dir(follow_symlinks=False), e) for e in entries]
    except OSError as error:
        raise ProjectError(
            f"Cannot read the directory {path} ({error.strerror}). Make it readable, or name it "
            "in .gitignore if the job does not need it."
        ) from error
    return sorted(found, key=lambda item: f"{item[0]}/" if item[1] else item[0])


def _is_never_wanted(entry: os.DirEntry[str]) -> bool:
    return entry.name in (".git", "__pycache__") or _is_virtual_environment(entry)


def _is_virtual_environment(entry: os.DirEntry[str]) -> bool:
    if os.path.exists(os.path.join(entry.path, "pyvenv.cfg")):
        return True
    if entry.name not in (".venv", "venv", ".env", "env", "virtualenv"):
        return False
    signs = ("bin/python", "Scripts/python.exe", "conda-meta")
    return any(os.path.lexists(os.path.join(entry.path, sign)) for sign in signs)


_WELL_KNOWN = frozenset(
    (
        ".DS_Store",
        ".cache",
        ".hypothesis",
        ".idea",
        ".ipynb_checkpoints",
        ".mypy_cache",
        ".nox",
        ".pytest_cache",
        ".ruff_cache",
        ".tox",
        ".vscode",
    )
)


def _is_well_known(name: str) -> bool:
    """Whether nobody would expect a job to need this hidden file: git's own, and caches."""
    return name.startswith(".git") or name in _WELL_KNOWN
