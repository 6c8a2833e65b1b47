"""What may help after a job failed in a way that many first submissions do."""

import re
from collections.abc import Mapping
from typing import Any

from ci_client.command.report_display import printable

_ESCAPES = re.compile(r"\x1b\[[0-9;:?]*[ -/]*[@-~]")
"""Colours and the like."""
_TAIL = 16 * 1024
"""Bytes at the end of a log that are looked at."""

_NO_MODULE = re.compile(r"(?:ModuleNotFoundError|ImportError): No module named '?([\w.]+)")
_NO_PROGRAM = re.compile(r"exec: (.+): not found")
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


def hint(result: Mapping[str, Any], log: str) -> str | None:
    """What to try after this result (a `complete` event), by the end of the log; `None` when there
    is nothing to say.
    """
    if result.get("success") is True or result.get("status") != "completed":
        return None
    if modules := _missing_modules(result, log):
        names = ", ".join(printable(name) for name in modules)
        return (
            f"Hint: {names} could not be imported. The log line `ci: install: …` shows what was "
            "installed; without one, nothing was. In [tool.ci.jobs.NAME], set install = […], or "
            "image = … to an image that has it."
        )
    if result.get("exit_code") == _NOT_FOUND:
        if words := _one_word(log):
            said = "the command was a single argument with spaces in it"
            return f"Hint: {said}. Did you mean: ci submit -- {words}"
        return (
            "Hint: exit code 127 means that a command was not found. In [tool.ci.jobs.NAME], set "
            "install = […], or image = … to an image that has it."
        )
    return None


def _one_word(log: str) -> str | None:
    """The program that the shell did not find, when its name holds spaces."""
    found = _NO_PROGRAM.search(log)
    return printable(found[1]) if found and " " in found[1] else None


def _missing_modules(result: Mapping[str, Any], log: str) -> list[str]:
    failures = (result.get("tests") or {}).get("failures") or []
    texts = [*(str(case.get("message") or "") for case in failures), log]
    return list(dict.fromkeys(_NO_MODULE.findall("\n".join(texts))))[:5]
