"""The JSON of the model-job API: the only place that knows its names."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

from ci_common.job import Artifact, Job, JobStatus, format_time
from ci_common.ports.rows import JobState
from ci_server.services.model_results import ModelResult


class ModelStatus(StrEnum):
    """Where a job stands, in the words of this API."""

    QUEUED = "queued"
    INITIALIZING = "initializing"
    RUNNING = "running"
    COMPLETED = "completed"
    """Its command exited with 0."""
    FAILED = "failed"
    """Every other end."""
    CANCELLED = "cancelled"
    """Somebody cancelled it: from then on, until it ends in another way."""


STATES: dict[ModelStatus, tuple[JobState, ...]] = {
    **{
        ModelStatus(status.value): (JobState(status, cancel_requested=False),)
        for status in (JobStatus.QUEUED, JobStatus.INITIALIZING, JobStatus.RUNNING)
    },
    ModelStatus.COMPLETED: (JobState(JobStatus.COMPLETED, success=True),),
    ModelStatus.FAILED: (
        JobState(JobStatus.COMPLETED, success=False),
        JobState(JobStatus.FAILED),
    ),
    ModelStatus.CANCELLED: (
        JobState(JobStatus.CANCELLED),
        *(
            JobState(status, cancel_requested=True)
            for status in (JobStatus.QUEUED, JobStatus.INITIALIZING, JobStatus.RUNNING)
        ),
    ),
}
"""The jobs that have each status."""


def model_status(job: Job) -> ModelStatus:
    """The status of a job in this API; see `STATES`."""
    if job.outcome is None:
        if job.cancel_requested_at is not None:
            return ModelStatus.CANCELLED
        return ModelStatus(job.status.value)
    if job.outcome.success:
        return ModelStatus.COMPLETED
    is_cancelled = job.status is JobStatus.CANCELLED
    return ModelStatus.CANCELLED if is_cancelled else ModelStatus.FAILED


def submitted_json(job: Job, websocket_url: str, starts_at: datetime | None) -> dict[str, Any]:
    """The answer to a submission."""
    return {
        "jobId": job.job_id,
        "status": model_status(job).value,
        "websocketUrl": websocket_url,
        "createdAt": format_time(job.created_at),
        "estimatedStartTime": format_time(starts_at),
    }


def job_json(
    job: Job,
    websocket_url: str,
    result: ModelResult | None,
    artifacts: Sequence[dict[str, Any]],
    failure: str | None,
) -> dict[str, Any]:
    """A job. `artifacts` are files that it left, `failure` is why it did not succeed."""
    return {
        "jobId": job.job_id,
        "tenantId": job.tenant,
        "userId": job.user,
        "modelName": job.spec.title,
        "priority": job.spec.priority,
        "status": model_status(job).value,
        "packagePath": f"package:{job.job_id}" if job.package else None,
        "packageHash": job.package.sha256 if job.package else None,
        "websocketUrl": websocket_url,
        "createdAt": format_time(job.created_at),
        "startedAt": format_time(job.started_at),
        "completedAt": format_time(job.ended_at),
        "resultData": None if result is None else result_json(job, result, artifacts),
        "errorMessage": failure if result is None else result.problem,
        "executionTimeMs": execution_time_ms(job),
    }


def jobs_json(jobs: Sequence[dict[str, Any]], next_cursor: str | None) -> dict[str, Any]:
    """A page of jobs."""
    return {"jobs": list(jobs), "nextCursor": next_cursor}


def result_json(
    job: Job, result: ModelResult, artifacts: Sequence[dict[str, Any]]
) -> dict[str, Any] | None:
    """The result of a job that succeeded; `None` when it left no statistics."""
    if result.document is None:
        return None
    return {**statistics_json(job, result.document), "artifacts": list(artifacts)}


def statistics_json(job: Job, document: dict[str, Any]) -> dict[str, Any]:
    """The statistics of a result, as the engine has written them."""
    found = document["statistics"]
    return {
        "statistics": {
            "mean": found["mean_npv"],
            "stdDev": found["std_dev"],
            "cte95": found["cte_95"],
            "percentiles": found["percentiles"],
            "min": found["min"],
            "max": found["max"],
        },
        "policyCount": document["policy_count"],
        "scenarioCount": document["scenario_count"],
        "executionTimeMs": execution_time_ms(job),
        "resultHash": document["result_hash"],
    }


def artifact_json(artifact: Artifact, url: str) -> dict[str, Any]:
    """A file that the job left."""
    return {
        "name": artifact.path,
        "size": artifact.size,
        "sha256": artifact.sha256,
        "url": url,
    }


def execution_time_ms(job: Job) -> int | None:
    """From the start of the command to the end of the job; `None` before that."""
    if job.started_at is None or job.ended_at is None:
        return None
    return max(round((job.ended_at - job.started_at).total_seconds() * 1000), 0)
