"""What git would ignore.

git asks about every path on its own, from the top down: the deepest `.gitignore` that has an
opinion decides, and in it the last pattern that matches. A directory that is ignored is never
entered, so nothing below it can be brought back.
"""

import os
import re
from collections.abc import Iterable, Sequence
from typing import Any

GITIGNORE = ".gitignore"
_UNESCAPED_SPACES_AT_END = re.compile(r"(?<!\\) +$")
_PARENT_MATCHED = "ps_d"
"""pathspec's name for the slash of a parent directory that matched in the path's stead."""


class Patterns:
    """A list of patterns in the language of `.gitignore`. Patterns that are none are skipped."""

    def __init__(self, lines: Iterable[str]) -> None:
        compiled = (_compile(line) for line in lines)
        self._newest_first = [pattern for pattern in compiled if pattern is not None][::-1]

    def verdict(self, path: str, is_dir: bool) -> bool | None:
        """Whether the last pattern that matches `path` selects it; `None` if none matches."""
        for regex, selects, directories_only in self._newest_first:
            if directories_only and not is_dir:
                continue
            found = regex.search(path)
            # pathspec lets a pattern that matches a directory match what is in it, too. git
            # does not: it has asked about the directory before.
            if found and not found.groupdict().get(_PARENT_MATCHED):
                return selects
        return None


def _compile(line: str) -> tuple[re.Pattern[str], bool, bool] | None:
    # Here because a project without a .gitignore need not wait for this import.
    from pathspec import GitIgnoreSpec

    line = _UNESCAPED_SPACES_AT_END.sub("", line)
    text = line.removesuffix("/")
    if not text or text.startswith("#"):
        return None
    try:
        pattern: Any = next(iter(GitIgnoreSpec.from_lines([text]).patterns))
    except ValueError:  # git passes over patterns it cannot read
        return None
    if pattern.include is None:
        return None
    return pattern.regex, pattern.include, text != line


class IgnoreRules:
    """The `.gitignore` files in force in one directory, deepest first."""

    def __init__(self, levels: Sequence[tuple[str, Patterns]] = ()) -> None:
        self._levels = tuple(levels)

    def enter(self, directory: str, prefix: str) -> "IgnoreRules":
        """The rules inside `directory`; the paths of what is in it start with `prefix`."""
        lines = _read_gitignore(os.path.join(directory, GITIGNORE))
        if not lines:
            return self
        return IgnoreRules([(prefix, Patterns(lines)), *self._levels])

    def ignores(self, path: str, is_dir: bool) -> bool:
        """Whether git ignores `path`, provided that it does not ignore a parent of it."""
        for prefix, patterns in self._levels:
            verdict = patterns.verdict(path[len(prefix) :], is_dir)
            if verdict is not None:
                return verdict
        return False


def rules_above(directory: str) -> tuple[IgnoreRules, str]:
    """The rules that the repository around `directory` has for it, and its path in there.

    The path ends in a slash, and is empty for the top of a repository and outside of any. There
    are no rules for a directory that is ignored itself: who names it wants what is in it.
    """
    parts: list[str] = []
    top = os.path.abspath(directory)
    while not os.path.lexists(os.path.join(top, ".git")):
        top, name = os.path.split(top)
        if not name:
            return IgnoreRules(), ""
        parts.insert(0, name)
    rules, prefix = IgnoreRules(), ""
    for name in parts:
        rules = rules.enter(os.path.join(top, prefix), prefix)
        if rules.ignores(prefix + name, is_dir=True):
            return IgnoreRules(), ""
        prefix += f"{name}/"
    return rules, prefix


def _read_gitignore(path: str) -> list[str]:
    """The lines of the file as git splits them; none if it is not a regular file."""
    if os.path.islink(path) or not os.path.isfile(path):
        return []
    with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        return [line.removesuffix("\r") for line in file.read().split("\n")]
