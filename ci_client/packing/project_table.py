"""What the project's table of jobs says about packing: its keys beside `jobs`.

The server reads the whole table, and explains what is wrong with it. Here only these keys are read:
of a file that the server will refuse, nothing counts.
"""

import os
import shlex
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
    """The keys of ci.toml or of pyproject.toml.

    Raises UsageError, which names file and key, for a value of the wrong type, or when both have a
    table, and ProjectError for a file that cannot be read.
    """
    own, pyproject = (_read(directory, file, place) for file, place in _FILES)
    if own is not None and pyproject:
        raise UsageError(
            "ci.toml and pyproject.toml both have a table of jobs, so it is not clear which is "
            "meant: delete ci.toml, or [tool.ci] in pyproject.toml."
        )
    table, prefix = (pyproject, "pyproject.toml: tool.ci.") if own is None else (own, "ci.toml: ")
    return PackingTable(_exclude(table or {}, prefix), _git(table or {}, prefix))


def read_commands(directory: str) -> dict[str, str]:
    """The jobs of the project's table, and the command of each as a shell would be given it; empty
    where the table does not name one. What is wrong with the table, the server explains.

    Raises ProjectError for a file that cannot be read.
    """
    commands: dict[str, str] = {}
    for file, place in _FILES:
        jobs = (_read(directory, file, place) or {}).get("jobs")
        for name, job in (jobs if isinstance(jobs, dict) else {}).items():
            command = job.get("command", "") if isinstance(job, dict) else ""
            is_list = isinstance(command, list)
            commands[name] = shlex.join(map(str, command)) if is_list else str(command)
    return commands


def _read(directory: str, file: str, place: Sequence[str]) -> dict[str, Any] | None:
    """The table in this file, empty where there is none in it; `None` without the file."""
    content = _content(os.path.join(directory, file))
    return None if content is None else _table(content, place)


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
