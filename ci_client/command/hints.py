"""What may help after a job failed in a way that many first submissions do."""

import re
from collections.abc import Mapping
from typing import Any

from ci_client.command.report_display import printable
from ci_client.library.shell_line import pasted_command

_ESCAPES = re.compile(r"\x1b\[[0-9;:?]*[ -/]*[@-~]")
"""Colours and the like."""
_TAIL = 16 * 1024
"""Bytes at the end of a log that are looked at."""

_NO_MODULE = re.compile(r"(?:ModuleNotFoundError|ImportError): No module named '?([\w.]+)")
_NO_PROGRAM = re.compile(r"exec: (.+): not found")
_UNKNOWN_ARGUMENTS = re.compile(
    r"(?:pytest\S*|__main__\.py): error: unrecognized arguments: (.{1,500})"
)
_PLUGINS = {
    "--cov[a-z-]*": "pytest-cov",
    "-n": "pytest-xdist",
    "--dist": "pytest-xdist",
    "--numprocesses": "pytest-xdist",
    "--timeout[a-z-]*": "pytest-timeout",
    "--asyncio-mode": "pytest-asyncio",
    "--benchmark-[a-z-]*": "pytest-benchmark",
    "--reruns[a-z-]*": "pytest-rerunfailures",
    "--randomly-[a-z-]*": "pytest-randomly",
    "--mypy": "pytest-mypy",
    "--ruff": "pytest-ruff",
    "--flake8": "pytest-flake8",
    "--mpl": "pytest-mpl",
    "--hypothesis-[a-z-]*": "hypothesis",
}
"""Options that plugins bring, and who brings each."""

TABLE, OWN_TABLE = "[tool.ci.jobs.NAME]", "[jobs.NAME] of ci.toml"
"""How the table of a job begins in pyproject.toml, and in a file of its own."""

SUBMIT = "ci submit"
"""What people type who run a job, but for those who type `ci run`."""

_USAGE = 4
_NO_TESTS = 5
"""Exit codes of pytest."""
_NOT_FOUND = 127


class LogTail:
    """The end of what was written."""

    def __init__(self) -> None:
        self._content = b""

    def add(self, content: bytes) -> None:
        """Take in what follows."""
        self._content = (self._content + content[-_TAIL:])[-_TAIL:]

    @property
    def text(self) -> str:
        """The end as text, without colours."""
        return _ESCAPES.sub("", self._content.decode(errors="replace"))


def hint(
    result: Mapping[str, Any], log: str, table: str = TABLE, command_line: str = SUBMIT
) -> str | None:
    """What to try after this result (a `complete` event), by the end of the log; `None` when there
    is nothing to say. `table` is how the job's table begins, `command_line` what was typed.
    """
    if result.get("success") is True or result.get("status") != "completed":
        return None
    if modules := _missing_modules(result, log):
        names = ", ".join(printable(name) for name in modules)
        return (
            f"Hint: {names} could not be imported. The log line `ci: install: …` shows what was "
            f"installed; without one, nothing was. In {table}, set install = […], or "
            "image = … to an image that has it."
        )
    if arguments := _unknown_arguments(result, log):
        return _plugin_hint(arguments, table)
    if result.get("exit_code") == _NO_TESTS and "no tests ran" in log:
        return (
            "Hint: pytest found no tests (its exit code 5). A source distribution often has none; "
            f"and {table} can have another command = …"
        )
    if result.get("exit_code") == _NOT_FOUND:
        if words := _one_word(log):
            said = "the command was a single argument with spaces in it"
            return f"Hint: {said}. Did you mean: {command_line} -- {pasted_command(words)}"
        return (
            f"Hint: exit code 127 means that a command was not found. In {table}, set "
            "install = […], or image = … to an image that has it."
        )
    return None


def _unknown_arguments(result: Mapping[str, Any], log: str) -> str | None:
    """What pytest did not understand, when it did not even start."""
    found = _UNKNOWN_ARGUMENTS.search(log) if result.get("exit_code") == _USAGE else None
    return printable(found[1]) if found else None


def _plugin_hint(arguments: str, table: str) -> str:
    plugins = [
        plugin
        for option, plugin in _PLUGINS.items()
        if re.search(rf"(?:^| ){option}(?:[= ]|$)", arguments)
    ]
    plugins = list(dict.fromkeys(plugins))
    needs = f"They need {', '.join(plugins)}" if plugins else "A plugin is missing"
    wanted = "".join(f', "{plugin}"' for plugin in plugins) or ', "…"'
    return (
        f"Hint: pytest did not start: it does not know {arguments}. {needs}, which the project's "
        f'files do not name: in {table}, set install = ["-e ."{wanted}].'
    )


def _one_word(log: str) -> str | None:
    """The program that the shell did not find, when its name holds spaces."""
    found = _NO_PROGRAM.search(log)
    return printable(found[1]) if found and " " in found[1] else None


def _missing_modules(result: Mapping[str, Any], log: str) -> list[str]:
    failures = (result.get("tests") or {}).get("failures") or []
    texts = [*(str(case.get("message") or "") for case in failures), log]
    return list(dict.fromkeys(_NO_MODULE.findall("\n".join(texts))))[:5]
