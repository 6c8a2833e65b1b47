"""The JSON of what is asked for of one job by itself."""

from dataclasses import asdict
from typing import Any

from ci_common.coverage_files import CoverageFiles
from ci_common.job import CoverageSummary, Job, ResourceLimits, format_time
from ci_common.resources import ResourceSeries


def resources_json(job: Job, series: ResourceSeries | None) -> dict[str, Any]:
    """CPU and memory of a job over time."""
    limits = job.spec.limits
    totals = resource_totals_json(series)
    return {
        "job_id": job.job_id,
        "attempt": job.attempt,
        "started_at": format_time(job.started_at),
        "interval_seconds": series.interval_seconds if series else None,
        "limits": {
            "cpu_cores": None if limits.cpu_percent is None else limits.cpu_percent / 100,
            "memory_bytes": None if limits.memory_mb is None else limits.memory_mb << 20,
        },
        "cpu_seconds": totals["cpu_seconds"] if totals else None,
        "peak": totals["peak"] if totals else {"cpu_cores": None, "memory_bytes": None},
        "points": points_json(series) if series else [],
    }


def resource_totals_json(series: ResourceSeries | None) -> dict[str, Any] | None:
    """What a job used in all; `None` without samples."""
    if series is None or not series.samples:
        return None
    return {
        "cpu_seconds": series.cpu_seconds,
        "peak": {
            "cpu_cores": max(_rounded_cores(series)),
            "memory_bytes": series.peak_memory_bytes,
        },
    }


def points_json(series: ResourceSeries) -> list[dict[str, Any]]:
    """CPU and memory over time."""
    return [
        {"seconds": sample.seconds, "cpu_cores": in_use, "memory_bytes": sample.memory_bytes}
        for sample, in_use in zip(series.samples, _rounded_cores(series), strict=True)
    ]


def _rounded_cores(series: ResourceSeries) -> list[float]:
    return [round(one, 3) for one in series.cores()]


def coverage_files_json(job: Job, found: CoverageFiles | None) -> dict[str, Any]:
    """What the coverage reports of a job say, in all and of each file."""
    return {
        **_coverage(job.coverage),
        "files_total": found.total if found else 0,
        "files": [
            {
                **asdict(one),
                "rate": CoverageSummary(one.lines_covered, one.lines_total).rate,
            }
            for one in (found.files if found else ())
        ],
    }


def _coverage(summary: CoverageSummary | None) -> dict[str, Any]:
    if summary is None:
        names = ("lines_covered", "lines_total", "branches_covered", "branches_total", "rate")
        return dict.fromkeys(names)
    return {**asdict(summary), "rate": summary.rate}


def settings_json(job: Job, default_image: str | None) -> dict[str, Any]:
    """What a job runs with, so that it can be repeated elsewhere; no value of a variable, which may
    be a secret all the same.
    """
    spec = job.spec
    return {
        "image": spec.image or default_image,
        "command": list(spec.command),
        "env": sorted(spec.env),
        "secrets": list(spec.secrets),
        "install": None if spec.install is None else list(spec.install),
        "artifacts": list(spec.artifacts),
        "retries": spec.retries,
        "priority": spec.priority,
        "tty": spec.tty,
        "color": spec.color,
        "limits": _limits_json(spec.limits),
        "package_available": job.has_package,
    }


def _limits_json(limits: ResourceLimits) -> dict[str, Any]:
    return {**asdict(limits), "network": limits.network.value}
