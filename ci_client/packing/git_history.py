"""Which commits and tags of a repository go along with HEAD: those that `git describe` asks for."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from ci_client.packing.git_command import git_output, run_git
from ci_client.packing.git_files import DESCRIBE

_MOST_COMMITS = 500
_MOST_BYTES = 16 << 20
"""Of the objects that only former commits have, as they are stored. More is not worth a version,
which the job is told in other ways, too.
"""

_RAW = "--no-replace-objects"


@dataclass(frozen=True, slots=True)
class History:
    """Commits, HEAD first, and the tags that point to them."""

    commits: tuple[bytes, ...]
    tags: tuple[tuple[bytes, bytes, bytes], ...] = ()
    """Each with its name, the object it names, and the commit: the same but for annotated tags."""
    boundary: tuple[bytes, ...] = ()
    """Commits whose parents are not all there."""
    objects: dict[bytes, bytes] = field(default_factory=dict)
    """What the repository has of all of them, with the path, if it has one."""


def read_history(directory: str, head: bytes, *, with_tags: bool) -> History:
    """HEAD alone, or with the commits back to its nearest tags; none of these if they are too many.

    Raises GitFailedError.
    """
    if with_tags:
        commits = _commits_to_tags(directory, head)
        if len(commits) > 1 or _tags(directory, commits):
            history = _history(directory, commits)
            former = history.objects.keys() - _objects(directory, [head]).keys()
            if _stored_size(directory, former) <= _MOST_BYTES:
                return history
    return _history(directory, [head])


def _history(directory: str, commits: list[bytes]) -> History:
    tags = _tags(directory, commits)
    known = set(commits)
    boundary = tuple(
        commit for commit, parents in _parents(directory, commits).items() if not parents <= known
    )
    wanted = [*commits, *(tag for _, tag, _ in tags)]
    return History(tuple(commits), tuple(tags), boundary, _objects(directory, wanted))


def _commits_to_tags(directory: str, head: bytes) -> list[bytes]:
    """HEAD first. Those that lead to the nearest tag, to the nearest one that looks like a version,
    and to the nearest annotated one, as far as they are not too many.
    """
    nearest = {
        tag.strip()
        for question in (DESCRIBE, ("describe", "--tags"), ("describe",))
        for code, tag, _ in [run_git(directory, *question, "--abbrev=0", "--no-long")]
        if code == 0
    }
    found = {head: None}
    for tag in sorted(nearest):
        most = f"--max-count={_MOST_COMMITS + 1}"
        name = b"refs/tags/" + tag + b"^{commit}"
        since = git_output(directory, "rev-list", most, "--stdin", given=[head, b"^" + name])
        if len(since.split()) <= _MOST_COMMITS:
            tagged = git_output(directory, "rev-list", "--no-walk", "--stdin", given=[name])
            found |= dict.fromkeys([*since.split(), *tagged.split()])
    return list(found)


def _tags(directory: str, commits: Iterable[bytes]) -> list[tuple[bytes, bytes, bytes]]:
    """Sorted by name, and only those that point to one of the commits, at most through one tag."""
    known = set(commits)
    parts = "%(refname) %(objectname) %(*objectname)"
    lines = git_output(directory, "for-each-ref", f"--format={parts}", "refs/tags").splitlines()
    found = []
    for line in lines:
        name, tag, commit = line.split(b" ")
        if (commit or tag) in known:
            found.append((name, tag, commit or tag))
    return sorted(found)


def _parents(directory: str, commits: Iterable[bytes]) -> dict[bytes, set[bytes]]:
    """As they are stored, whatever the repository itself lacks."""
    rest = git_output(directory, _RAW, "cat-file", "--batch", given=commits)
    found: dict[bytes, set[bytes]] = {}
    while rest:
        header, _, rest = rest.partition(b"\n")
        commit, _, size = header.split(b" ")
        head = rest[: int(size)].partition(b"\n\n")[0]
        rest = rest[int(size) + 1 :]
        lines = (line.split(b" ") for line in head.split(b"\n"))
        found[commit] = {line[1] for line in lines if line[0] == b"parent"}
    return found


def _objects(directory: str, wanted: Iterable[bytes]) -> dict[bytes, bytes]:
    """What is reachable but for parents, and there: of a partial clone nothing is fetched."""
    listed = git_output(
        directory,
        _RAW,
        *("rev-list", "--objects", "--no-walk", "--missing=allow-any", "--stdin"),
        given=wanted,
    )
    pairs = (line.partition(b" ") for line in listed.split(b"\n") if line)
    return {object_id: path for object_id, _, path in pairs}


def _stored_size(directory: str, objects: Iterable[bytes]) -> int:
    sizes = git_output(
        directory, _RAW, "cat-file", "--batch-check=%(objectsize:disk)", given=objects
    )
    return sum(map(int, sizes.split()))
