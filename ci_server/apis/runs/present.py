"""The JSON of the runs API: the only place that knows its names."""

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from ci_common.job import format_time
from ci_common.run import Run, RunStatus
from ci_common.run_result import RunResult
from ci_server.apis.native.sse import encode
from ci_server.services.run_results import RunEnd
from ci_server.streams.progress_events import ProgressEvent

_NO_RESULT = RunResult(
    success=False,
    grounding_score=None,
    grounding_scores=None,
    termination_reason=None,
    num_de_genes=None,
    top_upregulated=(),
    top_downregulated=(),
    enriched_pathways=(),
    activated_tfs=(),
    control_strategy_effective=None,
    control_cells_available=None,
    iterations=(),
    files={},
)

_JSON = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))

_WITH_PROBLEMS = (RunStatus.FAILED, RunStatus.COMPLETED)
"""What a cancelled run left undone is nobody's fault."""


def status_json(run: Run, end: RunEnd) -> dict[str, Any]:
    """Where a run stands. What was reported comes before what the result says, and that before
    what was expected.
    """
    request, job, progress, result = run.request, run.job, run.progress, end.result
    return {
        "run_id": request.run_id,
        "job_id": job.job_id,
        "status": run.status.value,
        "current_iteration": progress.iteration if progress else None,
        "max_iterations": request.config.get("max_iterations"),
        "current_phase": progress.phase if progress else None,
        "current_score": _first(progress and progress.score, result and result.grounding_score),
        "message": progress.message if progress else None,
        "grounding_scores": _first(
            (progress and dict(progress.scores)) or None, result and result.grounding_scores
        ),
        "control_strategy": request.config.get("control_strategy"),
        "control_strategy_effective": _first(
            result and result.control_strategy_effective, request.control_strategy_effective
        ),
        "control_cells_available": _first(
            result and result.control_cells_available, request.control_cells_available
        ),
        "created_at": format_time(job.created_at),
        "updated_at": format_time(_updated_at(run)),
        "start_time": format_time(job.started_at),
        "end_time": format_time(job.ended_at),
        "error_message": end.problem if run.status in _WITH_PROBLEMS else None,
        "user_email": request.user_email,
    }


def encode_item(run: Run, end: RunEnd) -> bytes:
    """A run as one of many, which tells more than its status alone, as JSON."""
    result = end.result or _NO_RESULT
    paths = {f"{kind}_path": end.files.get(kind) for kind in ("anndata", "report", "log")}
    item = {
        **status_json(run, end),
        "config": dict(run.request.config),
        "random_seed": run.request.config.get("random_seed"),
        "raw_query": run.request.config.get("query"),
        "iterations": list(result.iterations),
        "final_score": result.grounding_score,
        "termination_reason": result.termination_reason,
        **paths,
    }
    return _JSON.encode(item).encode()


def encode_page(runs: Sequence[bytes], total: int, page: int, page_size: int) -> bytes:
    """A page of encoded runs, as JSON."""
    rest = f'],"total":{total},"page":{page},"page_size":{page_size}}}'
    return b'{"runs":[' + b",".join(runs) + rest.encode()


def result_json(run: Run, end: RunEnd, url_of: Callable[[str], str]) -> dict[str, Any]:
    """The result of a completed run; `url_of` makes a URL of an artifact's path."""
    result = end.result or _NO_RESULT
    urls = {kind: url_of(path) for kind, path in end.files.items()}
    return {
        "run_id": run.request.run_id,
        "success": result.success,
        "grounding_score": result.grounding_score,
        "termination_reason": result.termination_reason,
        "num_de_genes": result.num_de_genes,
        "top_upregulated": list(result.top_upregulated),
        "top_downregulated": list(result.top_downregulated),
        "enriched_pathways": list(result.enriched_pathways),
        "activated_tfs": list(result.activated_tfs),
        "control_strategy_effective": _first(
            result.control_strategy_effective, run.request.control_strategy_effective
        ),
        "iterations": list(result.iterations),
        "anndata_url": urls.get("anndata"),
        "report_url": urls.get("report"),
        "log_url": urls.get("log"),
    }


def encode_progress(event: ProgressEvent) -> list[bytes]:
    """A report as events on the wire: an iteration begins, its progress, it ends with a score."""
    progress = event.progress
    events: list[dict[str, object]] = [{"type": "progress", **progress.to_facts()}]
    if event.begins_iteration:
        events.insert(0, {"type": "iteration_start", "iteration": progress.iteration})
    if progress.iteration is not None and progress.score is not None:
        ended = {"iteration": progress.iteration, "score": progress.score}
        events.append({"type": "iteration_end", **ended})
    return [encode(one, event.end_offset) for one in events]


def _updated_at(run: Run) -> datetime:
    job = run.job
    times = (
        job.created_at,
        job.started_at,
        job.cancel_requested_at,
        run.progress_at,
        job.ended_at,
    )
    return max(moment for moment in times if moment is not None)


def _first(*values: Any) -> Any:
    """The first that says something."""
    return next((value for value in values if value is not None), None)
