"""`job-worker`, as a user calls it, with the certificates that it makes."""

import json
import os
import re
import subprocess
import sys

import pytest

from support.job_worker import WorkerServer
from support.live_server import ROOT
from support.waiting import until_sync

ID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
TIME = r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


class Made:
    """The directory of `job-worker certs init`, where a server reads it."""

    def __init__(self, directory):
        self.directory = directory


@pytest.fixture(scope="module")
def server(tmp_path_factory, python_for_jobs):
    directory = tmp_path_factory.mktemp("command-line")
    done = call(directory, "certs", "init", "--dir", "certs", "--host", "worker.example")
    assert done.returncode == 0, done.stderr
    made = Made(directory / "certs")
    with WorkerServer(directory, made, python=python_for_jobs) as server:
        yield server


def call(directory, *arguments, server=None, **environment):
    """Runs it in this directory; `certs/` is there."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("JOB_")}
    variables = {"PYTHONPATH": str(ROOT), **environment}
    if server is not None:
        variables.setdefault("JOB_WORKER_SERVER", server.target)
    return subprocess.run(
        [sys.executable, "-m", "ci_worker", *map(str, arguments)],
        cwd=directory,
        env={**plain, **variables},
        capture_output=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def job_worker(server):
    def run(*arguments, code=0, **environment):
        done = call(server.live.directory, *arguments, server=server, **environment)
        assert done.returncode == code, done.stderr.decode()
        return done

    return run


def created(job_worker, *command):
    """The id of a new job."""
    text = job_worker("create", *command).stdout.decode()
    found = re.fullmatch(
        rf"Job created:\nID: ({ID})\nCommand: (.*)\nStatus: INITIALIZING\nStartTime: {TIME}\n", text
    )
    assert found is not None, text
    return found[1]


def test_certificates_are_for_their_owner_only(server):
    directory = server.certificates.directory
    pairs = ("ca", "server", "admin-client", "viewer-client", "client")
    names = {f"{name}-{kind}.pem" for name in pairs for kind in ("cert", "key")}
    assert {path.name for path in directory.iterdir()} == names | {"README.txt"}
    assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o600}
    admin = (directory / "admin-client-cert.pem").read_bytes()
    assert (directory / "client-cert.pem").read_bytes() == admin
    assert "can access the\njobs of all tenants" in (directory / "README.txt").read_text()


def test_a_job_from_its_beginning_to_its_end(job_worker):
    job_id = created(job_worker, "--max-cpu", "50", "sh", "-c", "echo out; echo err >&2", "--json")
    stream = job_worker("stream", job_id)
    assert stream.stdout.endswith(b"\nout\nerr\n")
    line = f"Streaming logs for job {job_id} (Press Ctrl+C to exit):\n"
    assert stream.stderr.decode() == line
    text = job_worker("get", job_id).stdout.decode()
    assert re.fullmatch(
        rf"Id: {job_id}\nCommand: sh -c echo out; echo err >&2 --json\nStatus: COMPLETED\n"
        rf"Started At: {TIME}\nEnded At: {TIME}\nMaxCPU: 50\nMaxMemory: 512\nMaxIOBPS: 0\n"
        r"ExitCode: 0\n",
        text,
    ), text
    (line,) = [one for one in job_worker("list").stdout.decode().splitlines() if job_id in one]
    assert re.fullmatch(rf"{job_id} COMPLETED StartTime: {TIME} Command: sh -c echo out; .*", line)


def test_a_job_that_is_stopped(job_worker):
    job_id = created(job_worker, "sleep", "100")
    assert b"ExitCode" not in job_worker("get", job_id[:13]).stdout
    text = job_worker("stop", job_id).stdout.decode()
    assert text == f"Job stopped successfully:\nID: {job_id}\nStatus: STOPPED\n"
    failed = job_worker("stop", job_id, code=1)
    message = f"job is not running: {job_id} (current status: STOPPED)"
    assert (failed.stdout, failed.stderr.decode()) == (b"", f"Error: {message}\n")


@pytest.mark.parametrize("option", ["--follow=false", "-f=false"])
def test_a_stream_that_does_not_wait(job_worker, option):
    job_id = created(job_worker, "sleep", "100")
    job_worker("stream", option, job_id)
    job_worker("stop", job_id)
    followed = job_worker("stream", "-f", job_id, "--follow").stdout
    assert followed == job_worker("stream", job_id, option).stdout


def test_json_everywhere(job_worker):
    job = json.loads(job_worker("--json", "create", "echo", "hello").stdout)
    assert (job["command"], job["args"], job["exitCode"]) == ("echo", ["hello"], 0)
    chunks = [
        json.loads(line) for line in job_worker("stream", "--json", job["id"]).stdout.splitlines()
    ]
    assert chunks[-1].keys() == {"payload"}
    job = json.loads(job_worker("get", "--json", job["id"]).stdout)
    assert (job["status"], job["maxIOBPS"]) == ("COMPLETED", 0)
    jobs = json.loads(job_worker("list", "--json").stdout)["jobs"]
    assert job in jobs
    failed = job_worker("get", "999", "--json", code=1)
    assert json.loads(failed.stderr) == {
        "code": "NOT_FOUND",
        "message": "job not found: 999",
        "details": [],
    }


def test_who_one_is(server, job_worker, tmp_path):
    viewer = ["--cert", "certs/viewer-client-cert.pem", "--key", "certs/viewer-client-key.pem"]
    refused = job_worker("create", *viewer, "true", code=1).stderr.decode()
    assert refused == "Error: role viewer is not allowed to perform operation create_job\n"
    job_worker(*viewer, "list")
    issued = ["certs", "issue", "--role", "admin", "--name", "ann@example.com", "--org", "acme"]
    assert b"certs/ann@example.com-client-key.pem" in job_worker(*issued).stdout
    ann = [f"--{what}=certs/ann@example.com-client-{what}.pem" for what in ("cert", "key")]
    assert job_worker("list", *ann).stdout == b"No jobs found\n"
    job_worker("certs", "revoke", "certs/ann@example.com-client-cert.pem")
    until_sync(
        lambda: call(server.live.directory, "list", *ann, server=server).stderr.decode(),
        lambda told: told == "Error: certificate revoked\n",
        "the revocation",
    )
    missing = job_worker("list", JOB_WORKER_CERT_PATH=str(tmp_path), code=1).stderr.decode()
    assert missing.startswith(f"Error: {tmp_path}/ca-cert.pem cannot be read")


def test_flag_before_environment_before_default(job_worker, server):
    nowhere = "localhost:1"
    job_worker("list", "--server", server.target, JOB_WORKER_SERVER=nowhere)
    job_worker("-s", server.target, "list", JOB_WORKER_SERVER=nowhere)
    failed = job_worker("list", JOB_WORKER_SERVER=nowhere, code=1).stderr.decode()
    assert failed.startswith("Error: localhost:1 cannot be reached")
    assert "Traceback" not in failed
    directory = str(server.certificates.directory)
    job_worker("list", JOB_WORKER_CERT_PATH=directory)


def test_an_authority_is_not_replaced(job_worker):
    failed = job_worker("certs", "init", "--dir", "certs", code=1).stderr.decode()
    assert failed.startswith("Error: certs already has a certificate authority")


@pytest.mark.parametrize(
    "arguments",
    [
        ("issue", "--role", "root", "--name", "x"),
        ("issue", "--role", "admin"),
        ("issue", "--role", "admin", "--name", "x" * 100),
        ("issue", "--role", "admin", "--name", "x", "--dir", "nowhere"),
        ("revoke", "neither file nor number"),
        ("revoke", "--", "-5"),
    ],
)
def test_what_certs_refuses(job_worker, arguments):
    failed = job_worker("certs", *arguments, code=1).stderr.decode()
    assert failed.startswith("Error: ")
    assert "Traceback" not in failed


def test_the_proto_for_others(job_worker, tmp_path):
    job_worker("proto", tmp_path)
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from api import worker_pb2, worker_pb2_grpc\n"
        "from ci_common.worker_api import worker_pb2 as own\n"
        "assert worker_pb2.__file__.startswith(sys.argv[1])\n"
        "assert worker_pb2.DESCRIPTOR.serialized_pb == own.DESCRIPTOR.serialized_pb\n"
    )
    subprocess.run([sys.executable, "-c", script, tmp_path], cwd=ROOT, check=True)
    written = (tmp_path / "api" / "proto" / "worker.proto").read_text()
    assert written == (ROOT / "api" / "proto" / "worker.proto").read_text()


def test_arguments_that_no_message_can_hold(job_worker):
    failed = job_worker("create", "echo", os.fsdecode(b"\xff"), code=1).stderr
    assert failed == b"Error: command and arguments must be UTF-8\n"
    assert b"2147483647" in job_worker("create", "--max-cpu", 1 << 31, "true", code=2).stderr
