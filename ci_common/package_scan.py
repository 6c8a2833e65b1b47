"""Running the operator's package scanner on one file.

The convention is that of ClamAV: the zip is its stdin, exit code 0 means clean, 1 that something
was found. Everything else, a signal included, is a failure of the scanner.
"""

import asyncio
import contextlib
import os
import re
import shutil
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

PATH_PLACEHOLDER = "{path}"
"""In the command's words: the file's path, for a scanner that reads no stdin."""

CLEAN, FOUND = 0, 1

_PASSED_ON = ("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "TZ")
"""No other variable of the server's: its settings hold secrets."""

_OUTPUT_BYTES = 1 << 20
"""A scanner that writes more is left to wait until its time is over."""

_SHOWN_BYTES = 16 << 10
_SHOWN_CHARACTERS = 500
_PIECE_BYTES = 64 << 10

_ESCAPE_SEQUENCES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours and the like
    r"|(?:\x1b\]|\x9d)[^\x07\x1b\x9c\x9d]*(?:\x07|\x1b\\|\x9c)"  # OSC: titles and links
)


@dataclass(frozen=True, slots=True)
class ScanEnd:
    """How a scanner ended."""

    exit_code: int
    """Negative after a signal."""
    words: str
    """What it wrote, on one line, shortened."""


def why_not_runnable(command: Sequence[str]) -> str | None:
    """Why the scanner cannot be started, as far as its name tells; `None` when it can."""
    if shutil.which(command[0]) is not None:
        return None
    return f"{command[0]} is not an executable program on this machine"


async def run_scanner(command: Sequence[str], file: BinaryIO, path: Path) -> ScanEnd:
    """Scan a file from its beginning. When this is cancelled the scanner is killed, with all that
    it started and did not make a session of its own.

    Raises OSError when the scanner cannot be started.
    """
    file.seek(0)
    words = _words(command, path)
    output = _Output()
    with contextlib.closing(output):
        process = await asyncio.create_subprocess_exec(
            *words,
            stdin=file,
            stdout=output.writer,
            stderr=output.writer,
            env={name: os.environ[name] for name in _PASSED_ON if name in os.environ},
            start_new_session=True,
        )
        try:
            output.follow()
            exit_code = await process.wait()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        output.read_rest()
    return ScanEnd(exit_code, _one_line(bytes(output.kept), path))


def _words(command: Sequence[str], path: Path) -> list[str]:
    program = shutil.which(command[0]) or command[0]
    where = str(path.absolute())
    return [program, *(word.replace(PATH_PLACEHOLDER, where) for word in command[1:])]


@dataclass(slots=True)
class _Output:
    """A pipe of our own: that a grandchild keeps it open delays nothing."""

    reader: int = -1
    writer: int = -1
    kept: bytearray = field(default_factory=bytearray)
    _size: int = 0

    def __post_init__(self) -> None:
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)

    def follow(self) -> None:
        """Keep on reading."""
        os.close(self.writer)
        self.writer = -1
        asyncio.get_running_loop().add_reader(self.reader, self._read)

    def read_rest(self) -> None:
        """What was written before the scanner ended."""
        while self._read():
            pass

    def close(self) -> None:
        """Read no more."""
        asyncio.get_running_loop().remove_reader(self.reader)
        for descriptor in (self.reader, self.writer):
            if descriptor >= 0:
                os.close(descriptor)

    def _read(self) -> bool:
        try:
            piece = os.read(self.reader, _PIECE_BYTES)
        except BlockingIOError:
            return False
        self._size += len(piece)
        self.kept += piece[: _SHOWN_BYTES - len(self.kept)]
        if not piece or self._size > _OUTPUT_BYTES:
            asyncio.get_running_loop().remove_reader(self.reader)
            return False
        return True


def _one_line(output: bytes, path: Path) -> str:
    """For a message: nothing that moves a terminal's cursor, and not where our files are."""
    text = output.decode("utf-8", "replace").replace(str(path.absolute()), "upload")
    text = _ESCAPE_SEQUENCES.sub("", text)
    lines = ("".join(c if c.isprintable() else " " for c in line) for line in text.splitlines())
    joined = "; ".join(filter(None, (" ".join(line.split()) for line in lines)))
    whole = len(joined) <= _SHOWN_CHARACTERS
    return joined if whole else f"{joined[:_SHOWN_CHARACTERS]}..."
