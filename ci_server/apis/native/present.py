"""The JSON of the HTTP API: the only place that knows its names."""

import base64
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, assert_never

from ci_common.events import (
    CompleteEvent,
    Event,
    JobIdEvent,
    LogEvent,
    StatusEvent,
    WaitingEvent,
)
from ci_common.job import Artifact, CoverageSummary, Job, Visibility, format_time
from ci_common.ports.trends import JobTrend
from ci_common.ports.usage import TenantUsage
from ci_common.principal import LOCAL_PRINCIPAL, Principal
from ci_common.resources import ResourceSeries
from ci_common.waiting import Waiting
from ci_server.access.auth.stream_tokens import StreamToken
from ci_server.apis.native.present_details import resource_totals_json, settings_json
from ci_server.services.intake import SubmissionLimits
from ci_server.services.previews import Preview
from ci_server.services.server_facts import ServerFacts
from ci_server.services.usage import UsageReport
from ci_server.telemetry.service import VERSION


def job_json(job: Job) -> dict[str, Any]:
    """A job as clients see it."""
    outcome = job.outcome
    return {
        "job_id": job.job_id,
        "name": job.spec.name,
        "status": job.status.value,
        "success": outcome.success if outcome else None,
        "submit_time": format_time(job.created_at),
        "start_time": format_time(job.started_at),
        "end_time": format_time(job.ended_at),
        "cancel_requested_at": format_time(job.cancel_requested_at),
        "exit_code": outcome.exit_code if outcome else None,
        "reason": outcome.reason.value if outcome else None,
        "message": outcome.message if outcome else None,
        "command": list(job.spec.command),
        "image": job.spec.image,
        "secrets": list(job.spec.secrets),
        "timeout": job.spec.limits.timeout_seconds,
        "tenant": job.tenant,
        "user": job.user,
        "package_size": job.package.size if job.package else None,
        "package_sha256": job.package.sha256 if job.package else None,
        "log_size": job.log_size,
        "log_dropped": _count_or_unknown(job.log_dropped),
        "priority": job.spec.priority,
        "attempt": job.attempt,
        "artifacts_size": job.artifacts_size,
        "artifacts_left_out": job.artifacts_left_out,
        "tests": asdict(job.tests) if job.tests else None,
        "coverage": _coverage_json(job.coverage),
        "git": asdict(job.spec.git) if job.spec.git else None,
        "title": job.spec.title,
        "labels": dict(job.spec.labels),
        "private": job.visibility is Visibility.PRIVATE,
        "rerun_of": job.rerun_of,
    }


def watched_job_json(job: Job, waiting: Waiting | None) -> dict[str, Any]:
    """A job, and why it waits."""
    return {**job_json(job), "waiting": None if waiting is None else waiting_json(waiting)}


def single_job_json(
    job: Job,
    waiting: Waiting | None,
    series: ResourceSeries | None = None,
    default_image: str | None = None,
) -> dict[str, Any]:
    """A job that is asked for by itself: with what it used, and the settings that it runs with."""
    return {
        **watched_job_json(job, waiting),
        "resources": resource_totals_json(series),
        "settings": settings_json(job, default_image),
    }


def waiting_json(waiting: Waiting) -> dict[str, Any]:
    """Why a job waits."""
    return {
        "reason": waiting.reason.value,
        "message": waiting.message,
        "ahead": waiting.ahead,
    }


def limits_json(limits: SubmissionLimits, fields: Sequence[str]) -> dict[str, Any]:
    """What submissions may be; `fields` are those of the part `spec` that are understood."""
    return {
        "max_upload_bytes": limits.max_upload_bytes,
        "max_unpacked_bytes": limits.package.max_unpacked_bytes,
        "max_files": limits.package.max_entries,
        "fields": list(fields),
    }


def server_json(facts: ServerFacts, principal: Principal) -> dict[str, Any]:
    """What a server is, as the caller may know it."""
    limits, ceilings = facts.limits, facts.limits.ceilings
    defaults = ceilings.at_most(limits.defaults)
    return {
        "version": VERSION,
        "authentication": principal != LOCAL_PRINCIPAL,
        "user": principal.user,
        "tenant": principal.tenant,
        "role": principal.role.value,
        "executor": facts.executor,
        "image": facts.image,
        "limits": {
            "upload_bytes": limits.max_upload_bytes,
            "unpacked_bytes": limits.package.max_unpacked_bytes,
            "files": limits.package.max_entries,
            "concurrent_jobs": facts.concurrent_jobs,
            "concurrent_jobs_per_tenant": facts.concurrent_jobs_per_tenant,
            "live_jobs_per_user": limits.quotas.live_jobs_per_user,
            "priority": ceilings.priority,
            "artifacts": facts.artifacts,
            "artifacts_mb": facts.artifacts_mb,
            "timeout_seconds": _bound(defaults.timeout_seconds, ceilings.timeout_seconds),
            "memory_mb": _bound(defaults.memory_mb, ceilings.memory_mb),
            "cpu_percent": _bound(defaults.cpu_percent, ceilings.cpu_percent),
            "pids": _bound(defaults.pids, ceilings.pids),
            "log_mb": _bound(defaults.log_mb, defaults.log_mb),
        },
    }


def _bound(default: float | None, most: float | None) -> dict[str, float | None]:
    """What a job gets that says nothing, and the most it may ask for; `None` is no limit."""
    return {"default": default, "max": most}


def listed_job_json(job: Job, waiting: Waiting | None) -> dict[str, Any]:
    """A job as one of many, and why it waits: of its tests only the totals."""
    shown = watched_job_json(job, waiting)
    if shown["tests"]:
        shown["tests"] |= {"failures": [], "slowest": []}
    return shown


def trend_json(trend: JobTrend) -> dict[str, Any]:
    """The latest jobs of one name."""
    return {
        "tenant": trend.tenant,
        "name": trend.name,
        "passed": trend.passed,
        "runs": [{"success": run.passed, "seconds": run.seconds} for run in trend.runs],
    }


def submitted_json(job: Job) -> dict[str, str]:
    """The answer to a submission that is not watched."""
    return {"job_id": job.job_id}


def token_json(token: StreamToken) -> dict[str, str | None]:
    """A token for one job."""
    return {"token": token.token, "expires_at": format_time(token.expires_at)}


def preview_json(preview: Preview, url: str) -> dict[str, str | None]:
    """Where a job's artifacts can be seen."""
    return {"url": url, "expires_at": format_time(preview.expires_at)}


def artifact_json(artifact: Artifact) -> dict[str, Any]:
    """A file that a job left behind."""
    return {
        "path": artifact.path,
        "size": artifact.size,
        "sha256": artifact.sha256,
        "modified": format_time(artifact.modified_at),
    }


def event_json(event: Event) -> dict[str, Any]:
    """An event of a job's stream. Only finished jobs have a CompleteEvent."""
    match event:
        case JobIdEvent(job_id):
            return {"type": "job_id", "job_id": job_id}
        case StatusEvent(status, position):
            told: dict[str, Any] = {"type": "status", "status": status.value}
            return told if position is None else {**told, "position": position}
        case WaitingEvent(waiting):
            return {"type": "waiting", **waiting_json(waiting)}
        case LogEvent(content):
            return _log_json(content)
        case CompleteEvent(job):
            return _complete_json(job)
    assert_never(event)


def _log_json(content: bytes) -> dict[str, Any]:
    """Text, and where the bytes are not UTF-8 also `raw`, the exact bytes."""
    try:
        return {"type": "log", "data": content.decode()}
    except UnicodeDecodeError:
        return {
            "type": "log",
            "data": content.decode(errors="replace"),
            "raw": base64.b64encode(content).decode("ascii"),
        }


def _complete_json(job: Job) -> dict[str, Any]:
    outcome = job.outcome
    if outcome is None:
        raise ValueError(f"job {job.job_id} is not finished")
    return {
        "type": "complete",
        "job_id": job.job_id,
        "success": outcome.success,
        "status": job.status.value,
        "exit_code": outcome.exit_code,
        "reason": outcome.reason.value,
        "message": outcome.message,
        "log_dropped": _count_or_unknown(job.log_dropped),
        "tests": asdict(job.tests) if job.tests else None,
        "coverage": _coverage_json(job.coverage),
    }


def _coverage_json(coverage: CoverageSummary | None) -> dict[str, Any] | None:
    return None if coverage is None else {**asdict(coverage), "rate": coverage.rate}


def caller_json(principal: Principal) -> dict[str, Any]:
    """Who is asking, as the server knows them."""
    kind, key = principal.credential.partition(":")[0], principal.key
    return {
        "user": principal.user,
        "tenant": principal.tenant,
        "role": principal.role.value,
        "credential": "api_key" if kind == "key" else kind,
        "key": key
        and {
            "prefix": key.prefix,
            "name": key.name,
            "expires_at": format_time(key.expires_at),
        },
    }


def usage_json(report: UsageReport) -> dict[str, Any]:
    """What tenants have, and what each of them may."""
    return {
        "limits": {"running_jobs_per_tenant": report.max_running, **asdict(report.quotas)},
        "tenants": [_tenant_json(usage) for usage in report.tenants],
    }


def _tenant_json(usage: TenantUsage) -> dict[str, Any]:
    return {
        "tenant": usage.tenant,
        "jobs": {
            "queued": usage.queued,
            "initializing": usage.initializing,
            "running": usage.running,
            "finished": usage.finished,
        },
        "bytes": {
            "packages": usage.package_bytes,
            "logs": usage.log_bytes,
            "artifacts": usage.artifact_bytes,
            "total": usage.stored_bytes,
        },
    }


def _count_or_unknown(count: int | None) -> int | str:
    return "unknown" if count is None else count
