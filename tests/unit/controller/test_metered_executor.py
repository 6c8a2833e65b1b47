"""The executor that counts does all that the other one does."""

import inspect
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry

from ci_common.errors import ImageUnavailableError
from ci_common.launch_step import LaunchStage
from ci_common.ports.launch_request import LaunchRequest
from ci_common.ports.workloads import Executor
from ci_common.trace_context import own_trace_id, span_id_of
from ci_controller.telemetry.metered_executor import MeteredExecutor
from ci_controller.telemetry.metrics import ControllerMetrics
from support.jobs import NOON, Clock

JOB = "6f1f7a52-0000-4000-8000-000000000001"


class Launching:
    """An executor whose launches pull for two seconds and install for three, and then fail."""

    def __init__(self, clock):
        self._clock = clock

    async def launch(self, request, log, on_stage):
        on_stage(LaunchStage.PULLING)
        self._clock.advance(2)
        on_stage(LaunchStage.INSTALLING)
        self._clock.advance(3)
        raise ImageUnavailableError


class Recording:
    is_recording = True

    def __init__(self):
        self.spans = []

    def record(self, *spans):
        self.spans += spans


def test_no_method_is_left_to_the_port_which_would_do_nothing():
    methods = {name for name, _ in inspect.getmembers(Executor, inspect.isfunction)}
    public = {name for name in methods if not name.startswith("_")}
    assert len(public) > 10
    assert public <= vars(MeteredExecutor).keys()


@pytest.mark.anyio
async def test_a_launch_that_fails_is_counted_and_tells_where_its_time_went():
    clock, registry, tracer = Clock(), CollectorRegistry(), Recording()
    executor = MeteredExecutor(Launching(clock), ControllerMetrics(registry), tracer, clock)
    told = []
    with pytest.raises(ImageUnavailableError):
        await executor.launch(LaunchRequest(JOB, 2, 1, ("true",)), None, told.append)
    assert told == [LaunchStage.PULLING, LaunchStage.INSTALLING]
    labels = {"operation": "launch", "code": "image_unavailable"}
    assert registry.get_sample_value("ci_executor_errors_total", labels) == 1
    seconds = [(span.name, (span.end - span.start) / timedelta(seconds=1)) for span in tracer.spans]
    assert seconds == [("pulling", 2), ("installing", 3)]
    assert tracer.spans[0].start == NOON
    assert {span.trace_id for span in tracer.spans} == {own_trace_id(JOB)}
    assert {span.parent_id for span in tracer.spans} == {span_id_of(JOB, "launch 2")}
