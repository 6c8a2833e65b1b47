"""The library and its configuration, against a scripted server."""

import json
import os
import tracemalloc
import zipfile
from email import message_from_bytes

import pytest
from client_scripted_server import (
    FINISHED,
    JOB,
    RETRY_SOON,
    STREAM,
    complete,
    error,
    log,
    reply,
    reply_json,
    scripted_server,
    status,
    stream,
)

from ci_client import client as library
from ci_client.client import Client, create_project_zip
from ci_client.errors import (
    JobFinished,
    JobNotFound,
    RequestRefused,
    ServerUnreachable,
    UnexpectedAnswer,
    UsageError,
)
from ci_client.library.raw_log import start_of_tail

LOGS = f"GET /jobs/{JOB}/logs"


@pytest.fixture
def project(tmp_path):
    (tmp_path / "test_a.py").write_text("def test(): pass\n")
    return tmp_path


def form(asked) -> dict[str, bytes]:
    head = f"Content-Type: {asked.headers['content-type']}\r\n\r\n".encode()
    parts = message_from_bytes(head + asked.body).get_payload()
    return {
        p.get_param("name", header="content-disposition"): p.get_payload(decode=True) for p in parts
    }


def test_submit_sends_spec_then_zip(server, project, tmp_path):
    server.on("POST /submit-async", reply_json({"job_id": JOB}, 202))
    assert library.submit_tests_async(project, server.url, job="lint", command=["a", "b"]) == JOB
    parts = form(server.requests[-1])
    assert list(parts) == ["spec", "file"]
    assert json.loads(parts["spec"]) == {"job": "lint", "command": ["a", "b"]}
    uploaded = tmp_path / "uploaded.zip"
    uploaded.write_bytes(parts["file"])
    assert zipfile.ZipFile(uploaded).namelist() == ["test_a.py"]


def test_streaming_yields_the_job_id_first_and_keeps_the_connection(server, project):
    ports = []

    def remember(answer):
        return lambda handler: (ports.append(handler.client_address[1]), answer(handler))

    server.on("POST /submit-async", remember(reply_json({"job_id": JOB})))
    wire = (RETRY_SOON, status("running", 0), log("hello\n", 6), complete())
    server.on(STREAM, remember(stream(*wire)))
    events = list(library.submit_tests_streaming(project, server_url=server.url))
    assert [e["type"] for e in events] == ["job_id", "status", "log", "complete"]
    assert events[0] == {"type": "job_id", "job_id": JOB}
    assert len(set(ports)) == 1


def test_wait_for_job_starts_where_it_is_told(server):
    server.on(STREAM, stream(complete()))
    list(library.wait_for_job(JOB, server.url))
    list(library.wait_for_job(JOB.upper(), server.url, from_beginning=True))
    assert [a.query["from_beginning"] for a in server.requests] == ["false", "true"]


def test_upload_takes_constant_memory_and_tells_progress(server, tmp_path):
    (tmp_path / "big.bin").write_bytes(bytes(range(256)) * 40_000)
    chunks = []

    def drain(handler):
        left = int(handler.headers["content-length"])
        while left:
            left -= len(handler.rfile.read(min(left, 65536)))
        reply_json({"job_id": JOB})(handler)

    drain.leaves_body = True
    server.on("POST /submit-async", drain)
    tracemalloc.start()
    try:
        with create_project_zip(tmp_path) as project, Client(server.url) as client:
            client.submit(project, on_progress=lambda *seen: chunks.append(seen))
            assert chunks[-1] == (project.size, project.size)
        assert tracemalloc.get_traced_memory()[1] < 6_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("status_code", [413, 507])
def test_an_early_answer_is_told_even_when_the_upload_breaks(server, tmp_path, status_code):
    (tmp_path / "noise.bin").write_bytes(os.urandom(8_000_000))

    def refuse(handler):
        error(status_code, "upload_too_large", "At most 1 MB")(handler)
        handler.close_connection = True

    refuse.leaves_body = True
    server.on("POST /submit-async", refuse)
    with pytest.raises(RequestRefused, match="At most 1 MB") as refused:
        library.submit_tests_async(tmp_path, server.url)
    assert (refused.value.code, refused.value.http_status) == ("upload_too_large", status_code)


@pytest.mark.parametrize("answer", [reply(200, b"<html>"), reply_json({}), reply_json([])])
def test_not_a_ci_server(server, project, answer):
    server.on("POST /submit-async", answer)
    with pytest.raises(UnexpectedAnswer, match="--server"):
        library.submit_tests_async(project, server.url)


def test_jobs_and_pages(server):
    server.on("GET /jobs", reply_json([{"job_id": JOB}], X_Next_Cursor="abc"), reply_json([]))
    page = library.list_jobs(server.url, status="running", limit=1)
    assert page == [{"job_id": JOB}]
    assert page.next_cursor == "abc"
    assert server.requests[0].query == {"status": "running", "limit": "1"}
    assert library.list_jobs(server.url, cursor="abc").next_cursor is None


OLD = "mine: is not a parameter of this request; label: is not a parameter of this request"


def test_a_server_that_does_not_know_a_filter(server):
    server.on("GET /jobs", error(400, "invalid_request", OLD))
    with pytest.raises(UsageError, match=r"is too old to filter jobs by mine, labels\. Omit"):
        library.list_jobs(server.url, mine=True, status="running", labels={"a": "b"})
    with (
        pytest.raises(UsageError, match="too old to find your newest job"),
        Client(server.url) as client,
    ):
        client.newest_job()
    server.on("GET /jobs", error(400, "invalid_request", "limit: must be at most 1000"))
    with pytest.raises(RequestRefused, match="at most 1000"):
        library.list_jobs(server.url, limit=2000)


@pytest.mark.parametrize("private", [True, False, None])
def test_a_function_asks_for_a_private_job(server, project, private):
    server.on("POST /submit-async", reply_json({"job_id": JOB}, 202))
    server.on(STREAM, stream(complete()))
    asked = {"private": private} if private is not None else {}
    assert library.submit_tests_async(project, server.url, private=private) == JOB
    assert list(library.submit_tests_streaming(project, server.url, private=private))
    sent = [json.loads(form(one)["spec"]) for one in server.asked("POST /submit-async")]
    assert sent == [{"job": None, "command": None, **asked}] * 2
    with pytest.raises(UsageError, match="private must be True or False"):
        library.submit_tests_async(project, server.url, private="yes")


def test_get_and_cancel(server):
    server.on(f"GET /jobs/{JOB}", reply_json({"job_id": JOB, "status": "running"}))
    server.on(
        f"POST /jobs/{JOB}/cancel",
        reply_json({}, 202),
        error(409, "job_finished", "x"),
        error(404, "job_not_found", "x"),
    )
    assert library.get_job(JOB, server.url)["status"] == "running"
    library.cancel_job(JOB, server.url)
    with pytest.raises(JobFinished, match="already finished"):
        library.cancel_job(JOB, server.url)
    with pytest.raises(JobNotFound):
        library.cancel_job(JOB, server.url)


def test_what_is_no_id_is_not_found_without_asking(server):
    for job_id in ("x", "../../health", JOB + "0"):
        with pytest.raises(JobNotFound, match="not found"):
            library.get_job(job_id, server.url)
    with pytest.raises(UsageError, match="too short"):
        library.get_job("", server.url)
    assert server.requests == []


def test_unreachable_at_once():
    with scripted_server() as gone:
        url = gone.url
    with pytest.raises(ServerUnreachable, match=r"connection refused.*CI_SERVER_URL"):
        library.list_jobs(url)


def ranged(content: bytes, *cuts: int):
    """`content` with ranges, each answer breaking off after so many bytes; the last is whole."""
    left = list(cuts)

    def answer(handler):
        wanted = handler.headers.get("Range", "bytes=0-").removeprefix("bytes=")
        first, _, _ = wanted.partition("-")
        start = int(first) if first else max(0, len(content) - int(wanted[1:]))
        if start >= len(content):
            handler.begin(416, Content_Range=f"bytes */{len(content)}", Content_Length="0")
            return
        part = content[start:]
        where = f"bytes {start}-{len(content) - 1}/{len(content)}"
        handler.begin(206, Content_Range=where, Content_Length=str(len(part)))
        handler.wfile.write(part[: left.pop(0)] if left else part)
        handler.close_connection = True

    return answer


def test_raw_log_resumes_where_it_was_cut(server):
    content = bytes(range(256)) * 300
    server.on(LOGS, ranged(content, 10, 70_000, 0))
    assert b"".join(library.read_log(JOB, server.url)) == content
    server.on(LOGS, ranged(content))
    assert b"".join(library.read_log(JOB, server.url, start=len(content))) == b""


def test_raw_log_without_ranges_skips_what_it_has(server):
    content = b"0123456789" * 1000
    server.on(LOGS, reply(200, content, "text/plain"))
    assert b"".join(library.read_log(JOB, server.url, start=9_995)) == b"56789"


@pytest.mark.parametrize("lines", [0, 1, 2, 5, 2500, 10_000])
@pytest.mark.parametrize("end", [b"", b"unfinished"])
def test_tail(server, lines, end):
    content = b"".join(b"%d %s\n" % (n, b"x" * (n % 90)) for n in range(3000)) + end
    server.on(LOGS, ranged(content))
    with Client(server.url) as client:
        start = client.tail_start(JOB, lines)
    wanted = content.splitlines(keepends=True)[-lines:] if lines else []
    assert content[start:] == b"".join(wanted)


def test_tail_of_nothing_and_of_a_part():
    assert start_of_tail(3, 0, []) == 0
    assert start_of_tail(1, 100, [b"no line starts here"]) is None
    assert start_of_tail(1, 100, [b"x\n", b"abc\n"]) == 102
    assert start_of_tail(1, 0, [b"\n\n"]) == 1


def test_a_question_that_comes_too_soon_is_asked_again(server):
    busy = error(429, "rate_limited", "Too many.", Retry_After="1")
    server.on(f"GET /jobs/{JOB}", busy, reply_json(FINISHED))
    told = []
    with Client(server.url, on_retry=lambda *what: told.append(what)) as client:
        assert client.get_job(JOB)["status"] == "completed"
    assert told == [("Too many. Try again in 1 s.", 1.0)]


def test_questions_are_not_asked_for_ever(server):
    server.on("GET /jobs", error(429, "rate_limited", "Too many.", Retry_After="0"))
    with Client(server.url) as client, pytest.raises(RequestRefused, match="Too many"):
        client.list_jobs()
    assert len(server.asked("GET /jobs")) == 4


@pytest.mark.parametrize("headers", [{}, {"Retry_After": "3600"}, {"Retry_After": "nan"}])
def test_without_a_time_worth_waiting_for_nothing_is_asked_again(server, headers):
    server.on("GET /jobs", error(429, "rate_limited", "Too many.", **headers))
    with Client(server.url) as client, pytest.raises(RequestRefused, match="Too many"):
        client.list_jobs()
    assert len(server.asked("GET /jobs")) == 1


def test_a_submission_is_not_repeated_but_told_when_to(server, tmp_path):
    (tmp_path / "a.py").write_text("")
    server.on("POST /submit-async", error(429, "too_many_uploads", "Busy.", Retry_After="5"))
    with pytest.raises(RequestRefused, match=r"Busy\. Try again in 5 s\.") as refused:
        library.submit_tests_async(tmp_path, server.url)
    assert (refused.value.retry_after, refused.value.is_infrastructure) == (5.0, True)
    assert len(server.asked("POST /submit-async")) == 1
