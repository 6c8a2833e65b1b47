"""The operator's scanner looks at packages before they are accepted: never one unseen."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import BinaryIO, NoReturn

from ci_common.errors import InvalidUploadError, PackageRefusedError, ScannerUnavailableError
from ci_common.package_scan import CLEAN, FOUND, run_scanner, why_not_runnable
from ci_common.tenant_slots import TenantSlots

logger = logging.getLogger(__name__)

_RETRY_SECONDS = 30.0

Gone = Callable[[], Coroutine[None, None, None]]
"""Returns when whoever asks for a job has gone, and nobody waits for the answer any more."""


class PackageScanner:
    """Runs a command on packages, a few at a time, and not all of one tenant's."""

    def __init__(self, command: Sequence[str], seconds: float, at_once: int) -> None:
        self._command = command
        self._seconds = seconds
        self._slots = TenantSlots(at_once)

    def problem(self) -> str | None:
        """Why no package can be scanned, as far as can be seen without one."""
        return why_not_runnable(self._command)

    async def scan(self, tenant: str, path: Path, gone: Gone | None = None) -> None:
        """Return when the scanner finds nothing in this file, of this tenant.

        Raises PackageRefusedError, with its words; ScannerUnavailableError when it cannot tell, for
        whatever reason; InvalidUploadError when the client has gone before; FileNotFoundError when
        there is no such file.
        """
        with await asyncio.to_thread(path.open, "rb") as file:
            await _unless_gone(self._scan(tenant, file, path), gone)

    async def _scan(self, tenant: str, file: BinaryIO, path: Path) -> None:
        try:
            async with asyncio.timeout(self._seconds), self._slots.slot(tenant):
                end = await run_scanner(self._command, file, path)
        except TimeoutError:
            _fail(f"no result within {self._seconds:g} s")
        except OSError as error:
            _fail(f"it cannot be started: {error}")
        if end.exit_code == FOUND:
            raise PackageRefusedError(
                "the server's package scanner refused the upload: "
                f"{end.words or 'it gave no reason'}. Remove what it found from the project; if it "
                "is mistaken, ask the server's operator"
            )
        if end.exit_code != CLEAN:
            _fail(f"{_ending(end.exit_code)}: {end.words or 'no output'}")


def _ending(exit_code: int) -> str:
    return f"signal {-exit_code}" if exit_code < 0 else f"exit code {exit_code}"


def _fail(why: str) -> NoReturn:
    """Why is for the operator, and in the log."""
    logger.error("a package could not be scanned (CI_SCAN_COMMAND), and was not accepted: %s", why)
    raise ScannerUnavailableError(retry_after=_RETRY_SECONDS)


async def _unless_gone(scan: Coroutine[None, None, None], gone: Gone | None) -> None:
    if gone is None:
        await scan
        return
    scanning, leaving = asyncio.create_task(scan), asyncio.create_task(gone())
    tasks = (scanning, leaving)
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if not scanning.done():
            leaving.result()
            raise InvalidUploadError("the client disconnected before its upload was scanned")
        scanning.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
