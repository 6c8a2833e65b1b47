"""The library for models, against a scripted server."""

from datetime import UTC, datetime

import pytest
from client_scripted_models import (
    COMPLETED,
    DELETE,
    GET,
    HASH,
    QUEUED,
    RESULT_DATA,
    SUBMIT,
    parts_of,
    refused,
)
from client_scripted_server import (
    JOB,
    reply_json,
)

import ci_client
from ci_client import (
    AccessRefused,
    JobFinished,
    JobNotFound,
    ModelClient,
    RequestRefused,
    UnexpectedAnswer,
)


@pytest.fixture
def client(server, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    with ModelClient(server.url) as client:
        yield client


def test_types_of_a_job(client):
    job = client.get_model_job(JOB.upper())
    assert (job.job_id, job.status, job.priority, job.is_ended) == (JOB, "completed", 3, True)
    assert job.created_at == datetime(2026, 1, 2, 3, 4, 5, 678000, UTC)
    assert job.result.statistics.percentiles == {"p50": 1.0, "p99.5": 3.0}
    assert job.result.statistics.maximum == 3.0
    assert job.result.result_hash == HASH
    assert job.result.artifacts[0].name == "output/npv.npy"
    assert "token" not in repr(job.raw["jobId"])


def test_submit_with_the_library(server, client, portfolio):
    with ci_client.create_model_package(portfolio) as package:
        submitted = client.submit_model(package, priority=2)
        of_file = client.submit_model(str(package.path), name="x")
    assert submitted == of_file
    assert (submitted.job_id, submitted.estimated_start) == (JOB, None)
    assert "model_name" not in parts_of(server.asked(SUBMIT)[0])


def test_a_list(server, client):
    server.on("GET /v1/jobs", reply_json({"jobs": [QUEUED, COMPLETED], "nextCursor": JOB}))
    page = client.list_model_jobs(status="queued", limit=2)
    assert [job.status for job in page] == ["queued", "completed"]
    assert page.next_cursor == JOB
    assert server.asked("GET /v1/jobs")[0].query == {"status": "queued", "limit": "2"}


@pytest.mark.parametrize(
    "answer",
    [
        [], 5, {},
        QUEUED | {"jobId": "../x"}, QUEUED | {"priority": "3"}, QUEUED | {"status": None},
        QUEUED | {"createdAt": "yesterday"}, QUEUED | {"startedAt": "2026-01-02T03:04:06"},
        QUEUED | {"modelName": 5},
        COMPLETED | {"resultData": {}}, COMPLETED | {"resultData": 5},
        COMPLETED | {"resultData": RESULT_DATA | {"statistics": {"percentiles": {"p50": "1"}}}},
        COMPLETED | {"resultData": RESULT_DATA | {"artifacts": [{}]}},
    ],
    ids=str,
)  # fmt: skip
def test_an_answer_that_is_no_job(server, client, answer):
    server.on(GET, reply_json(answer))
    with pytest.raises(UnexpectedAnswer, match="not a model's job"):
        client.get_model_job(JOB)


@pytest.mark.parametrize("answer", [[], {}, {"jobs": 5}, {"jobs": [{}]}])
def test_an_answer_that_is_no_list(server, client, answer):
    server.on("GET /v1/jobs", reply_json(answer))
    with pytest.raises(UnexpectedAnswer):
        client.list_model_jobs()


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (404, "job_not_found", JobNotFound),
        (409, "job_finished", JobFinished),
        (403, "forbidden", AccessRefused),
        (409, "job_started", RequestRefused),
    ],
)
def test_errors_of_this_door(server, client, status, code, kind):
    server.on(DELETE, refused(status, code, "text"))
    with pytest.raises(kind) as caught:
        client.cancel_model_job(JOB)
    assert caught.value.code == code
    assert "force" not in server.asked(DELETE)[0].query
