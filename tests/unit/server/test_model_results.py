"""What became of a model, from what its job left."""

import asyncio
import io
import json
from dataclasses import replace

import pytest

from ci_common.errors import LogCorruptError
from ci_common.job import Artifact, JobStatus, Outcome, Reason
from ci_common.model_result import parse_result, result_hash
from ci_server.apis.models.present import STATES, ModelStatus, job_json, model_status
from ci_server.services.failures import Failures
from ci_server.services.model_results import ModelResults
from support.jobs import NOON, a_job

pytestmark = pytest.mark.anyio

DOCUMENT = {
    "statistics": {
        "mean_npv": 3.5,
        "std_dev": 0.5,
        "cte_95": -1.0,
        "min": -2.0,
        "max": 9.0,
        "percentiles": {"p50": 3.0, "p99.5": 8.5},
    },
    "policy_count": 100,
    "scenario_count": 10,
    "distribution": [1.0, 2.0],
}
SIGNED = {**DOCUMENT, "result_hash": result_hash(DOCUMENT), "warnings": ["beware"]}
JOB_ID = "8a1c1b5e-6a39-4b0f-a3a8-3b8d2a4f7c11"
EXITED = Outcome(JobStatus.COMPLETED, Reason.EXIT, "exited with code 1", 1)


class Left:
    """What a job left: files, and a log. Also counts how often a file is opened."""

    def __init__(self, files=(), log=b""):
        self.files = dict(files)
        self.log = log
        self.opened = 0

    async def artifact(self, job_id, path):
        data = self.files.get(path)
        return None if data is None else Artifact(path, len(data), str(hash(data)))

    def open(self, job_id, artifact):
        self.opened += 1
        return io.BytesIO(self.files[artifact.path])

    def read(self, job, offset, end):
        if self.log is None:
            raise LogCorruptError("damaged")
        return self.log[offset : min(offset + 1000, end)]

    def results(self):
        return ModelResults(self, self, Failures(self))


def left(document):
    content = document if isinstance(document, bytes) else json.dumps(document).encode()
    return Left({"output/npv.npy": b"npv", "output/results.json": content})


async def test_the_result_of_a_job_that_succeeded():
    found = left(SIGNED)
    results = found.results()
    job = a_job(JobStatus.COMPLETED, started_at=NOON)
    job = replace(job, ended_at=NOON.replace(microsecond=1500))
    shown = job_json(job, "ws://x", await results.result(job), [], None)
    assert shown["status"] == "completed"
    assert shown["executionTimeMs"] == 2
    assert shown["errorMessage"] is None
    assert shown["resultData"]["statistics"] == {
        "mean": 3.5,
        "stdDev": 0.5,
        "cte95": -1.0,
        "percentiles": {"p50": 3.0, "p99.5": 8.5},
        "min": -2.0,
        "max": 9.0,
    }
    assert shown["resultData"]["resultHash"] == SIGNED["result_hash"]
    await results.result(job)
    assert found.opened == 1


def changed(**changes):
    document = {**SIGNED, **changes}
    return {**document, "result_hash": result_hash(document)}


def of_statistics(**changes):
    return changed(statistics={**DOCUMENT["statistics"], **changes})


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({**SIGNED, "policy_count": 101}, "the result_hash of its content is"),
        ({**SIGNED, "result_hash": 7}, "it has no result_hash"),
        ({**SIGNED, "result_hash": "x" * 5000}, "the result_hash of its content is"),
        (changed(statistics=None), "has no statistics"),
        (of_statistics(min="low"), "lack one of"),
        (of_statistics(max=True), "lack one of"),
        (of_statistics(percentiles=[]), "lack one of"),
        (of_statistics(percentiles={"p50": None}), "not a number"),
        (of_statistics(percentiles={"<script>": 1}), "the name of a percentile"),
        (changed(policy_count=1.5), "lacks one of policy_count"),
        (json.dumps(of_statistics(min=float("nan"))).encode(), "lack one of"),
        (json.dumps(of_statistics(min=float("inf"))).encode(), "lack one of"),
        (b"[" * 100_000, "too many lists and objects"),
        (b'{"a": ' * 9000, "is not JSON"),
        (changed(policy_count=-1), "lacks one of policy_count"),
        (of_statistics(percentiles={f"p{n}": 1 for n in range(1001)}), "more than 1000"),
        (of_statistics(mean_npv=10**400), "is not JSON"),
        ({**SIGNED, "result_hash": "\ud800"}, "not \\ud800"),
        (b"\xff", "is not JSON"),
        (b"", "is not JSON"),
        ([], "has no statistics"),
    ],
)
async def test_a_result_that_cannot_be_trusted(document, told):
    """The job's exit code counts; of its numbers none is told."""
    job = a_job(JobStatus.COMPLETED)
    result = await left(document).results().result(job)
    shown = job_json(job, "ws://x", result, [], None)
    assert (shown["status"], shown["resultData"]) == ("completed", None)
    assert "results.json cannot be used: " in shown["errorMessage"]
    assert told in shown["errorMessage"]
    assert len(shown["errorMessage"]) < 500


async def test_a_job_that_succeeded_and_left_nothing():
    result = await Left().results().result(a_job(JobStatus.COMPLETED))
    assert result.document is None
    assert result.problem == "the job succeeded, but left no output/results.json"


async def test_many_who_ask_at_once_have_it_read_once():
    found = left(SIGNED)
    results = found.results()
    job = a_job(JobStatus.COMPLETED)
    answers = await asyncio.gather(*(results.result(job) for _ in range(100)))
    assert found.opened == 1
    assert len(set(map(id, answers))) == 1


async def test_what_cannot_be_used_is_read_once_too():
    found = left(b"{}")
    results = found.results()
    for _ in range(3):
        assert (await results.result(a_job(JobStatus.COMPLETED, job_id=JOB_ID))).problem
    assert found.opened == 1


async def test_what_cannot_be_read_now_is_read_later():
    found = left(SIGNED)
    results, job = found.results(), a_job(JobStatus.COMPLETED)
    files, found.files = found.files, {"output/results.json": None}

    async def artifact(job_id, path):
        return Artifact(path, 9, "hash")

    found.artifact = artifact
    found.open = lambda job_id, artifact: (_ for _ in ()).throw(OSError("away"))
    assert (await results.result(job)).problem.endswith("cannot be read now")
    found.open = lambda job_id, artifact: io.BytesIO(files[artifact.path])
    assert (await results.result(job)).document


async def test_little_is_remembered_of_a_large_result():
    large = changed(distribution=[0.5] * 100_000, note="x" * 100_000)
    result = await left(large).results().result(a_job(JobStatus.COMPLETED))
    assert set(result.document) == {"statistics", "policy_count", "scenario_count", "result_hash"}


async def test_a_result_that_is_too_large_is_not_read():
    found = left(b"x" * ((16 << 20) + 1))
    result = await found.results().result(a_job(JobStatus.COMPLETED))
    assert "larger than 16 MiB" in result.problem
    assert found.opened == 0


def test_a_float_of_any_size_is_kept():
    document = of_statistics(max=1.7976931348623157e308, min=-5e-324)
    assert parse_result(json.dumps(document).encode())["statistics"]["min"] == -5e-324


# ------------------------------------------------------------------ failures


def a_failed_job(outcome=EXITED, log_size=0):
    return a_job(JobStatus(outcome.status), outcome=outcome, log_size=log_size)


@pytest.mark.parametrize(
    ("log", "message"),
    [
        (b"", "exited with code 1"),
        (b"a\n::progress {}\npolicies.csv: wrong\n", "policies.csv: wrong"),
        (b"::progress {}\nfirst: wrong\r\n\n  second: wrong", "first: wrong\n  second: wrong"),
        (b"::progress {}", "exited with code 1"),
        (b"\xff\n", "\ufffd"),
        (None, "exited with code 1"),
    ],
)
async def test_why_a_model_failed_is_what_the_engine_said_last(log, message):
    job = a_failed_job(log_size=len(log or b"x"))
    assert await Left(log=log).results().failure(job) == message


async def test_of_a_long_log_only_the_end_is_told():
    log = b"".join(b"line %d\n" % number for number in range(10_000))
    said = await Left(log=log).results().failure(a_failed_job(log_size=len(log)))
    assert said.splitlines() == [f"line {number}" for number in range(9975, 10_000)]


async def test_a_line_without_end_is_cut():
    log = b"x" * 100_000 + b"\n" + b"y" * 10_000
    said = await Left(log=log).results().failure(a_failed_job(log_size=len(log)))
    assert said == "y" * 4000


@pytest.mark.parametrize("reason", [Reason.OOM, Reason.TIMEOUT, Reason.SETUP_FAILED])
async def test_why_the_runner_stopped_a_model_is_what_it_says(reason):
    outcome = Outcome(JobStatus.FAILED, reason, "the runner's own words", 137)
    job = a_failed_job(outcome, 4)
    assert await Left(log=b"log\n").results().failure(job) == "the runner's own words"


async def test_a_job_that_has_not_ended_has_neither_result_nor_failure():
    results = left(SIGNED).results()
    for job in (a_job(), a_job(JobStatus.RUNNING)):
        assert await results.result(job) is None
        assert await results.failure(job) is None


# ------------------------------------------------------------------ words


@pytest.mark.parametrize("status", JobStatus)
@pytest.mark.parametrize("is_cancelled", [False, True])
@pytest.mark.parametrize("exit_code", [0, 1, None])
def test_every_job_is_in_the_list_of_its_status_and_in_no_other(status, is_cancelled, exit_code):
    outcome = Outcome(status, Reason.EXIT, "", exit_code) if status.is_terminal else None
    requested = NOON if is_cancelled else None
    job = a_job(status, outcome=outcome, cancel_requested_at=requested)

    def holds(state):
        return (
            state.status is job.status
            and state.success in (None, bool(outcome and outcome.success))
            and state.cancel_requested in (None, is_cancelled)
        )

    lists = [word for word, states in STATES.items() if any(map(holds, states))]
    assert lists == [model_status(job)]


def test_what_clients_are_told():
    failed = a_failed_job()
    cancelling = a_job(JobStatus.RUNNING, cancel_requested_at=NOON)
    ended_all_the_same = a_job(JobStatus.COMPLETED, cancel_requested_at=NOON)
    words = list(map(model_status, (failed, cancelling, ended_all_the_same)))
    assert words == [ModelStatus.FAILED, ModelStatus.CANCELLED, ModelStatus.COMPLETED]


async def test_a_log_that_cannot_be_read_now_is_read_later():
    found = Left(log=None)
    results, job = found.results(), a_job(JobStatus.COMPLETED, outcome=EXITED, log_size=6)
    assert await results.failure(job) == "exited with code 1"
    found.log = b"sorry\n"
    assert await results.failure(job) == "sorry"
