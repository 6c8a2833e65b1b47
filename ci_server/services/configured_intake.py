"""What is accepted, as the settings want it: limits, defaults of runs, the package scanner."""

from ci_common.errors import SettingsError
from ci_common.settings import RunSettings, ScanSettings, Settings
from ci_server.access.limits.configured import quotas
from ci_server.services.intake import SubmissionLimits
from ci_server.services.runs import RunDefaults
from ci_server.submission.job_limits import DefaultLimits, LimitCeilings
from ci_server.submission.package_check import PackageLimits
from ci_server.submission.package_scan import PackageScanner


def package_scanner(settings: ScanSettings) -> PackageScanner | None:
    """`None` without one. Raises SettingsError when its program is missing: every upload would be
    refused.
    """
    if settings.scan_argv is None:
        return None
    scanner = PackageScanner(settings.scan_argv, settings.scan_timeout_seconds, settings.max_scans)
    if why := scanner.problem():
        raise SettingsError(f"CI_SCAN_COMMAND: {why}; install it, or correct the command")
    return scanner


def run_defaults(settings: RunSettings) -> RunDefaults:
    """What runs are submitted with."""
    return RunDefaults(
        image=settings.run_image,
        command=settings.run_argv,
        cpu_percent=settings.run_cpu_percent,
        memory_mb=settings.run_memory_mb,
        timeout_seconds=settings.run_timeout_seconds,
    )


def submission_limits(settings: Settings) -> SubmissionLimits:
    """What submissions may ask for, and what they get unless they ask."""
    return SubmissionLimits(
        max_upload_bytes=settings.max_upload_mb << 20,
        patience_seconds=settings.request_timeout_seconds,
        notify=settings.notify_policy,
        package=PackageLimits(
            max_entries=settings.max_entries,
            max_unpacked_bytes=settings.max_unpacked_mb << 20,
            max_ratio=settings.max_compression_ratio,
        ),
        quotas=quotas(settings),
        ceilings=LimitCeilings(
            timeout_seconds=settings.max_timeout_seconds,
            cpu_percent=settings.max_cpu_percent,
            memory_mb=settings.max_memory_mb,
            pids=settings.max_pids,
            priority=settings.max_priority,
        ),
        defaults=DefaultLimits(
            timeout_seconds=settings.default_timeout_seconds,
            cpu_percent=settings.default_cpu_percent,
            memory_mb=settings.default_memory_mb,
            pids=settings.default_pids,
            log_mb=settings.default_log_mb,
            grace_seconds=settings.cancel_grace_seconds,
        ),
    )
