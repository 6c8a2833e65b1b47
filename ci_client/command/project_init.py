"""`ci init`: a table of jobs for the project that is there."""

import os
import re
import stat
import sys
from io import FileIO
from pathlib import Path
from typing import Any

from ci_client.command import exit_codes
from ci_client.command.display import say
from ci_client.errors import ProjectError, UsageError
from ci_client.packing.project_files import check_directory, find_project_files
from ci_client.packing.project_kind import Files, project_kind
from ci_client.packing.table_template import table_text
from ci_common.bounded_toml import read_toml

_OWN_FILE, _PYPROJECT = "ci.toml", "pyproject.toml"
_PREFIX = "tool.ci."
_MOST_BYTES = 256 << 10
"""Of a file that the server reads a table from."""
_MOST_READ = 64 << 10
_TABLE = re.compile(rb"^[ \t]*\[{1,2}[ \t]*tool[ \t]*\.[ \t]*ci[ \t]*[\].]", re.MULTILINE)


def init_project(path: str, *, only_print: bool) -> int:
    """Write the table, or print it; the exit code."""
    check_directory(path)
    directory = Path(path)
    pyproject = _content(directory / _PYPROJECT)
    text = table_text(project_kind(_files(directory)), "" if pyproject is None else _PREFIX)
    if only_print:
        sys.stdout.write(text)
        sys.stdout.flush()
        return exit_codes.PASSED
    _check_none_exists(directory, pyproject)
    target = directory / (_OWN_FILE if pyproject is None else _PYPROJECT)
    _append(target, pyproject, text)
    say(f"Wrote the job `test` to {target}. Run it with: ci submit (or, without a server: ci run)")
    return exit_codes.PASSED


def _files(directory: Path) -> Files:
    """What would be sent, of which only the beginnings are read."""

    def read(name: str) -> bytes:
        path = directory / name
        try:
            if not path.is_file():
                return b""  # such as a link to nothing, or to a pipe, which would block
            with open(path, "rb") as file:
                return file.read(_MOST_READ)
        except OSError:
            return b""  # nothing speaks for anything then

    names = {file.name.replace(os.sep, "/") for file in find_project_files(str(directory)).files}
    return Files(names, read)


def _content(path: Path) -> bytes | None:
    """Of a regular file; `None` without one, and of a link, in which no server looks for a table.

    Raises ProjectError.
    """
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return None
        with path.open("rb") as file:
            return file.read(_MOST_BYTES + 1)  # which is too much already
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ProjectError(f"Cannot read {path} ({error.strerror}). Make it readable.") from error


def _check_none_exists(directory: Path, pyproject: bytes | None) -> None:
    """Raises UsageError, which says where there is a table."""
    own = directory / _OWN_FILE
    if os.path.lexists(own):
        raise UsageError(f"{own} already exists; nothing was changed.")
    if pyproject is None:
        return
    path = directory / _PYPROJECT
    if len(pyproject) > _MOST_BYTES:
        raise _too_large(path)
    table: Any = _read(path, pyproject)
    for key in ("tool", "ci"):
        table = table.get(key) if isinstance(table, dict) else None
    if table is not None:
        where = f"{path}{_line_of_table(pyproject)}"
        raise UsageError(f"{where} already has the table [tool.ci]; nothing was changed.")


def _line_of_table(pyproject: bytes) -> str:
    """Where it begins, if it has a header of its own."""
    found = _TABLE.search(pyproject)
    return f", line {pyproject[: found.start()].count(10) + 1}," if found else ""


def _read(path: Path, content: bytes) -> dict[str, Any]:
    try:
        return read_toml(content)
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"{path} is not valid TOML: {error}. Correct it first; nothing was changed."
        ) from None


def _check_result(path: Path, content: bytes) -> None:
    """Raises UsageError where a table cannot just be added: `tool` may be written in one line."""
    try:
        read_toml(content)
    except (ValueError, RecursionError):
        raise UsageError(
            f"Cannot append to {path}, because `tool` is an inline table there. Add the "
            "configuration by hand (ci init --print shows it); nothing was changed."
        ) from None


def _too_large(path: Path) -> UsageError:
    return UsageError(
        f"{path} would exceed the {_MOST_BYTES >> 10} KiB that a server reads, so nothing was "
        "changed. Put the configuration in a ci.toml instead: ci init --print shows one."
    )


def _write_all(file: FileIO, content: bytes) -> None:
    """Write at the end; where there is no room for all of it, nothing of it stays."""
    start = file.seek(0, os.SEEK_END)
    try:
        left = memoryview(content)
        while left:
            left = left[file.write(left) or 0 :]
    except OSError:
        file.truncate(start)
        if file.mode == "xb":
            os.unlink(file.name)
        raise


def _append(path: Path, content: bytes | None, text: str) -> None:
    """Add the text at the end, with the file's own line ends; what is there stays as it is."""
    before = content or b""
    if before:
        text = ("\n" if before.endswith(b"\n") else "\n\n") + text
    added = text.replace("\n", "\r\n").encode() if b"\r\n" in before else text.encode()
    if len(before) + len(added) > _MOST_BYTES:
        raise _too_large(path)
    _check_result(path, before + added)
    try:
        with path.open("xb" if content is None else "ab", buffering=0) as file:
            _write_all(file, added)
    except OSError as error:
        raise ProjectError(
            f"Cannot write {path} ({error.strerror}). ci init --print prints the configuration "
            "instead."
        ) from error
