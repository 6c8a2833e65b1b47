"""CI_EXECUTOR=process: jobs as plain processes of this machine."""

import base64
import json
import os
import pwd
import shutil
import tempfile
from pathlib import Path

import pytest

from support import events, projects
from support.archives import zip_bytes
from support.failure_lines import without_failure_line
from support.live_server import LiveServer
from support.process_python import UNPRIVILEGED
from support.storage_losses import data_deleted


@pytest.fixture(scope="module")
def processes(tmp_path_factory, python_for_jobs):
    with LiveServer(
        tmp_path_factory.mktemp("processes"),
        python=python_for_jobs,
        executor="process",
        cancel_grace_seconds=1,
        environment={"DOCKER_HOST": "unix:///nonexistent/docker.sock"},
    ) as server:
        yield server.start().ready()


def work_directory(server, job_id):
    return Path(tempfile.gettempdir(), f"ci-runner-{server.instance_id()}", job_id)


def leaves_nothing(server, job_id):
    places = [work_directory(server, job_id), server.data / "workloads" / job_id]
    server.until(lambda: [path for path in places if path.exists()], lambda left: not left)


def test_a_job_that_passes(processes):
    job, log = processes.run(projects.ANY, projects.shell("echo out; echo err >&2; cat readme.txt"))
    assert (job["status"], job["success"], job["exit_code"]) == ("completed", True, 0)
    assert log.startswith(b"out\nerr\na project")
    leaves_nothing(processes, job["job_id"])


def test_a_job_that_fails(processes):
    job, _ = processes.run(projects.ANY, projects.shell("exit 3"))
    assert (job["status"], job["success"], job["exit_code"]) == ("completed", False, 3)


def test_the_job_is_not_root(processes):
    job, log = processes.run(projects.ANY, projects.shell("id -u; touch new && stat -c %u . new"))
    assert job["success"] is True, log
    own = pwd.getpwnam(UNPRIVILEGED).pw_uid if os.geteuid() == 0 else os.getuid()
    assert log.decode().split() == [str(own)] * 3


def test_the_job_does_not_see_the_servers_environment(processes):
    _, log = processes.run(projects.ANY, ["env"])
    assert b"CI_DB_PATH" not in log
    assert b"DOCKER_HOST" not in log
    assert b"CI=true" in log


def test_cancel_ends_every_process_of_the_job(processes):
    script = "sleep 1000 & echo $!; echo $$; wait"
    form = processes.form(projects.ANY, projects.shell(script))
    with events.streaming(processes.http, "POST", "/submit-stream", **form) as stream:
        job_id = next(stream).data["job_id"]
        pids = processes.until(
            lambda: processes.log(job_id).decode().split(), lambda pids: len(pids) == 2
        )
        processes.http.delete(f"/jobs/{job_id}")
        assert list(stream)[-1].data["status"] == "cancelled"
    processes.until(
        lambda: [pid for pid in pids if Path("/proc", pid).exists()], lambda left: not left
    )
    leaves_nothing(processes, job_id)


def test_timeout(processes):
    project = projects.table("[tool.ci.jobs.test]\ncommand = 'echo on; sleep 99'\ntimeout = 2\n")
    job, log = processes.run(project)
    assert (job["status"], job["success"], job["reason"]) == ("failed", False, "timeout")
    assert without_failure_line(log, job) == b"on\n"


def test_limits_that_no_process_has_are_told(processes):
    limits = "memory = 64\nnetwork = 'none'"
    project = projects.table(f"[tool.ci.jobs.test]\ncommand = 'echo on'\n{limits}\n")
    job, log = processes.run(project)
    assert job["success"] is True
    *told, output = log.decode().splitlines()
    assert [line.partition(" is not enforced: ")[0] for line in told] == [
        "ci: memory",
        "ci: network",
    ]
    assert output == "on"
    assert "note: not enforced: memory, cpu, " in processes.admin("doctor").stdout


def test_files_keep_their_modes_and_links(processes):
    project = zip_bytes(
        {"run.sh": "#!/bin/sh\necho I run\n", "a.txt": "a\n"},
        links={"link": "a.txt"},
        modes={"run.sh": 0o755},
    )
    job, log = processes.run(project, projects.shell("./run.sh; cat link; readlink link"))
    assert (job["success"], log) == (True, b"I run\na\na.txt\n")


def test_a_command_that_is_not_there(processes):
    job, log = processes.run(projects.ANY, ["no-such-command"])
    assert (job["status"], job["exit_code"]) == ("completed", 127)
    assert b"no-such-command" in log


def test_the_bytes_of_a_log_are_the_jobs_own(processes):
    content = json.dumps(list(range(5000))).encode() + b"\xff\x00\r\n\x1b[0m no end"
    job, log = processes.run(zip_bytes({"content": content}), ["cat", "content"])
    assert (job["success"], log) == (True, content)


def test_the_jobs_user_may_open_its_output_again(processes):
    script = "echo out; echo err > /dev/stderr; echo on > /dev/stdout; printf end"
    job, log = processes.run(projects.ANY, projects.shell(script))
    assert (job["success"], log) == (True, b"out\nerr\non\nend")


def test_a_job_that_writes_more_than_is_kept_is_in_the_log_to_the_byte(processes):
    """And is still written while the server is killed and started again: nothing is lost."""
    script = "seq -f %015.0f 0 4599999"
    job_id = processes.submit(projects.ANY, projects.shell(script))
    processes.until(lambda: len(processes.log(job_id)) > 1 << 20)
    processes.kill()
    processes.start().ready()
    assert processes.finished(job_id)["success"] is True
    log = processes.log(job_id)
    assert len(log) == 4_600_000 * 16
    assert log == b"".join(b"%015d\n" % number for number in range(4_600_000))
    leaves_nothing(processes, job_id)


def test_a_job_outlives_the_server_and_is_adopted(tmp_path, python_for_jobs):
    with LiveServer(tmp_path / "own", python=python_for_jobs, executor="process") as server:
        server.start().ready()
        job_id = server.submit(projects.ANY, projects.WAITING)
        server.under_way(job_id, b"waiting")
        server.kill()
        (work_directory(server, job_id) / "go").touch()
        server.start()
        assert server.finished(job_id)["success"] is True
        assert server.log(job_id) == b"waiting\nwent on\n"


def test_secrets(processes):
    token = "correct-horse-battery"
    command = ["sh", "-c", "echo $TOKEN; cat $CI_SECRETS_DIR/TOKEN"]
    form = processes.form(zip_bytes({"a.txt": b"a"}), command)
    value = base64.b64encode(token.encode()).decode()
    form["data"]["secrets"] = json.dumps({"TOKEN": {"value": value}})
    job_id = processes.http.post("/submit-async", **form).json()["job_id"]
    assert processes.finished(job_id)["success"]
    assert processes.log(job_id) == b"*" * 21 + b"\n" + b"*" * 21
    leaves_nothing(processes, job_id)
    secrets = work_directory(processes, job_id).with_name(f"{job_id}.secrets")
    processes.until(lambda: not secrets.exists())
    for path in processes.directory.rglob("*"):
        assert not path.is_file() or token.encode() not in path.read_bytes(), path


def test_jobs_wait_for_the_data_directory(tmp_path, python_for_jobs):
    """In which this executor keeps what it knows of them, too."""
    with LiveServer(tmp_path / "own", python=python_for_jobs, executor="process") as server:
        server.start().ready()
        with data_deleted(server):
            answer = server.http.post("/submit-async", **server.form(projects.ANY))
            assert answer.json()["error"]["code"] == "data_directory_unavailable"
        assert server.run(projects.ANY, ["echo", "next"])[1] == b"next\n"
        shutil.rmtree(server.data)
        server.data.mkdir()
        assert server.admin("adopt").returncode == 0
        assert server.run(projects.ANY, ["echo", "adopted"])[1] == b"adopted\n"
        assert "Traceback" not in server.log_path.read_text()
