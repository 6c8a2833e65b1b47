"""Patterns of the user's: what is sent in spite of the rules, and what is not sent in any case."""

import os
from collections.abc import Sequence

from ci_client.packing.ignore_rules import Patterns


class Exclusions:
    """What the user does not want sent."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._patterns = Patterns(lines) if lines else None
        self._directories: dict[str, bool] = {"": False}

    def selects(self, name: str, *, is_dir: bool) -> bool:
        """Whether a pattern matches exactly this file or directory."""
        return self._patterns is not None and self._patterns.verdict(name, is_dir) is True

    def covers(self, name: str) -> bool:
        """Whether a file is excluded, or a directory that it is in."""
        if self._patterns is None:
            return False
        return self._covers_directory(os.path.dirname(name)) or self.selects(name, is_dir=False)

    def _covers_directory(self, name: str) -> bool:
        known = self._directories.get(name)
        if known is None:
            known = self._covers_directory(os.path.dirname(name)) or self.selects(name, is_dir=True)
            self._directories[name] = known
        return known


class Inclusions:
    """What the user wants in spite of the rules."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._patterns = Patterns(lines) if lines else None
        parts = [line.removeprefix("/").rstrip("/").split("/") for line in lines]
        self._names = frozenset(part for pattern in parts for part in pattern)
        self._deep = [pattern[:-1] for pattern in parts if len(pattern) > 1]

    @property
    def is_given(self) -> bool:
        """Whether there is any pattern."""
        return self._patterns is not None

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
