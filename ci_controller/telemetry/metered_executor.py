"""An executor whose calls are timed."""

import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TypeVar

from typing_extensions import override

from ci_common.job import format_time
from ci_common.launch_step import LaunchStage
from ci_common.ports.launch_request import LaunchRequest, ProbeRequest
from ci_common.ports.logs import LogAppender
from ci_common.ports.unenforced_limits import Unenforced
from ci_common.ports.workloads import (
    Executor,
    Leftover,
    OnStage,
    Output,
    Workload,
    WorkloadFiles,
    untold,
)
from ci_common.resources import ResourceUsage
from ci_common.trace_context import span_id_of, trace_id_of
from ci_common.tracing import Span, Tracer
from ci_controller.telemetry.job_traces import LAUNCH
from ci_controller.telemetry.metrics import ControllerMetrics

Result = TypeVar("Result")


class MeteredExecutor(Executor):
    """Does what the other one does, and counts."""

    def __init__(
        self,
        executor: Executor,
        metrics: ControllerMetrics,
        tracer: Tracer,
        now: Callable[[], datetime],
    ) -> None:
        self._executor = executor
        self._metrics = metrics
        self._tracer = tracer
        self._now = now

    async def _timed(self, operation: str, call: Awaitable[Result]) -> Result:
        """A call that is cancelled is not counted: it says nothing of the engine."""
        began = time.monotonic()
        try:
            result = await call
        except Exception as error:
            self._metrics.called(operation, time.monotonic() - began, error)
            raise
        self._metrics.called(operation, time.monotonic() - began, None)
        return result

    @override
    async def list_workloads(self) -> Sequence[Workload]:
        return await self._timed("list", self._executor.list_workloads())

    @override
    async def inspect(self, job_id: str) -> Workload | None:
        return await self._timed("inspect", self._executor.inspect(job_id))

    @override
    async def launch(
        self, request: LaunchRequest, log: LogAppender, on_stage: OnStage = untold
    ) -> Output:
        stages: list[tuple[LaunchStage, datetime]] = []

        def noted(stage: LaunchStage) -> None:
            stages.append((stage, self._now()))
            on_stage(stage)

        try:
            output = await self._timed("launch", self._executor.launch(request, log, noted))
        finally:
            if stages and self._tracer.is_recording:
                self._tracer.record(*stage_spans(request, stages, self._now()))
        seen = {stage for stage, _ in stages}
        self._metrics.launched(
            pulled=LaunchStage.PULLING in seen, installed=LaunchStage.INSTALLING in seen
        )
        return output

    @override
    async def reattach(self, job_id: str, skip: int) -> Output:
        return await self._timed("reattach", self._executor.reattach(job_id, skip))

    @override
    async def usage(self, job_id: str) -> ResourceUsage | None:
        return await self._timed("usage", self._executor.usage(job_id))

    @override
    async def files(self, job_id: str, path: str) -> WorkloadFiles | None:
        return await self._timed("files", self._executor.files(job_id, path))

    @override
    async def stop(self, job_id: str, grace_seconds: float) -> None:
        await self._timed("stop", self._executor.stop(job_id, grace_seconds))

    @override
    async def remove(self, job_id: str) -> None:
        await self._timed("remove", self._executor.remove(job_id))

    @override
    async def check(self) -> Sequence[Unenforced]:
        return await self._timed("check", self._executor.check())

    @override
    async def describe(self) -> str:
        return await self._executor.describe()

    @override
    async def probe(self, request: ProbeRequest) -> None:
        await self._timed("probe", self._executor.probe(request))

    @override
    async def tidy(self, epoch: int) -> None:
        await self._timed("tidy", self._executor.tidy(epoch))

    @override
    async def leftovers(self, older_than_seconds: float) -> Sequence[Leftover]:
        return await self._executor.leftovers(older_than_seconds)

    @override
    async def remove_leftover(self, leftover: Leftover) -> None:
        await self._executor.remove_leftover(leftover)

    @override
    async def close(self) -> None:
        await self._executor.close()


def stage_spans(
    request: LaunchRequest, stages: Sequence[tuple[LaunchStage, datetime]], end: datetime
) -> list[Span]:
    """What a launch took time for, below the launch's own span."""
    job_id, attempt = request.job_id, request.attempt
    ends = [began for _, began in stages[1:]] + [end]
    return [
        Span(
            stage.value,
            trace_id_of(job_id),
            span_id_of(job_id, f"{stage.value} {attempt} {format_time(began)}"),
            span_id_of(job_id, f"{LAUNCH} {attempt}"),
            began,
            until,
            {"ci.job.id": job_id, "ci.job.attempt": attempt},
        )
        for (stage, began), until in zip(stages, ends, strict=True)
    ]
