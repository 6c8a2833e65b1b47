"""Scans of packages that are about to get a job, and what the audit log says of them."""

import asyncio
from pathlib import Path

from ci_common.errors import DataDirectoryUnavailableError, PackageGoneError, PackageRefusedError
from ci_common.job import Job
from ci_common.ports.audit import AuditAction
from ci_common.ports.packages import PackageIntake, StagedUpload
from ci_common.principal import Principal
from ci_server.access.audit_trail import AuditTrail
from ci_server.submission.package_scan import Gone, PackageScanner
from ci_server.submission.scannable_zip import check_scannable


class PackageScans:
    """With a scanner, no package gets a job that it has not seen just before."""

    def __init__(
        self, scanner: PackageScanner | None, packages: PackageIntake, audit: AuditTrail
    ) -> None:
        self._scanner = scanner
        self._packages = packages
        self._audit = audit

    async def check_upload(
        self, principal: Principal, staged: StagedUpload, name: str | None, gone: Gone | None
    ) -> None:
        """Return when nothing is found in the upload of a job with this name. Raises what
        `check_scannable` and `PackageScanner.scan` raise, and DataDirectoryUnavailableError.
        """
        try:
            await self._scan(principal, staged.path, AuditAction.SUBMIT, name, gone)
        except FileNotFoundError:
            raise upload_deleted() from None

    async def check_kept(self, principal: Principal, job: Job, gone: Gone | None) -> None:
        """The same for the package of a job that is to be run again, which may be older than the
        scanner, or than what the scanner has learned. Raises PackageGoneError.
        """
        if job.package is None:
            return
        path = self._packages.stored(job.job_id)
        try:
            await self._scan(principal, path, AuditAction.RERUN, job.job_id, gone)
        except FileNotFoundError:
            raise package_gone(job) from None

    async def _scan(
        self,
        principal: Principal,
        path: Path,
        action: AuditAction,
        target: str | None,
        gone: Gone | None,
    ) -> None:
        if self._scanner is None:
            return
        try:
            await asyncio.to_thread(check_scannable, path)
            await self._scanner.scan(principal.tenant, path, gone)
        except PackageRefusedError as error:
            await self._audit.denied(principal, action, error, target=target, with_message=True)
            raise


def package_gone(job: Job) -> PackageGoneError:
    """Of a job that cannot be run again."""
    return PackageGoneError(
        f"the package of job {job.job_id} is not kept any more, so it cannot be run again; submit "
        "the project again (ci submit). CI_KEEP_PACKAGES_DAYS and CI_KEEP_PACKAGES_MB set how long "
        "a server keeps packages"
    )


def upload_deleted() -> DataDirectoryUnavailableError:
    """Somebody removed it behind our back."""
    return DataDirectoryUnavailableError(
        "the upload was deleted from the server's data directory before it was checked; send it "
        "again"
    )
