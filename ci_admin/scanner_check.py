"""Whether the package scanner works, and looks at all that the server accepts: for the doctor."""

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

from ci_admin.diagnosis import Code, Finding
from ci_admin.scan_probes import write_large, write_nothing, write_small
from ci_common.package_scan import CLEAN, FOUND, run_scanner, why_not_runnable
from ci_common.settings import Settings

_MOST_FILES = 20_000
"""Twice what ClamAV looks at by default. A hundred thousand take it half a minute."""


@dataclass(slots=True)
class ScannerReport:
    """What was found."""

    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class _FailedError(Exception):
    """The scanner gave no result."""


async def examine_scanner(settings: Settings) -> ScannerReport:
    """Scan an empty file, and a test file in a small zip and in one as large as uploads may be."""
    report = ScannerReport()
    if settings.scan_argv is None:
        return report
    scanner = _Scanner(settings.scan_argv, settings.scan_timeout_seconds, settings.data_path)
    try:
        if await _finds_small(scanner, report):
            await _examine_large(scanner, settings, report)
    except _FailedError as error:
        _add(report, Code.SCANNER_FAILING, f"{error}. Uploads are refused")
    return report


async def _finds_small(scanner: "_Scanner", report: ScannerReport) -> bool:
    await scanner.scan("an empty file", write_nothing, (CLEAN,))
    if await scanner.scan("a zip with the EICAR test file", write_small) == FOUND:
        return True
    report.notes.append(
        "CI_SCAN_COMMAND finds nothing in a zip with the EICAR test file: if it is a malware "
        "scanner, it lacks signatures, or cannot unpack zips (ClamAV: can it write to its "
        "TemporaryDirectory?), and packages are accepted unseen"
    )
    return False


async def _examine_large(scanner: "_Scanner", settings: Settings, report: ScannerReport) -> None:
    megabytes, entries = settings.max_upload_mb, min(settings.max_entries, _MOST_FILES)
    if shutil.disk_usage(settings.data_path).free >> 20 < megabytes + settings.min_free_disk_mb:
        report.notes.append(
            "CI_SCAN_COMMAND was not tried on a large package: the disk has no room"
        )
        return
    what = f"a zip of {megabytes} MiB and {entries} files"
    fill = partial(write_large, megabytes=megabytes, entries=entries)
    if await scanner.scan(what, fill) == CLEAN:
        message = (
            f"finds the EICAR test file in a small zip, and not in {what}, which the server "
            "accepts (CI_MAX_UPLOAD_MB, CI_MAX_ENTRIES): packages beyond the scanner's limits are "
            "accepted unseen. For ClamAV, set `AlertExceedsMax yes`"
        )
        _add(report, Code.SCANNER_LIMITED, message)


@dataclass(frozen=True, slots=True)
class _Scanner:
    command: Sequence[str]
    seconds: float
    data: Path

    async def scan(
        self, what: str, fill: Callable[[BinaryIO], None], allowed: Sequence[int] = (CLEAN, FOUND)
    ) -> int:
        """The result for such a file. Raises _FailedError when it is none of these."""
        if problem := why_not_runnable(self.command):
            raise _FailedError(problem)
        try:
            with tempfile.NamedTemporaryFile(dir=self.data / "staging", suffix=".part") as named:
                file = cast("BinaryIO", named.file)
                await asyncio.to_thread(fill, file)
                file.flush()
                async with asyncio.timeout(self.seconds):
                    end = await run_scanner(self.command, file, Path(named.name))
        except TimeoutError:
            raise _FailedError(f"no result for {what} within {self.seconds:g} s") from None
        except OSError as error:
            raise _FailedError(f"it cannot be run on {what}: {error}") from None
        if end.exit_code not in allowed:
            raise _FailedError(f"exit code {end.exit_code} for {what}: {end.words or 'no output'}")
        return end.exit_code


def _add(report: ScannerReport, code: Code, message: str) -> None:
    report.findings.append(Finding(code, f"CI_SCAN_COMMAND: {message}"))
