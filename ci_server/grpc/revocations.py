"""Revoked certificates: their serial numbers, and streams that end when one is revoked."""

import asyncio
import logging
import re
from pathlib import Path

from ci_common.errors import InvalidCredentialsError, NotReadyError, RunnerError

logger = logging.getLogger(__name__)

_SERIAL = re.compile(r"(?:0x)?([0-9a-f]+)", re.IGNORECASE)
_MOST_BYTES = 16 << 20


class Revocations:
    """Of one server process. The file has one hexadecimal serial number a line; what follows a `#`
    is for people. A file that is not there has none; once it was read, what it said stays.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._content = b""
        self._serials: frozenset[int] = frozenset()
        self._is_missing = False
        self._ending: RunnerError | None = None
        self._changed = asyncio.Event()

    def is_revoked(self, serial: int) -> bool:
        """Whether a certificate was revoked, as far as the file was read."""
        return serial in self._serials

    def refresh(self) -> None:
        """Look at the file."""
        self._take(self._look())

    async def refresh_in_thread(self) -> None:
        """The same, on a disk that may be slow."""
        self._take(await asyncio.to_thread(self._look))

    def _look(self) -> bytes | OSError:
        try:
            with self._path.open("rb") as file:
                return file.read(_MOST_BYTES)
        except OSError as error:
            return error

    def _take(self, content: bytes | OSError) -> None:
        if isinstance(content, OSError):
            self._report_missing(content)
            return
        self._is_missing = False
        if content != self._content:
            self._content = content
            self._serials = self._read(content)
            logger.info("%s: %d certificates are revoked", self._path, len(self._serials))
            self._wake()

    def begin_streams(self) -> None:
        """The server starts, perhaps again."""
        self._ending = None

    def end_streams(self) -> None:
        """The server stops: nobody waits any longer."""
        self._ending = NotReadyError("the server is stopping; resume with the offset")
        self._wake()

    async def until_ended(self, serial: int) -> RunnerError:
        """Return why a caller with this certificate has to go, once that is so."""
        while True:
            changed = self._changed
            if self._ending is not None:
                return self._ending
            if self.is_revoked(serial):
                return InvalidCredentialsError("certificate revoked")
            await changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _read(self, content: bytes) -> frozenset[int]:
        serials = set()
        for number, line in enumerate(content.decode(errors="replace").splitlines(), 1):
            text = line.partition("#")[0].replace(":", "").strip()
            if found := _SERIAL.fullmatch(text):
                serials.add(int(found[1], 16))
            elif text:
                logger.error("%s, line %d: not a hexadecimal serial number", self._path, number)
        return frozenset(serials)

    def _report_missing(self, error: OSError) -> None:
        if self._serials and not self._is_missing:
            logger.error("cannot read %s, keeping the previous list: %s", self._path, error)
        elif not isinstance(error, FileNotFoundError) and not self._is_missing:
            logger.error(
                "cannot read %s, so no certificate is treated as revoked: %s", self._path, error
            )
        self._is_missing = True
