"""The engine's frames, however they are cut; and how a container is read back."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_common.ports.workloads import WorkloadState
from ci_controller.executors.docker.container import from_inspect, from_list
from ci_controller.executors.docker.output import FrameDecoder

PAYLOADS = st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=40)), max_size=8)


def framed(payloads):
    return b"".join(
        bytes([stream, 0, 0, 0]) + len(payload).to_bytes(4, "big") + payload
        for stream, payload in payloads
    )


@given(PAYLOADS, st.data())
def test_frames_cut_anywhere(payloads, data):
    content = framed(payloads)
    decoder, decoded, at = FrameDecoder(), b"", 0
    while at < len(content):
        size = data.draw(st.integers(1, len(content) - at))
        decoded += decoder.feed(content[at : at + size])
        at += size
    assert decoded == b"".join(payload for _, payload in payloads)


@given(PAYLOADS)
def test_byte_by_byte_is_the_same_as_at_once(payloads):
    content, decoder = framed(payloads), FrameDecoder()
    one_by_one = b"".join(decoder.feed(content[at : at + 1]) for at in range(len(content)))
    assert one_by_one == FrameDecoder().feed(content)


def test_empty_input():
    assert FrameDecoder().feed(b"") == b""


LABELS = {"ci-runner.job": "job", "ci-runner.log-base": "12"}


@pytest.mark.parametrize(
    ("state", "seen"),
    [
        ("created", WorkloadState.CREATED),
        ("running", WorkloadState.RUNNING),
        ("paused", WorkloadState.RUNNING),
        ("restarting", WorkloadState.RUNNING),
        ("exited", WorkloadState.EXITED),
        ("dead", WorkloadState.EXITED),
    ],
)
def test_states(state, seen):
    workload = from_list({"Labels": LABELS, "State": state})
    assert (workload.job_id, workload.state, workload.log_base) == ("job", seen, 12)


def facts(status, **state):
    never = "0001-01-01T00:00:00Z"
    return {
        "Config": {"Labels": LABELS},
        "State": {
            "Status": status,
            "ExitCode": 0,
            "OOMKilled": False,
            "StartedAt": never,
            "FinishedAt": never,
            **state,
        },
    }


def test_a_running_container_has_no_exit_code():
    workload = from_inspect(facts("running", StartedAt="2030-01-01T12:00:00.123456789Z"))
    assert workload.exit_code is None
    assert workload.finished_at is None
    assert workload.started_at == datetime(2030, 1, 1, 12, 0, 0, 123456, UTC)


def test_an_exited_container():
    workload = from_inspect(
        facts("exited", ExitCode=137, OOMKilled=True, FinishedAt="2030-01-01T12:00:00Z")
    )
    assert (workload.exit_code, workload.oom_killed) == (137, True)
    assert workload.finished_at == datetime(2030, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("text", ["2030-01-01T12:00:00.1Z", "2030-01-01T13:00:00.100000001+01:00"])
def test_times_of_any_precision_and_zone(text):
    finished = from_inspect(facts("exited", FinishedAt=text)).finished_at
    assert finished == datetime(2030, 1, 1, 12, 0, 0, 100_000, UTC)
