"""What is wrong with a job, as a pure function of what is stored of it and what runs of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from ci_persistence.backup.inventory import JobRow, StoredJob

CLEANING_SECONDS = 60.0
"""After its end a job's workload may be there for so long while a controller cleans up."""


class Code(StrEnum):
    """What a finding is about. Stable."""

    PACKAGE_MISSING = "package_missing"
    PACKAGE_DAMAGED = "package_damaged"
    PACKAGE_ORPHAN = "package_orphan"
    KEPT_PACKAGE_LOST = "kept_package_lost"
    SECRETS_MISSING = "secrets_missing"
    SECRETS_ORPHAN = "secrets_orphan"
    LOG_MISSING = "log_missing"
    LOG_SHORT = "log_short"
    LOG_DAMAGED = "log_damaged"
    LOG_ORPHAN = "log_orphan"
    ARTIFACT_DAMAGED = "artifact_damaged"
    ARTIFACTS_ORPHAN = "artifacts_orphan"
    WORKLOAD_ORPHAN = "workload_orphan"
    STAGING_LEFTOVER = "staging_leftover"
    ENGINE_LEFTOVER = "engine_leftover"
    DATABASE_DAMAGED = "database_damaged"
    TOTALS_WRONG = "totals_wrong"
    EVENTS_WRONG = "events_wrong"
    SIGNING_SECRET_UNUSABLE = "signing_secret_unusable"  # noqa: S105 - its name
    LEASE_STALE = "lease_stale"
    DISK_LOW = "disk_low"
    ENGINE_UNREACHABLE = "engine_unreachable"
    SCANNER_FAILING = "scanner_failing"
    SCANNER_LIMITED = "scanner_limited"


REPAIRABLE = frozenset(
    {
        *(Code.PACKAGE_ORPHAN, Code.LOG_ORPHAN, Code.ARTIFACTS_ORPHAN, Code.WORKLOAD_ORPHAN),
        *(Code.STAGING_LEFTOVER, Code.ENGINE_LEFTOVER, Code.TOTALS_WRONG, Code.LEASE_STALE),
        *(Code.SECRETS_ORPHAN, Code.EVENTS_WRONG, Code.KEPT_PACKAGE_LOST),
    }
)
"""What can be put right without losing anything that somebody could still want."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong."""

    code: Code
    message: str
    """What is wrong, and what it means: for people."""
    job_id: str = ""
    subject: str = ""
    """What else it is about: a file, a container."""

    @property
    def is_repairable(self) -> bool:
        """Whether `--fix` puts it right."""
        return self.code in REPAIRABLE


@dataclass(frozen=True, slots=True)
class World:
    """What is not stored with a job."""

    now: datetime
    workloads: frozenset[str] | None
    """The jobs that have a workload; `None` when the engine does not tell."""
    packages: frozenset[str]
    """The jobs with a package that is old enough to have a row."""
    controller_lives: bool
    """Whether somebody cleans up after jobs."""
    secrets: frozenset[str] = frozenset()
    """The jobs with secrets that are old enough to have a row."""


def diagnose(job: StoredJob, world: World) -> list[Finding]:
    """What is wrong with one job."""
    row = job.row
    has_workload = world.workloads is not None and job.job_id in world.workloads
    if row is None:
        return list(_diagnose_orphan(job, world, has_workload))
    if row.ended_at is None:
        return list(_diagnose_live(job, row, world))
    return list(_diagnose_finished(job, row, world, has_workload))


def _diagnose_orphan(job: StoredJob, world: World, has_workload: bool) -> Iterator[Finding]:
    if has_workload:
        yield _workload_orphan(job.job_id, "there is no such job")
    if _has_old_package(job, world):
        yield _package_orphan(job.job_id, "there is no such job")
    if job.job_id in world.secrets and job.secrets:
        yield _secrets_orphan(job.job_id, "there is no such job")
    if job.to_be_deleted:
        return  # retention is about to delete the rest
    if job.log:
        message = f"there is a log of {job.log_size} bytes, but no such job"
        yield Finding(Code.LOG_ORPHAN, message, job.job_id)
    if job.artifacts:
        message = "there are artifacts, but no such job"
        yield Finding(Code.ARTIFACTS_ORPHAN, message, job.job_id)


def _diagnose_live(job: StoredJob, row: JobRow, world: World) -> Iterator[Finding]:
    if row.package_sha256 is None:
        if job.job_id in world.packages and job.package:
            yield _package_orphan(job.job_id, "the job was submitted without one")
    elif not job.package:
        message = (
            f"the upload of the {row.status} job is missing: it will fail with package_corrupt"
        )
        yield Finding(Code.PACKAGE_MISSING, message, job.job_id)
    elif job.package_damage:
        message = f"the upload of the {row.status} job is damaged: {job.package_damage}"
        yield Finding(Code.PACKAGE_DAMAGED, message, job.job_id)
    if row.has_secrets and not job.secrets:
        message = (
            f"the secrets of the {row.status} job are missing: it will fail with "
            "secrets_unavailable when a controller starts or adopts it"
        )
        yield Finding(Code.SECRETS_MISSING, message, job.job_id)


def _diagnose_finished(
    job: StoredJob, row: JobRow, world: World, has_workload: bool
) -> Iterator[Finding]:
    if job.log_damage:
        message = f"a part of the log cannot be read: {job.log_damage}"
        yield Finding(Code.LOG_DAMAGED, message, job.job_id)
    elif row.log_size and not job.log_size:
        message = f"the log of {row.log_size} bytes is missing"
        yield Finding(Code.LOG_MISSING, message, job.job_id)
    elif job.log_size < row.log_size:
        message = f"the log has {job.log_size} bytes instead of {row.log_size}"
        yield Finding(Code.LOG_SHORT, message, job.job_id)
    for damage in job.artifact_damage:
        yield Finding(Code.ARTIFACT_DAMAGED, f"the artifact {damage}", job.job_id, damage)
    if job.artifacts and not job.recorded_artifacts and not job.to_be_deleted:
        message = "there are files of artifacts, but the job has none"
        yield Finding(Code.ARTIFACTS_ORPHAN, message, job.job_id)
    if row.keeps_package:
        if problem := job.package_damage or ("" if job.package else "it is gone"):
            message = f"the kept upload cannot be used to run the job again: {problem}"
            yield Finding(Code.KEPT_PACKAGE_LOST, message, job.job_id)
    elif _has_old_package(job, world):
        yield _package_orphan(job.job_id, "the job has ended")
    if job.job_id in world.secrets and job.secrets:
        yield _secrets_orphan(job.job_id, "the job has ended")
    if has_workload and not _is_being_cleaned(row, world):
        yield _workload_orphan(job.job_id, "the job has ended")


def _has_old_package(job: StoredJob, world: World) -> bool:
    return job.package and job.job_id in world.packages and not job.package_to_be_deleted


def _is_being_cleaned(row: JobRow, world: World) -> bool:
    if not world.controller_lives or row.ended_at is None:
        return False
    return world.now - row.ended_at < timedelta(seconds=CLEANING_SECONDS)


def _package_orphan(job_id: str, why: str) -> Finding:
    return Finding(Code.PACKAGE_ORPHAN, f"there is an upload, but {why}", job_id)


def _secrets_orphan(job_id: str, why: str) -> Finding:
    return Finding(Code.SECRETS_ORPHAN, f"there are secrets, encrypted, but {why}", job_id)


def _workload_orphan(job_id: str, why: str) -> Finding:
    return Finding(Code.WORKLOAD_ORPHAN, f"there is a container or process, but {why}", job_id)
