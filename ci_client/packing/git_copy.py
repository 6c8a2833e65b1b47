"""The commit of a work tree as a small repository, which a job gets as its `.git`.

It has the commit with its tree, and, where that costs little, those back to the nearest tags; what
is in the index; and the address of `origin`. It has no hooks, no reflogs, no stash, nothing else of
the configuration, and so no credentials. It is the same each time, byte for byte.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from shutil import rmtree

from ci_client.errors import UsageError
from ci_client.packing.git_command import GitFailedError, git_output, run_git
from ci_client.packing.git_files import DESCRIBE, is_in_repository
from ci_client.packing.git_history import History, read_history
from ci_client.packing.git_index import IndexEntry, encode_index
from ci_client.packing.git_remote import public_address
from ci_client.packing.project_files import ProjectFile
from ci_client.packing.user_patterns import Exclusions

_ALGORITHMS = {40: "sha1", 64: "sha256"}
"""By the length of an object id."""

_SUBMODULE = 0o160000
_OF_THE_WORK_TREE = {
    "core.filemode": ("true", "false"),
    "core.symlinks": ("true", "false"),
    "core.autocrlf": ("true", "false", "input"),
    "core.eol": ("lf", "crlf", "native"),
}
"""Settings by which files of the work tree compare with the commit, and what they may be."""


def copy_repository(
    directory: str,
    target: Path,
    files: Iterable[ProjectFile],
    exclude: Sequence[str],
    zip_time: Callable[[float], int],
) -> tuple[list[ProjectFile], list[str]]:
    """Make the repository in `target`, an empty directory: its files as those of the project, and
    what else the user should know, a line each.

    `files` are those that are sent; what is left out by a pattern of `exclude` is not in the
    repository either. `zip_time` is the time that a file will have in the job, in seconds.

    Raises UsageError when there is no such repository to be made, and OSError.
    """
    try:
        return _Copy(directory, target, files, exclude, zip_time).make()
    except GitFailedError as error:
        raise _impossible(f"git cannot copy the commit of {directory}: {error}") from error


class _Copy:
    """One repository on its way."""

    def __init__(
        self,
        directory: str,
        target: Path,
        files: Iterable[ProjectFile],
        exclude: Sequence[str],
        zip_time: Callable[[float], int],
    ) -> None:
        self._directory = directory
        self._target = target
        self._sent = {os.fsencode(file.name): file for file in files}
        self._exclude = Exclusions(exclude)
        self._zip_time = zip_time

    def make(self) -> tuple[list[ProjectFile], list[str]]:
        """See copy_repository."""
        head = self._head()
        self._write("config", self._config(_ALGORITHMS[len(head)]))
        index = self._index()
        described = run_git(self._directory, *DESCRIBE)[:2]
        self._write_history(read_history(self._directory, head, with_tags=True), index)
        notes = []
        if run_git(self._directory, self._as_repository, *DESCRIBE)[:2] != described:
            # A merge of what is older than the tag: the commits between do not tell how many.
            self._write_history(read_history(self._directory, head, with_tags=False), index)
            notes.append(
                "git describe finds no tag in the job: the nearest one is too far back, or on "
                "another branch; use CI_COMMIT_SHA and SETUPTOOLS_SCM_PRETEND_VERSION for commit "
                "and version"
            )
        # Later than every file, or else git would read the files to see whether they changed.
        latest = max((entry.modified for entry in index), default=0)
        self._write("index", encode_index(index, _ALGORITHMS[len(head)]))
        return self._files(latest + 2), notes

    def _head(self) -> bytes:
        """The commit."""
        if not is_in_repository(self._directory):
            raise _impossible(f"{self._directory} is not in a git work tree")
        above = self._git("rev-parse", "--show-prefix").rstrip(b"\n")
        if above:
            top = os.fsdecode(self._git("rev-parse", "--show-toplevel")).rstrip("\n")
            raise _impossible(
                f"{self._directory} is not the top of its git work tree; use --path {top} to send "
                "the whole work tree"
            )
        code, head, _ = run_git(self._directory, "rev-parse", "--verify", "-q", "HEAD^{commit}")
        if code != 0:
            raise _impossible(f"the repository of {self._directory} has no commits yet; create one")
        return head.strip()

    def _config(self, algorithm: str) -> bytes:
        sha256 = algorithm == "sha256"
        lines = [
            "[core]",
            f"\trepositoryformatversion = {int(sha256)}",
            "\tbare = false",
            "\tlogallrefupdates = false",
            # The index knows of the files in the job their size, and when they were changed.
            "\tcheckstat = minimal",
            "\ttrustctime = false",
        ]
        known = self._settings()
        for name, allowed in _OF_THE_WORK_TREE.items():
            if known.get(name) in allowed:
                lines.append(f"\t{name.partition('.')[2]} = {known[name]}")
        if sha256:
            lines += ["[extensions]", "\tobjectformat = sha256"]
        if url := public_address(known.get("remote.origin.url", "")):
            lines += ['[remote "origin"]', f'\turl = "{url}"']
            lines.append("\tfetch = +refs/heads/*:refs/remotes/origin/*")
        return "".join(f"{line}\n" for line in lines).encode()

    def _settings(self) -> dict[str, str]:
        names = "|".join([*_OF_THE_WORK_TREE, r"remote\.origin\.url"]).replace("core.", r"core\.")
        _, told, _ = run_git(self._directory, "config", "-z", "--get-regexp", f"^({names})$")
        settings = (os.fsdecode(one).partition("\n") for one in told.split(b"\0") if one)
        return {name: value or "true" for name, _, value in settings}  # the last one holds

    def _index(self) -> list[IndexEntry]:
        changed, to_add = self._changes()
        listed = self._git("ls-files", "-z", "-t", "--stage", "--cached")
        entries = []
        for line in listed.split(b"\0")[:-1]:
            facts, _, path = line.partition(b"\t")
            tag, mode, object_id, stage = facts.split(b" ")
            entry = IndexEntry(path, int(mode, 8), object_id, int(stage), intent=path in to_add)
            file = self._sent.get(path)
            if tag == b"S" or (file is None and self._is_left_out(entry)):
                entry = IndexEntry(path, entry.mode, object_id, entry.stage, skip=True)
            elif file is not None and path not in changed and entry.stage == 0:
                modified = self._zip_time(file.info.st_mtime)
                size = file.info.st_size
                entry = IndexEntry(path, entry.mode, object_id, 0, modified, size)
            entries.append(entry)
        return entries

    def _is_left_out(self, entry: IndexEntry) -> bool:
        """Whether a file that is not sent is there, and not deleted."""
        return entry.mode != _SUBMODULE and os.path.lexists(
            os.path.join(os.fsencode(self._directory), entry.path)
        )

    def _changes(self) -> tuple[set[bytes], set[bytes]]:
        """Tracked files that are not as in the index, and those whose content is not in there."""
        options = ("-z", "--untracked-files=no", "--no-renames", "--ignore-submodules=all")
        lines = self._git("status", "--porcelain=v1", *options).split(b"\0")[:-1]
        changed = {line[3:] for line in lines if line[1:2] != b" "}
        return changed, {line[3:] for line in lines if line[:2] == b" A"}

    def _write_history(self, history: History, index: Iterable[IndexEntry]) -> None:
        head = history.commits[0]
        code, branch, _ = run_git(self._directory, "symbolic-ref", "-q", "HEAD")
        references = list(history.tags)
        if code == 0:
            references.append((branch.strip(), head, head))
        lines = [b"# pack-refs with: peeled fully-peeled sorted "]
        for name, named, commit in sorted(references):
            lines += [named + b" " + name, *([b"^" + commit] if named != commit else [])]
        self._write("packed-refs", b"".join(line + b"\n" for line in lines))
        self._write("HEAD", b"ref: " + branch.strip() + b"\n" if code == 0 else head + b"\n")
        (self._target / "shallow").unlink(missing_ok=True)
        if history.boundary:
            self._write("shallow", b"".join(sorted(one + b"\n" for one in history.boundary)))
        (self._target / "refs").mkdir(exist_ok=True)
        self._write_pack(self._wanted(history, index))

    def _wanted(self, history: History, index: Iterable[IndexEntry]) -> list[bytes]:
        """The objects, but for what only files have that are excluded."""
        excluded = {
            object_id
            for object_id, path in history.objects.items()
            if self._exclude.covers(os.fsdecode(path))
        }
        told = self._git("cat-file", "--batch-check=%(objecttype) %(objectname)", given=excluded)
        pairs = [line.split(b" ") for line in told.splitlines()] if excluded else []
        dropped = {object_id for kind, object_id in pairs if kind == b"blob"}
        in_index = (
            entry.object_id for entry in index if entry.mode != _SUBMODULE and not entry.skip
        )
        return list(dict.fromkeys([*(history.objects.keys() - dropped), *in_index]))

    def _write_pack(self, wanted: Iterable[bytes]) -> None:
        packs = self._target / "objects" / "pack"
        rmtree(packs, ignore_errors=True)
        packs.mkdir(parents=True)
        # The new repository writes, from what the other one has: nothing is written there.
        source = self._git("rev-parse", "--path-format=absolute", "--git-path", "objects")
        alternates = packs.parent / "info" / "alternates"
        alternates.parent.mkdir()
        alternates.write_bytes(source)
        try:
            # Only what is stored as a difference is sent as one: to look for others takes longer
            # than to send them, and threads would make another pack each time.
            self._git(
                self._as_repository,
                *("-c", "pack.packSizeLimit=0", "-c", "pack.threads=1", "-c", "pack.compression=1"),
                *("-c", "pack.writeReverseIndex=false", "--no-replace-objects"),
                *("pack-objects", "-q", "--window=0", os.path.abspath(packs / "pack")),
                given=sorted(wanted),
            )
        finally:
            rmtree(alternates.parent)

    def _files(self, at: int) -> list[ProjectFile]:
        found = []
        for path in sorted(self._target.rglob("*")):
            if path.is_dir() and any(path.iterdir()):
                continue
            path.chmod(0o755 if path.is_dir() else 0o644)
            os.utime(path, (at, at))
            name = f".git/{path.relative_to(self._target).as_posix()}"
            found.append(ProjectFile(f"{name}/" if path.is_dir() else name, str(path), path.stat()))
        return found

    @property
    def _as_repository(self) -> str:
        """Makes git look at the new repository."""
        return f"--git-dir={os.path.abspath(self._target)}"

    def _git(self, *arguments: str, given: Iterable[bytes] = ()) -> bytes:
        return git_output(self._directory, *arguments, given=given)

    def _write(self, name: str, content: bytes) -> None:
        (self._target / name).write_bytes(content)


def _impossible(why: str) -> UsageError:
    return UsageError(
        "Cannot send the git repository (requested by --git, or by `git = true` in [tool.ci] or "
        f"ci.toml): {why}. Use --no-git to submit without it."
    )
