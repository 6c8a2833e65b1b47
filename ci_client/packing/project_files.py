"""Which files of a directory are sent, and which are not.

In a git work tree git is asked: what it tracks is sent, whatever its name, and what it neither
tracks nor ignores unless it is hidden. Elsewhere, and where git fails, the directory is walked.

Left out are what git ignores, `.git`, hidden files, `__pycache__`, virtual environments, links
that leave the directory, and what is neither file, directory nor link. Patterns of the user's
bring back what is ignored or hidden, and others leave out more.
"""

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum

from ci_client.errors import ProjectError, ProjectNotFound, ProjectTooLarge
from ci_client.packing.git_command import GitFailedError
from ci_client.packing.git_files import (
    ignores_directory,
    is_in_repository,
    is_repository,
    list_files,
)
from ci_client.packing.ignore_rules import IgnoreRules, rules_above
from ci_client.packing.unwanted import is_never_wanted, is_well_known
from ci_client.packing.user_patterns import Exclusions, Inclusions

_MOST_FILES = 1_000_000
"""What has more is no project, but perhaps the whole disk."""


class Why(StrEnum):
    """Why something was left out that the user might miss."""

    HIDDEN = "hidden files"
    LINK = "links that point outside the directory"
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
    notes: list[str] = field(default_factory=list)
    """What else the user should know, a line each."""

    def leave_out(self, why: Why, name: str) -> None:
        """Record that something was left out that may be missed."""
        self.left_out.setdefault(why, []).append(name)


def find_project_files(
    directory: str, include: Sequence[str] = (), exclude: Sequence[str] = ()
) -> ProjectFiles:
    """Look through `directory` for the files to be sent.

    `include` and `exclude` are patterns in the language of `.gitignore`. What is excluded is not
    sent, though it is included.

    Raises:
        ProjectNotFound: there is no directory of this name.
        ProjectTooLarge: it holds more files than any project.
        ProjectError: it cannot be read, or holds no file to be sent.
    """
    check_directory(directory)
    found = ProjectFiles()
    try:
        for file in _Search(directory, include, exclude, found).files():
            found.files.append(file)
            if len(found.files) > _MOST_FILES:
                raise ProjectTooLarge(
                    f"{directory} contains more than {_MOST_FILES} files, more than any server "
                    "accepts. Is it the project's directory? --exclude, or a .gitignore file, "
                    "keeps out what the job does not need."
                )
    except OSError as error:  # it has just gone, or is no usual file system
        raise _unreadable(error.filename or directory, error) from error
    if not found.files:
        raise ProjectError(
            f"{directory} contains no files to send (hidden, git-ignored and excluded files are "
            "left out; --include brings back the hidden and ignored ones)."
        )
    found.files.sort(key=lambda file: file.name)
    return found


def check_directory(directory: str | os.PathLike[str]) -> None:
    """Raises ProjectNotFound when there is no directory of this name, and ProjectError when nobody
    may look.
    """
    what = None
    try:
        if not stat.S_ISDIR(os.stat(directory).st_mode):
            what = "is a file"
        os.path.abspath(directory)  # of the current directory, which may be gone
    except (FileNotFoundError, NotADirectoryError):
        what = "does not exist"
    except OSError as error:
        raise _unreadable(os.fspath(directory), error) from error
    if what:
        raise ProjectNotFound(
            f"{os.fspath(directory)} {what}; name the project's directory, for example with --path."
        )


class _Search:
    """One look through a directory."""

    def __init__(
        self, directory: str, include: Sequence[str], exclude: Sequence[str], found: ProjectFiles
    ) -> None:
        self._top = directory
        self._real_top = os.path.realpath(directory)
        self._include = Inclusions(include)
        self._exclude = Exclusions(exclude)
        self._found = found
        self._only_included = False
        self._prefix = ""
        self._seen: set[str] = set()
        self._told: set[str] = set()
        """Hidden files and directories that were told of."""
        self._with_tracked: set[str] = set()
        """Hidden directories with files that git tracks."""
        self._directories: dict[str, _Nature] = {"": _Nature.WANTED}

    def files(self) -> Iterator[ProjectFile]:
        """The files to be sent, each once, in no order."""
        for file in self._candidates():
            if file.name not in self._seen:
                self._seen.add(file.name)
                yield file

    def _candidates(self) -> Iterator[ProjectFile]:
        if not is_in_repository(self._top):
            yield from self._directory("", IgnoreRules(), selected=True)
            return
        if self._include.is_given:
            yield from self._included()
        yield from self._repository("")

    def _included(self) -> Iterator[ProjectFile]:
        self._only_included = True
        rules, self._prefix = rules_above(self._top)
        yield from self._directory("", rules, selected=True)
        self._only_included, self._prefix = False, ""

    def _repository(self, base: str) -> Iterator[ProjectFile]:
        """The files in a directory of a git work tree, as git says."""
        path = os.path.join(self._top, base)
        try:
            files = list_files(path)
            ignored = not base and ignores_directory(path)
        except GitFailedError as error:
            self._found.notes.append(
                f"git could not list the files of {path} ({error}); hidden files are not sent, "
                "even if git tracks them"
            )
            rules, self._prefix = (IgnoreRules(), "") if base else rules_above(path)
            yield from self._directory(base, rules, selected=True)
            self._prefix = ""
            return
        if ignored:  # who names an ignored directory wants what is in it
            yield from self._directory(base, IgnoreRules(), selected=True)
        hidden = (base + name for name in files.tracked if name[0] == "." or "/." in name)
        self._with_tracked.update(_topmost_hidden(name)[0] for name in hidden)
        yield from self._at(base + name for name in files.tracked if self._is_tracked(base + name))
        yield from self._at(base + name for name in files.untracked if self._keeps_new(base + name))
        for name in files.repositories:
            yield from self._inner_repository(base + name)

    def _inner_repository(self, name: str) -> Iterator[ProjectFile]:
        if self._exclude.selects(name, is_dir=True) or self._nature(name) is not _Nature.WANTED:
            return
        if is_repository(os.path.join(self._top, name)):
            yield from self._repository(f"{name}/")
        elif os.path.isdir(os.path.join(self._top, name)):  # a submodule that is not checked out
            yield from self._directory(f"{name}/", IgnoreRules(), selected=True)

    def _is_tracked(self, name: str) -> bool:
        # git does not follow links to directories either: what is behind one is not what it tracks.
        return self._nature(name.rpartition("/")[0]) is not _Nature.LINK

    def _keeps_new(self, name: str) -> bool:
        parent, _, own = name.rpartition("/")
        nature = self._nature(parent)
        if nature is _Nature.WANTED and not own.startswith("."):
            return True
        if nature in (_Nature.WANTED, _Nature.HIDDEN) and name not in self._seen:
            self._note_hidden(name)
        return False

    def _note_hidden(self, name: str) -> None:
        """Tell of an untracked hidden file, or of the hidden directory that it is in, unless some
        files in there are sent.
        """
        hidden, own = _topmost_hidden(name)
        if is_well_known(own):
            return
        if hidden != name:
            hidden = name if hidden in self._with_tracked else f"{hidden}/"
        if hidden not in self._told:
            self._told.add(hidden)
            self._found.leave_out(Why.HIDDEN, hidden)

    def _nature(self, directory: str) -> "_Nature":
        """What is to be known of a directory, and of those above it, which come first."""
        known = self._directories.get(directory)
        if known is None:
            parent, _, own = directory.rpartition("/")
            known = self._nature(parent)
            if known is not _Nature.LINK:
                known = self._own_nature(os.path.join(self._top, directory), own, known)
            self._directories[directory] = known
        return known

    def _own_nature(self, path: str, own: str, above: "_Nature") -> "_Nature":
        if os.path.islink(path):
            return _Nature.LINK
        if above is not _Nature.WANTED:
            return above
        if is_never_wanted(own, path):
            return _Nature.UNWANTED
        return _Nature.HIDDEN if own.startswith(".") else _Nature.WANTED

    def _at(self, names: Iterable[str]) -> Iterator[ProjectFile]:
        """The files of these names, but for those that are gone, or directories by now."""
        for name in names:
            path = os.path.join(self._top, name)
            try:
                info = os.lstat(path)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                raise _unreadable_directory(os.path.dirname(path), error) from error
            if not stat.S_ISDIR(info.st_mode):
                yield from self._file(name, path, info)

    def _directory(self, base: str, rules: IgnoreRules, selected: bool) -> Iterator[ProjectFile]:
        # An entry of a directory that is not selected is sent only if the user includes it.
        path = os.path.join(self._top, base)
        rules = rules.enter(path, self._prefix + base)
        for name, is_dir, entry in _entries(path, base):
            if self._exclude.selects(name, is_dir=is_dir):
                continue
            if is_dir:
                yield from self._enter(name, entry, rules, selected)
            elif self._include.selects(name, is_dir=False) or (
                selected and self._keeps(name, entry, rules, is_dir=False)
            ):
                yield from self._file(name, entry.path, entry.stat(follow_symlinks=False))

    def _enter(
        self, name: str, entry: os.DirEntry[str], rules: IgnoreRules, selected: bool
    ) -> Iterator[ProjectFile]:
        if is_never_wanted(entry.name, entry.path) and not self._include.names(entry.name):
            return
        if self._include.selects(name, is_dir=True):
            yield from self._everything(f"{name}/")
        elif selected and self._keeps(name, entry, rules, is_dir=True):
            if is_repository(entry.path) and not self._only_included:
                yield from self._repository(f"{name}/")
            else:
                yield from self._directory(f"{name}/", rules, selected=True)
        elif self._include.may_select_below(name):
            yield from self._directory(f"{name}/", rules, selected=False)

    def _everything(self, base: str) -> Iterator[ProjectFile]:
        for name, is_dir, entry in _entries(os.path.join(self._top, base), base):
            if self._exclude.selects(name, is_dir=is_dir):
                continue
            if not is_dir:
                yield from self._file(name, entry.path, entry.stat(follow_symlinks=False))
            elif not is_never_wanted(entry.name, entry.path) or self._include.names(entry.name):
                yield from self._everything(f"{name}/")

    def _keeps(
        self, name: str, entry: os.DirEntry[str], rules: IgnoreRules, *, is_dir: bool
    ) -> bool:
        if rules.ignores(self._prefix + name, is_dir):
            return False
        if not entry.name.startswith("."):
            return is_dir or not self._only_included
        if not is_well_known(entry.name) and not self._only_included:
            self._found.leave_out(Why.HIDDEN, f"{name}/" if is_dir else name)
        return False

    def _file(self, name: str, path: str, info: os.stat_result) -> Sequence[ProjectFile]:
        """The file, if it is to be sent."""
        if self._exclude.covers(name):
            return ()
        if stat.S_ISREG(info.st_mode):
            return (ProjectFile(name, path, info),)
        if not stat.S_ISLNK(info.st_mode):
            self._found.leave_out(Why.SPECIAL, name)
        elif self._stays_inside(name, target := os.readlink(path)):
            return (ProjectFile(name, path, info, link_target=target.replace(os.sep, "/")),)
        else:
            self._found.leave_out(Why.LINK, name)
        return ()

    def _stays_inside(self, name: str, target: str) -> bool:
        # Both as it is written, for whoever looks at the archive alone, and as it is followed
        # here, for links that go through links.
        written = os.path.normpath(os.path.join(os.path.dirname(name), target))
        if os.path.isabs(target) or written.split(os.sep)[0] == os.pardir:
            return False
        followed = os.path.realpath(os.path.join(self._top, name))
        try:
            return os.path.commonpath([followed, self._real_top]) == self._real_top
        except ValueError:  # on another drive
            return False


def _topmost_hidden(name: str) -> tuple[str, str]:
    """The first hidden part of a path: as a path, and its own name."""
    parts = name.split("/")
    depth = next(number for number, part in enumerate(parts, 1) if part.startswith("."))
    return "/".join(parts[:depth]), parts[depth - 1]


class _Nature(Enum):
    """What is known of a directory in a work tree."""

    WANTED = "wanted"
    HIDDEN = "hidden, or in a hidden directory"
    UNWANTED = "not needed by jobs, or in a directory that is not"
    LINK = "a link, or reached through one"


def _entries(path: str, base: str) -> list[tuple[str, bool, os.DirEntry[str]]]:
    # A directory sorts as its contents do: the whole is then sorted by name.
    try:
        with os.scandir(path) as entries:
            found = [(base + e.name, e.is_dir(follow_symlinks=False), e) for e in entries]
    except OSError as error:
        raise _unreadable_directory(path, error) from error
    return sorted(found, key=lambda item: f"{item[0]}/" if item[1] else item[0])


def _unreadable(path: str, error: OSError) -> ProjectError:
    return ProjectError(
        f"Cannot read {path} ({error.strerror or error}). Make it readable, or leave it out with "
        "--exclude if the job does not need it."
    )


def _unreadable_directory(path: str, error: OSError) -> ProjectError:
    return ProjectError(
        f"Cannot read the directory {path} ({error.strerror}). Make it readable, or leave it out "
        "with --exclude if the job does not need it."
    )
