"""The line in the log of a job whose command its image does not have.

Executors, and the shells of images, say so in words of their own. People who search for the reason,
and programs, know this line.
"""

import re

_NOT_FOUND = 127
_LONGEST = 8 << 10

_NO_SUCH_FILE = "No such file or directory"

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def may_be_missing(exit_code: int | None, size: int) -> bool:
    """Whether a command may not have been found, by its exit code and the size of its output."""
    return exit_code == _NOT_FOUND and 0 < size <= _LONGEST


def missing_command_line(command: str, output: bytes) -> bytes:
    """The line, when this whole output says that the command was not found; else nothing."""
    text = output.decode(errors="surrogateescape")
    if not text.endswith("\n"):
        return b""
    text = text[:-1].removesuffix("\r")
    if not (_is_executors(text, command) or _is_shells(text, command)):
        return b""
    return f"command not found in PATH: {_CONTROLS.sub(' ', command)}\n".encode(errors="replace")


def _is_executors(text: str, command: str) -> bool:
    begins = (f"ci-init: cannot run {command}: ", f"cannot run {command!r}: ")
    return text.startswith(begins) and _NO_SUCH_FILE in text


def _is_shells(text: str, command: str) -> bool:
    """What dash, busybox and bash say of `exec "$@"`; of a path, bash says it in two lines."""
    first, newline, second = text.partition("\n")
    if newline and "\n" not in command and first.startswith("sh: "):
        text = second
    before, found, after = text.partition(f": {command}: ")
    return (
        bool(found)
        and before.startswith("sh: ")
        and "exec" in before.split(": ")
        and (after == "not found" or after.endswith(_NO_SUCH_FILE))
    )
