"""What the project's table of jobs says about packing: its keys beside `jobs`.

The server reads the whole table, and explains what is wrong with it. Here only these keys are read:
of a file that the server will refuse, nothing counts.
"""

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ci_client.errors import ProjectError, UsageError

_FILES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("ci.toml", ()),
    ("pyproject.toml", ("tool", "ci")),
)
_MOST_BYTES = 256 << 10
"""Of a file that the server would read."""

_MOST_PATTERNS = 1000


@dataclass(frozen=True, slots=True)
class PackingTable:
    """What is not said has its default."""

    exclude: Sequence[str] = ()
    """Patterns in the language of `.gitignore` of what is not sent."""
    git: bool = False
    """Whether the commit is sent as a small repository."""


def read_packing_table(directory: str) -> PackingTable:
    """The keys of ci.toml when there is one, else of pyproject.toml.

    Raises UsageError, which names file and key, for a value of the wrong type, and ProjectError for
    a file that cannot be read.
    """
    for file, place in _FILES:
        content = _content(os.path.join(directory, file))
        if content is not None:
            table = _table(content, place)
            prefix = f"{file}: {''.join(f'{key}.' for key in place)}"
            return PackingTable(_exclude(table, prefix), _git(table, prefix))
    return PackingTable()


def _exclude(table: dict[str, Any], prefix: str) -> tuple[str, ...]:
    found = table.get("exclude", [])
    is_list = isinstance(found, list) and all(isinstance(line, str) for line in found)
    if not is_list or len(found) > _MOST_PATTERNS:
        raise UsageError(
            f"{prefix}exclude must be a list of at most {_MOST_PATTERNS} patterns as in "
            f".gitignore, such as ['data/', '*.bin']"
        )
    return tuple(found)


def _git(table: dict[str, Any], prefix: str) -> bool:
    found = table.get("git", False)
    if not isinstance(found, bool):
        raise UsageError(f"{prefix}git must be true or false")
    return found


def _table(content: bytes, place: Sequence[str]) -> dict[str, Any]:
    # Here because a project without a table need not wait for this import.
    from ci_common.bounded_toml import read_toml

    try:
        table: Any = read_toml(content)
    except (ValueError, RecursionError):
        return {}
    for key in place:
        table = table.get(key) if isinstance(table, dict) else None
    return table if isinstance(table, dict) else {}


def _content(path: str) -> bytes | None:
    """Of a regular file of bearable size; `None` when there is no file at all."""
    try:
        info = os.lstat(path)
        if not stat.S_ISREG(info.st_mode) or info.st_size > _MOST_BYTES:
            return b""
        with open(path, "rb") as file:
            return file.read(_MOST_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ProjectError(
            f"Cannot read {path} ({error.strerror}). Make it readable: it may hold the project's "
            "table of jobs."
        ) from error
