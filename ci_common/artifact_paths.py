"""Paths of artifacts, relative to the project, and the globs that choose them."""

import re
from collections.abc import Iterable
from fnmatch import translate

WORKSPACE = "/workspace/"
"""Globs may be written with the directory in which a container has the project."""

MAX_PATH_BYTES = 4096

_ANY_DEPTH = "**"
_MOST_NAMES = 64
_WILD = re.compile(r"[*?[]")


def is_artifact_path(path: str) -> bool:
    """Whether a path is relative, stays below where it starts, and is text that can be stored."""
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        return False
    names = path.split("/")
    return size <= MAX_PATH_BYTES and "\0" not in path and not {"", ".", ".."} & set(names)


class ArtifactGlob:
    """One glob: `*`, `?` and `[…]` stay within one name, `**` stands for any number of
    directories, none included. Case matters. What matches a directory takes everything in it.
    """

    def __init__(self, text: str) -> None:
        """Raise ValueError, with a message for people, for a glob that leads out of the project."""
        self.text = text
        relative = text.removeprefix(WORKSPACE)
        self._names = [name for name in relative.split("/") if name not in ("", ".")]
        if not text.strip() or relative.startswith("/") or "\0" in text or ".." in self._names:
            raise ValueError(
                f"{text!r} is not a path or pattern within the project, such as 'output/**'"
            )
        if len(self._names) > _MOST_NAMES:
            raise ValueError(f"{text[:60]!r}... has more than {_MOST_NAMES} names")
        # translate() guards its patterns against exponential backtracking.
        self._steps = [
            None if name == _ANY_DEPTH else re.compile(translate(name)) for name in self._names
        ]

    @property
    def root(self) -> str:
        """The longest path at or below which everything lies that can match; `.` for all."""
        literal: list[str] = []
        for name in self._names:
            if _WILD.search(name):
                break
            literal.append(name)
        return "/".join(literal) or "."

    def matches(self, path: str) -> bool:
        """Whether a file of this path, or a directory that it is in, matches."""
        # All the steps the pattern may be at, as there may be several ways to take a `**`.
        places = self._with_empty_depths({0})
        for name in path.split("/"):
            if len(self._steps) in places:
                return True
            onward = set()
            for place in places:
                step = self._steps[place]
                if step is None:
                    onward.add(place)
                elif step.match(name):
                    onward.add(place + 1)
            places = self._with_empty_depths(onward)
        return len(self._steps) in places

    def _with_empty_depths(self, places: set[int]) -> set[int]:
        for start in list(places):
            place = start
            while place < len(self._steps) and self._steps[place] is None:
                place += 1  # there may be several in a row
                places.add(place)
        return places


def roots(globs: Iterable[ArtifactGlob]) -> list[str]:
    """The fewest paths at or below which everything lies that the globs can match."""
    kept: list[str] = []
    for root in sorted({glob.root for glob in globs}):
        if root == ".":
            return ["."]
        if not any(root.startswith(f"{above}/") for above in kept):
            kept.append(root)
    return kept
