"""The project's table as it is written: `[tool.ci]` of pyproject.toml, or the whole of ci.toml.

The server reads the whole table, and explains what is wrong with it. Clients read only what they
follow themselves: of a file that the server will refuse, nothing counts.
"""

import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ci_client.errors import ProjectError, UsageError

_FILES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("ci.toml", ()),
    ("pyproject.toml", ("tool", "ci")),
)
_MOST_BYTES = 256 << 10
"""Of a file that the server would read."""

_USUAL_JOB = "test"
"""Every project has it."""

_KEYS = frozenset({"api_key", "apikey", "ci_api_key", "key", "token", "password"})
"""What people may call an API key."""


@dataclass(frozen=True, slots=True)
class ProjectTable:
    """What a project says of its jobs, of how it is packed, and of its server."""

    file: str
    """The name of the file that has it, or is to have it."""
    prefix: str
    """What is in front of a key's name where a message names the key."""
    values: Mapping[str, Any] = field(default_factory=dict)
    """Not checked yet; empty where there is no table."""


def read_project_table(directory: str) -> ProjectTable:
    """The table of ci.toml or of pyproject.toml.

    Raises UsageError when both have one, or when there is an API key in it, and ProjectError for a
    file that cannot be read.
    """
    own, pyproject = (_read(directory, file, place) for file, place in _FILES)
    if own is not None and pyproject:
        raise UsageError(
            "ci.toml and pyproject.toml both configure jobs, so it is ambiguous which to use: "
            "delete ci.toml, or [tool.ci] in pyproject.toml."
        )
    (file, place), values = (_FILES[1], pyproject) if own is None else (_FILES[0], own)
    prefix = f"{file}: " + "".join(f"{key}." for key in place)
    _check_no_key(values or {}, prefix)
    return ProjectTable(file, prefix, values or {})


def known_jobs(directory: str) -> list[str] | None:
    """The names of the jobs that a project has; `None` where only the server can tell.

    Raises what `read_project_table` raises.
    """
    values = read_project_table(directory).values
    jobs = values.get("jobs", {})
    if not isinstance(jobs, dict) or not (values or _is_legible(directory)):
        return None
    return sorted({_USUAL_JOB, *jobs})


def _is_legible(directory: str) -> bool:
    """Whether the files that may have a table can be read, those that exist."""
    from ci_common.bounded_toml import read_toml

    for file, _ in _FILES:
        content = _content(os.path.join(directory, file))
        try:
            if content is not None and not (content and read_toml(content) is not None):
                return False
        except (ValueError, RecursionError):
            return False
    return True


def _check_no_key(table: Mapping[str, Any], prefix: str) -> None:
    for name in table:
        if name.lower().replace("-", "_") in _KEYS:
            raise UsageError(
                f"{prefix}{name}: do not put an API key in a project: everyone with the project "
                "can read it. Delete the line, and if the key is real, have it revoked. Store "
                "yours with `ci login`, or set CI_API_KEY."
            )


def _read(directory: str, file: str, place: Sequence[str]) -> dict[str, Any] | None:
    """The table in this file, empty where there is none in it; `None` without the file."""
    content = _content(os.path.join(directory, file))
    return None if content is None else _table(content, place)


def _table(content: bytes, place: Sequence[str]) -> dict[str, Any]:
    if not content:
        return {}
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
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ProjectError(
            f"Cannot read {path} ({error.strerror}). Make it readable: it may contain the job "
            "configuration."
        ) from error
