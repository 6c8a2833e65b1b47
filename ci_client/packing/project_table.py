"""What the project's table of jobs says about packing: its keys beside `jobs`."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from ci_client.errors import UsageError
from ci_client.project_config import ProjectTable, read_project_table

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

    Raises UsageError, which names file and key, for a value of the wrong type, and what
    `read_project_table` raises.
    """
    table = read_project_table(directory)
    return PackingTable(_exclude(table), _git(table))


def read_commands(directory: str) -> dict[str, str]:
    """The jobs of the project's table, and the command of each as a shell would be given it; empty
    where the table does not name one. What else is wrong with the table, the server explains.

    Raises what `read_project_table` raises.
    """
    commands: dict[str, str] = {}
    jobs = read_project_table(directory).values.get("jobs")
    for name, job in (jobs if isinstance(jobs, dict) else {}).items():
        command = job.get("command", "") if isinstance(job, dict) else ""
        is_list = isinstance(command, list)
        commands[name] = shlex.join(map(str, command)) if is_list else str(command)
    return commands


def _exclude(table: ProjectTable) -> tuple[str, ...]:
    found = table.values.get("exclude", [])
    is_list = isinstance(found, list) and all(isinstance(line, str) for line in found)
    if not is_list or len(found) > _MOST_PATTERNS:
        raise UsageError(
            f"{table.prefix}exclude must be a list of at most {_MOST_PATTERNS} patterns as in "
            f".gitignore, such as ['data/', '*.bin']"
        )
    return tuple(found)


def _git(table: ProjectTable) -> bool:
    found = table.values.get("git", False)
    if not isinstance(found, bool):
        raise UsageError(f"{table.prefix}git must be true or false")
    return found
