"""Which files of a git work tree there are, as git itself says."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field

from ci_client.packing.git_command import GitFailedError, git_output, run_git
from ci_client.packing.git_remote import public_address
from ci_common.git_facts import LONGEST_FACT, GitFacts

DESCRIBE = ("describe", "--tags", "--long", "--abbrev=9", "--match", "*[0-9]*")
"""As setuptools-scm asks: a tag without a digit is no version."""

_SUBMODULE = b"160000"
_UNTRACKED = b"? "


@dataclass(slots=True)
class GitFiles:
    """What git knows below one directory. Paths are relative to it, with forward slashes; they may
    not exist (deleted files, files left out by a sparse checkout).
    """

    tracked: list[str] = field(default_factory=list)
    untracked: list[str] = field(default_factory=list)
    """Those that are not ignored, by `.gitignore`, `info/exclude` or `core.excludesFile`."""
    repositories: list[str] = field(default_factory=list)
    """Directories with a repository of their own: submodules, and others that are not ignored."""


def is_repository(directory: str) -> bool:
    """Whether a repository's work tree has its top here."""
    return os.path.lexists(os.path.join(directory, ".git"))


def is_in_repository(directory: str) -> bool:
    """Whether the directory is in a repository's work tree, by the look of it."""
    top = os.path.abspath(directory)
    while not is_repository(top):
        parent = os.path.dirname(top)
        if parent == top:
            return False
        top = parent
    return True


def list_files(directory: str) -> GitFiles:
    """What git knows below `directory`. Raises GitFailedError."""
    found = GitFiles()
    arguments = ("ls-files", "-z", "-t", "--stage", "--cached", "--others", "--exclude-standard")
    known: set[str] = set()
    for entry in _entries(git_output(directory, *arguments)):
        if entry.startswith(_UNTRACKED):
            path = os.fsdecode(entry[len(_UNTRACKED) :])
            if path.endswith("/"):  # git does not look into a repository that it does not know
                found.repositories.append(path.removesuffix("/"))
            else:
                found.untracked.append(path)
            continue
        facts, _, name = entry.partition(b"\t")
        path = os.fsdecode(name)
        if path in known:  # once for each side of a merge that is not resolved
            continue
        known.add(path)
        is_submodule = facts.split(b" ")[1] == _SUBMODULE
        (found.repositories if is_submodule else found.tracked).append(path)
    return found


def ignores_directory(directory: str) -> bool:
    """Whether git ignores the directory itself. Raises GitFailedError."""
    if is_repository(directory):
        return False
    parent, name = os.path.split(os.path.abspath(directory))
    return run_git(parent, "check-ignore", "-q", "--no-index", "--", name)[0] == 0


def read_facts(directory: str) -> GitFacts | None:
    """What git says of the work tree; `None` when there is no commit yet, when git fails, and for a
    directory that it ignores, which is of no commit.
    """
    try:
        if ignores_directory(directory):
            return None
        commit = _text(directory, "rev-parse", "--verify", "-q", "HEAD")
        code, branch, _ = run_git(directory, "symbolic-ref", "--short", "-q", "HEAD")
        found, described, _ = run_git(directory, *DESCRIBE)
        # Not `describe --dirty`, which writes the index.
        changes = git_output(directory, "status", "--porcelain", "--untracked-files=no")
        return GitFacts(
            commit,
            branch.decode().strip() if code == 0 else None,
            bool(changes),
            described.decode().strip() if found == 0 else None,  # no tag leads here
            _remote(directory),
        )
    except (GitFailedError, UnicodeDecodeError, ValueError):
        return None


def _remote(directory: str) -> str | None:
    """Of `origin`, if it is one that others can know it by."""
    found, url, _ = run_git(directory, "config", "--get", "remote.origin.url")
    told = public_address(url.decode().strip()) if found == 0 else None
    return told if told and len(told) <= LONGEST_FACT else None


def _text(directory: str, *arguments: str) -> str:
    return git_output(directory, *arguments).decode().strip()


def _entries(output: bytes) -> Iterator[bytes]:
    return (entry for entry in output.split(b"\0") if entry)
