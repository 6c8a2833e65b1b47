"""Jobs of the Job Worker service: what is made, told and stopped."""

import re

import pytest

from ci_common.worker_api import worker_pb2 as messages
from support.job_worker import refusal
from support.waiting import until_sync

TIME = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d\d\dZ")
ABSENT = "00000000-0000-4000-8000-000000000000"


def test_a_job_from_its_beginning_to_its_end(worker, client):
    made = client.create("sh", "-c", 'echo "$0 $1"; pwd; ls -A', "a b", "$HOME")
    assert made.command == "sh"
    assert list(made.args) == ["-c", 'echo "$0 $1"; pwd; ls -A', "a b", "$HOME"]
    assert (made.status, made.endTime, made.exitCode) == ("INITIALIZING", "", 0)
    assert (made.maxCPU, made.maxMemory, made.maxIOBPS) == (100, 512, 0)
    assert TIME.fullmatch(made.startTime)
    job = client.ended(made.id)
    assert (job.status, job.exitCode, list(job.args)) == ("COMPLETED", 0, list(made.args))
    assert made.startTime <= job.startTime <= job.endTime
    assert TIME.fullmatch(job.endTime)
    lines = client.output(made.id).splitlines()
    assert lines[-2] == b"a b $HOME", "no shell of ours looks at arguments"
    assert lines[-1].startswith(b"/"), "nothing is in the directory"
    seen = worker.live.job(made.id)
    assert (seen["status"], seen["package_size"]) == ("completed", None)


def test_calls_are_counted_by_method_and_status(worker, client):
    refusal(lambda: client.create(""))
    name = "ci_grpc_requests_total"
    method = 'method="/job_worker.JobService/CreateJob"'
    worker.live.until(
        lambda: worker.live.http.get("/metrics").text,
        lambda text: f'{name}{{code="INVALID_ARGUMENT",{method}}}' in text,
        "the metrics",
    )


def test_the_commands_own_exit_code(client):
    job = client.ended(client.create("sh", "-c", "exit 7").id)
    assert (job.status, job.exitCode) == ("FAILED", 7)
    job = client.ended(client.create("sh", "-c", "kill -9 $$").id)
    assert (job.status, job.exitCode) == ("FAILED", 137), "the signal was none of ours"


def test_a_command_that_is_not_there(client):
    job = client.ended(client.create("nosuchcommand", "-x").id)
    assert (job.status, job.exitCode) == ("FAILED", 127)
    assert client.output(job.id).endswith(b"\ncommand not found in PATH: nosuchcommand\n")


@pytest.mark.parametrize(
    ("command", "limits", "message"),
    [
        (("",), {}, "command: must begin with the name of a program"),
        (("a\0b",), {}, "NUL"),
        (("true", "a\0b"), {}, "NUL"),
        (("true",), {"maxCPU": -1}, "maxCPU must be 0"),
        (("true",), {"maxMemory": -5}, "maxMemory must be 0"),
        (("true",), {"maxMemory": 1}, "memory"),
        (("true",), {"maxIOBPS": 5}, "block_io"),
    ],
)
def test_what_no_job_can_be(client, command, limits, message):
    code, told = refusal(lambda: client.create(*command, **limits))
    assert code == "INVALID_ARGUMENT"
    assert message in told


def test_a_request_that_is_too_large(client):
    assert refusal(lambda: client.create("true", "x" * (2 << 20)))[0] == "RESOURCE_EXHAUSTED"
    assert client.create("true", "x" * 1000).id


def test_a_job_that_is_stopped(client):
    made = client.create("sh", "-c", "trap '' TERM; echo begun; while :; do sleep 0.1; done")
    until_sync(lambda: client.output(made.id, follow="false"), lambda log: b"begun" in log, "begun")
    assert client.running(made.id).exitCode == 0
    stopped = client.stop(made.id)
    assert (stopped.id, stopped.status, stopped.exitCode) == (made.id, "STOPPED", -1)
    assert TIME.fullmatch(stopped.endTime)
    assert client.get(made.id).endTime == stopped.endTime
    message = f"job is not running: {made.id} (current status: STOPPED)"
    assert refusal(lambda: client.stop(made.id)) == ("FAILED_PRECONDITION", message)


def test_a_job_that_has_ended_cannot_be_stopped(client):
    job = client.ended(client.create("true").id)
    message = f"job is not running: {job.id} (current status: COMPLETED)"
    assert refusal(lambda: client.stop(job.id)) == ("FAILED_PRECONDITION", message)


def test_the_wish_to_stop_outlives_the_call(own_worker):
    with own_worker(controller="external") as server, server.client() as client:
        made = client.create("sleep", "60")
        call = client.stub.StopJob.future(messages.StopJobReq(id=made.id), timeout=60)
        wish = "SELECT 1 FROM jobs WHERE cancel_requested_at IS NOT NULL"
        until_sync(lambda: server.live.execute(wish), what="the wish")
        call.cancel()
        assert client.get(made.id).status == "INITIALIZING"
        assert server.health("") == "SERVING"
        assert server.health("job_worker.JobService") == "NOT_SERVING", "no controller runs"
        server.live.spawn_controller()
        job = client.ended(made.id)
        assert (job.status, job.exitCode) == ("STOPPED", -1)


@pytest.mark.parametrize("job_id", ["999", "", "nope", ABSENT, "%%%%", "x" * 1000])
@pytest.mark.parametrize("call", ["get", "stop", "output"])
def test_a_job_that_there_is_not(client, call, job_id):
    message = f"job not found: {job_id[:64]}"
    assert refusal(lambda: getattr(client, call)(job_id)) == ("NOT_FOUND", message)


def test_a_job_by_the_beginning_of_its_id(client):
    job = client.ended(client.create("true").id)
    assert client.get(job.id[:20]).id == job.id
    assert client.get(job.id[:9].upper()).id == job.id
    assert client.output(job.id[:12]) == client.output(job.id)
    assert refusal(lambda: client.get(job.id[:3]))[0] == "NOT_FOUND"


def test_an_ambiguous_beginning(worker, client):
    wanted = {client.create("true").id[:4] for _ in range(2)}
    for prefix in wanted:
        first = worker.live.execute(
            "SELECT min(job_id) FROM jobs WHERE job_id LIKE ?", f"{prefix}%"
        )
        twin = f"{prefix}ffff-0000-4000-8000-{first[0][0][-12:]}"
        worker.live.execute(
            "INSERT INTO jobs (job_id, tenant, user, spec, status, created_at, priority, ended_at, "
            "reason, message, log_size, exit_code) SELECT ?, tenant, user, spec, 'completed', "
            "created_at, priority, created_at, 'exit', '', 0, 0 FROM jobs WHERE job_id = ?",
            twin,
            first[0][0],
        )
        code, message = refusal(lambda prefix=prefix: client.get(prefix))
        assert code == "INVALID_ARGUMENT"
        assert "more characters" in message
        assert client.get(twin[:9]).id == twin


def test_tenants_know_nothing_of_each_other(worker, client):
    made = client.create("true")
    with worker.client(worker.certificates.client("eve", "globex")) as other:
        for call in (other.get, other.stop, other.output):
            assert refusal(lambda call=call: call(made.id)) == (
                "NOT_FOUND",
                f"job not found: {made.id}",
            )
        assert made.id not in {job.id for job in other.list()[0]}
        own = other.create("true")
        assert [job.id for job in other.list()[0]] == [own.id]
    with worker.client(worker.certificates.client("olga", "local")) as operator:
        assert operator.get(made.id).id == made.id
        assert {own.id, made.id} <= {job.id for job in operator.list()[0]}


def test_pages_of_a_list(worker):
    with worker.client(worker.certificates.client("ann", "pages")) as client:
        assert client.list() == ([], None)
        made = [client.create("true", str(number)).id for number in range(5)]
        assert [job.id for job in client.list()[0]] == made[::-1]
        first, token = client.list(limit=2)
        second, last = client.list(limit=3, page_token=token)
        assert [job.id for job in (*first, *second)] == made[::-1]
        assert last is None
        for metadata in ({"limit": 0}, {"limit": 1001}, {"limit": "x"}, {"page_token": ABSENT}):
            assert refusal(lambda m=metadata: client.list(**m))[0] == "INVALID_ARGUMENT"


def test_a_list_fits_into_a_message(worker):
    with worker.client(worker.certificates.client("ann", "large")) as client:
        made = [client.create("true", "x" * 900_000).id for _ in range(5)]
        seen, token, pages = [], None, 0
        while pages == 0 or token:
            jobs, token = client.list(**({"page_token": token} if token else {}))
            seen += [job.id for job in jobs]
            pages += 1
        assert seen == made[::-1]
        assert pages == 2


def test_the_door_is_recorded_and_audited(worker, client):
    made = client.create("true")
    client.ended(made.id)
    (row,) = worker.live.execute("SELECT door, tenant, user FROM jobs WHERE job_id = ?", made.id)
    assert row == ("grpc", "acme", "ann")
    entries = worker.live.execute(
        "SELECT action, credential, address FROM audit WHERE job_id = ?", made.id
    )
    assert [entry[0] for entry in entries] == ["submit"]
    assert entries[0][1].startswith("certificate:")
    assert entries[0][2] == "127.0.0.1"
