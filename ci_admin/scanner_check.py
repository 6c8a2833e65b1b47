"""Whether the package scanner works, for the doctor."""

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ci_admin.diagnosis import Code, Finding
from ci_common.package_scan import CLEAN, run_scanner, why_not_runnable
from ci_common.settings import ScanSettings


async def examine_scanner(settings: ScanSettings) -> list[Finding]:
    """What is wrong with it: an empty file is scanned, which must be clean."""
    if settings.scan_argv is None:
        return []
    problem = why_not_runnable(settings.scan_argv)
    if problem is None:
        try:
            async with asyncio.timeout(settings.scan_timeout_seconds):
                problem = await _scan_nothing(settings.scan_argv)
        except TimeoutError:
            problem = f"no result for an empty file within {settings.scan_timeout_seconds:g} s"
    if problem is None:
        return []
    message = f"CI_SCAN_COMMAND: {problem}. No upload is accepted"
    return [Finding(Code.SCANNER_FAILING, message)]


async def _scan_nothing(command: Sequence[str]) -> str | None:
    with tempfile.NamedTemporaryFile() as empty, open(empty.name, "rb") as file:  # noqa: ASYNC230
        try:
            end = await run_scanner(command, file, Path(empty.name))
        except OSError as error:
            return f"it cannot be started: {error}"
    if end.exit_code == CLEAN:
        return None
    return f"exit code {end.exit_code} for an empty file: {end.words or 'no output'}"
