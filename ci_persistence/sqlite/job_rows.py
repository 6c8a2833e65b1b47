"""Jobs as rows, both ways. Every query of jobs selects `COLUMNS`."""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from ci_common.git_facts import GitFacts
from ci_common.job import (
    Artifact,
    BegunFailure,
    CaseResult,
    CoverageSummary,
    Door,
    Job,
    JobSpec,
    JobStatus,
    Network,
    Outcome,
    Package,
    Reason,
    ResourceLimits,
    SuiteSummary,
    Visibility,
    format_time,
    parse_time,
)
from ci_common.launch_step import LaunchStep
from ci_common.policy import JobScope
from ci_common.ports.rows import JobState
from ci_persistence.database.database import Database

COLUMNS = (
    "job_id, tenant, user, spec, package_sha256, package_size, status, created_at, started_at, "
    "ended_at, cancel_requested_at, reason, message, exit_code, log_size, priority, attempt, "
    "log_dropped, artifacts_size, tests, door, coverage, visibility, name, rerun_of, package_kept, "
    "launch_step"
)
ARTIFACT_COLUMNS = "path, size, sha256, modified"
_UNKNOWN = -1
"""In the column `log_dropped`, which knows no NULL."""

_NOT_FOR_ALL = "visibility != 'tenant'"
"""Only for these jobs of a user is there an index, which SQLite uses where it reads this."""

LIVE = "('queued', 'initializing', 'running')"


async def fetch_job(database: Database, job_id: str) -> Job | None:
    """One job, or `None`."""
    row = await database.fetch_one(
        f"SELECT {COLUMNS} FROM jobs WHERE job_id = ?",  # noqa: S608 - constants
        (job_id,),
    )
    return None if row is None else from_row(row)


def scope_conditions(scope: JobScope, table: str = "") -> tuple[list[str], list[str]]:
    """SQL conditions, and their parameters, for rows of jobs or of job events in the scope. Where
    other tables have such columns, `table` is the name of theirs, and a dot.
    """
    if scope.user is None or not scope.others:
        return _equal(table, tenant=scope.tenant, user=scope.user, job_id=scope.job_id)
    conditions, parameters = _equal(table, tenant=scope.tenant, job_id=scope.job_id)
    # With `+` no index is chosen for one side of the OR: it would lose the order.
    others = f"+{table}visibility IN ({_words(scope.others)})"
    conditions.append(f"(+{table}user = ? OR {others})")
    return conditions, [*parameters, scope.user]


def ordered_scope_conditions(scope: JobScope) -> list[tuple[list[str], list[str]]]:
    """The same for rows of jobs, as disjoint parts: each has an index that ends with `seq`."""
    if scope.user is None or not scope.others:
        return [scope_conditions(scope)]
    conditions, parameters = _equal("", tenant=scope.tenant, job_id=scope.job_id)
    shared = [([*conditions, f"visibility = {_words([it])}"], parameters) for it in scope.others]
    rest = [it for it in Visibility if it not in scope.others]
    of_user = [*conditions, "user = ?", _NOT_FOR_ALL, f"+visibility IN ({_words(rest)})"]
    return [*shared, (of_user, [*parameters, scope.user])]


def _equal(table: str, **columns: str | None) -> tuple[list[str], list[str]]:
    wanted = {name: value for name, value in columns.items() if value is not None}
    return [f"{table}{name} = ?" for name in wanted], list(wanted.values())


def _words(visibilities: Iterable[Visibility]) -> str:
    """SQL; a visibility is one of our own words."""
    return ", ".join(f"'{it.value}'" for it in visibilities)


def state_conditions(states: Sequence[JobState]) -> str:
    """An SQL condition for jobs that stand in one of these ways. Statuses are our own words."""
    return f"({' OR '.join(map(_state_condition, states)) or 'false'})"


def to_row(job: Job) -> tuple[str | int | None, ...]:
    """The values of a new, queued job, in the order of `COLUMNS`."""
    return (
        job.job_id,
        job.tenant,
        job.user,
        _spec_to_json(job.spec),
        job.package.sha256 if job.package else None,
        job.package.size if job.package else None,
        job.status.value,
        format_time(job.created_at),
        *(None,) * 7,
        job.spec.priority,
        job.attempt,
        log_dropped_to_row(job.log_dropped),
        job.artifacts_size,
        None,
        job.door.value,
        None,
        job.visibility.value,
        job.spec.name,
        job.rerun_of,
        int(job.package_kept),
        None,
    )


def from_row(row: sqlite3.Row) -> Job:
    """The job of a row."""
    outcome, log_dropped = _outcome(row), log_dropped_from_row(row["log_dropped"])
    status = JobStatus(row["status"])
    launching = status is JobStatus.INITIALIZING
    return Job(
        job_id=row["job_id"],
        tenant=row["tenant"],
        user=row["user"],
        spec=_spec_from_json(row["spec"]),
        package=_package(row),
        status=status,
        created_at=_required_time(row["created_at"]),
        started_at=parse_time(row["started_at"]),
        ended_at=parse_time(row["ended_at"]),
        cancel_requested_at=parse_time(row["cancel_requested_at"]),
        outcome=outcome,
        log_size=None if outcome is None else row["log_size"],
        log_dropped=0 if outcome is None else log_dropped,
        attempt=row["attempt"],
        artifacts_size=row["artifacts_size"],
        tests=tests_from_json(row["tests"]),
        coverage=coverage_from_json(row["coverage"]),
        door=Door(row["door"]),
        visibility=Visibility(row["visibility"]),
        rerun_of=row["rerun_of"],
        package_kept=bool(row["package_kept"]),
        failing=None if outcome is not None else _failing(row, log_dropped),
        launch_step=LaunchStep.parse(row["launch_step"]) if launching else None,
    )


def _state_condition(state: JobState) -> str:
    """SQL; a status is one of our own words."""
    conditions = [f"status = '{state.status.value}'"]
    if state.success is not None:
        succeeded = "status = 'completed' AND coalesce(exit_code, -1) = 0"
        conditions.append(f"({succeeded}) = {int(state.success)}")
    if state.cancel_requested is not None:
        conditions.append(f"(cancel_requested_at IS NOT NULL) = {int(state.cancel_requested)}")
    return f"({' AND '.join(conditions)})"


def log_dropped_to_row(count: int | None) -> int:
    """The number as it is stored."""
    return _UNKNOWN if count is None else count


def log_dropped_from_row(stored: int) -> int | None:
    """Read what `log_dropped_to_row` wrote."""
    return None if stored == _UNKNOWN else stored


def artifact_to_row(artifact: Artifact) -> tuple[str | int | None, ...]:
    """The values of an artifact, in the order of `ARTIFACT_COLUMNS`."""
    at = artifact.modified_at
    modified = None if at is None else int(at.timestamp())
    return artifact.path, artifact.size, artifact.sha256, modified


def artifact_from_row(row: sqlite3.Row) -> Artifact:
    """The artifact of a row."""
    seconds = row["modified"]
    at = None if seconds is None else datetime.fromtimestamp(seconds, UTC)
    return Artifact(row["path"], row["size"], row["sha256"], at)


def _package(row: sqlite3.Row) -> Package | None:
    sha256 = row["package_sha256"]
    return None if sha256 is None else Package(sha256, row["package_size"])


def _failing(row: sqlite3.Row, log_dropped: int | None) -> BegunFailure | None:
    if row["reason"] is None:
        return None
    outcome = Outcome(JobStatus.FAILED, Reason(row["reason"]), row["message"])
    return BegunFailure(outcome, row["log_size"], log_dropped)


def _required_time(text: str) -> datetime:
    moment = parse_time(text)
    if moment is None:
        raise ValueError("a job row has no created_at")
    return moment


def _outcome(row: sqlite3.Row) -> Outcome | None:
    status = JobStatus(row["status"])
    if not status.is_terminal:
        return None
    return Outcome(status, Reason(row["reason"]), row["message"], row["exit_code"])


def tests_to_json(tests: SuiteSummary | None) -> str | None:
    """A test summary as it is stored."""
    return None if tests is None else json.dumps(asdict(tests))


def tests_from_json(text: str | None) -> SuiteSummary | None:
    """Read what `tests_to_json` wrote."""
    if text is None:
        return None
    fields: dict[str, Any] = json.loads(text)
    for key in ("failures", "slowest"):
        fields[key] = tuple(CaseResult(**case) for case in fields[key])
    return SuiteSummary(**fields)


def coverage_to_json(coverage: CoverageSummary | None) -> str | None:
    """A summary of coverage as it is stored."""
    return None if coverage is None else json.dumps(asdict(coverage))


def coverage_from_json(text: str | None) -> CoverageSummary | None:
    """Read what `coverage_to_json` wrote."""
    return None if text is None else CoverageSummary(**json.loads(text))


def _spec_to_json(spec: JobSpec) -> str:
    return json.dumps(asdict(spec))


def _spec_from_json(text: str) -> JobSpec:
    fields: dict[str, Any] = json.loads(text)
    install = fields.get("install")  # rows of older versions have none
    limits, git = fields.pop("limits"), fields.get("git")
    return JobSpec(
        **{
            **fields,
            "command": tuple(fields["command"]),
            "artifacts": tuple(fields["artifacts"]),
            "secrets": tuple(fields.get("secrets", ())),  # rows of older versions have none
            "tenant_secrets": tuple(fields.get("tenant_secrets", ())),
            "notify": tuple(fields.get("notify", ())),
            "install": None if install is None else tuple(install),
            "git": GitFacts(**git) if git else None,
            "limits": ResourceLimits(**{**limits, "network": Network(limits["network"])}),
        }
    )
