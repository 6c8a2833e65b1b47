"""`ci-admin` beside a server and its containers."""

import io
import json
import shutil
import subprocess
import sys
import uuid
import zipfile

import docker
import httpx
import pytest
from docker.errors import NotFound

from support.admin_reports import codes, report
from support.engine import release
from support.instances import Instance
from support.live_server import START_SECONDS, free_port
from support.waiting import until_sync

# ---------------------------------------------------------------------- with a server and an engine


class Server:
    """`python -m ci_server` on an instance, with containers."""

    def __init__(self, instance):
        self.instance = instance
        self.prefix = f"t{uuid.uuid4().hex[:8]}-"
        self.settings = {"executor": "docker", "container_prefix": self.prefix}
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = None

    def start(self):
        with (self.instance.directory / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ci_server", "--port", str(self.port)],
                cwd=self.instance.directory,
                env=self.instance.environment(**self.settings),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        until_sync(self._is_ready, what="the server", seconds=START_SECONDS)
        return self

    def _is_ready(self):
        assert self.process.poll() is None, (self.instance.directory / "server.log").read_text()
        try:
            return httpx.get(f"{self.url}/ready", timeout=60).status_code == 200
        except httpx.TransportError:
            return False

    def kill(self):
        self.process.kill()
        self.process.wait()

    def terminate(self):
        self.process.terminate()
        self.process.wait(60)

    def submit(self, script):
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as project:
            project.writestr(
                "ci.toml", f"[jobs.test]\ncommand = {json.dumps(['sh', '-c', script])}\n"
            )
        answer = httpx.post(
            f"{self.url}/submit-async", files={"file": content.getvalue()}, timeout=60
        )
        assert answer.status_code < 300, answer.text
        return answer.json()["job_id"]

    def job(self, job_id):
        return httpx.get(f"{self.url}/jobs/{job_id}", timeout=60).json()

    def wait(self, job_id, *statuses):
        return until_sync(
            lambda: self.job(job_id), lambda job: job["status"] in statuses, f"job {job_id}", 60
        )

    def admin(self, *arguments):
        return self.instance.admin(*arguments, **self.settings)


@pytest.fixture
def engine():
    client = docker.from_env(version="auto")
    yield client
    client.close()


@pytest.fixture
def server(tmp_path, engine):
    instance = Instance(tmp_path / "ci", executor="docker")
    instance.directory.mkdir()
    server = Server(instance).start()
    yield server
    server.kill()
    label = f"ci-runner.instance={instance.instance_id()}"
    for entry in engine.api.containers(all=True, filters={"label": label}):
        remove(engine, entry["Id"])


def remove(engine, container):
    try:
        engine.api.remove_container(container, force=True, v=True)
    except NotFound:
        return


@pytest.mark.docker
def test_disaster_and_recovery(server, tmp_path):
    """Backed up while running; the disk is lost; the container goes on and is adopted again."""
    instance = server.instance
    done_before = server.submit("echo before")
    server.wait(done_before, "completed")
    running = server.submit("echo one; until test -e /workspace/go; do sleep 0.05; done; echo two")
    server.wait(running, "running")
    until_sync(lambda: instance.log(running), lambda log: b"one\n" in log, "the first line")
    assert server.admin("doctor", "--deep").stdout.endswith("2 jobs: healthy\n")
    assert server.admin("backup", tmp_path / "b.tar").returncode == 0
    refused = server.admin("restore", "--force", tmp_path / "b.tar")
    assert refused.returncode == 3
    assert "in use" in refused.stderr
    server.kill()
    shutil.rmtree(instance.data)
    for path in instance.directory.glob("ci.db*"):
        path.unlink()
    done = server.admin("restore", tmp_path / "b.tar")
    assert done.returncode == 0, done.stderr
    server.start()
    release(server, running)
    job = server.wait(running, "completed", "failed")
    assert (job["status"], job["exit_code"]) == ("completed", 0)
    assert instance.log(running) == b"one\ntwo\n"
    assert instance.log(done_before) == b"before\n"
    assert server.admin("doctor", "--deep").returncode == 0


@pytest.mark.docker
def test_jobs_that_come_and_go_are_no_findings(server):
    """The doctor, again and again, while short jobs run; with --fix, which must harm nothing."""
    jobs = [server.submit(f"echo {number}; mkdir output; echo x > output/x") for number in range(8)]
    finished = set()
    while len(finished) < len(jobs):
        done = server.admin("doctor", "--fix", "--deep", "--json")
        assert (done.returncode, codes(done)) == (0, []), done.stdout + done.stderr
        finished = {job for job in jobs if server.job(job)["status"] == "completed"}
    assert [server.instance.log(job) for job in jobs] == [
        f"{number}\n".encode() for number in range(8)
    ]


@pytest.mark.docker
def test_containers_without_jobs(server, engine):
    instance = server.instance
    server.terminate()  # when one is killed, its lease is a finding after a while
    mine = {"ci-runner.instance": instance.instance_id(), "ci-runner.log-base": "0"}
    orphan = str(uuid.uuid4())
    job = {
        **mine,
        "ci-runner.role": "job",
        "ci-runner.job": orphan,
        "ci-runner.attempt": "1",
        "ci-runner.epoch": "1",
    }
    foreign = {**job, "ci-runner.instance": f"other-{uuid.uuid4()}"}
    made = [
        make(engine, f"{server.prefix}{orphan}", job),
        make(engine, f"{server.prefix}setup-x", {**mine, "ci-runner.role": "setup"}),
        make(engine, f"{server.prefix}foreign", foreign),
    ]
    try:
        done = server.admin("doctor", "--json")
        assert codes(done) == ["engine_leftover", "workload_orphan"]
        done = server.admin("doctor", "--fix", "--json")
        assert (done.returncode, report(done)["healthy"]) == (0, True)
        left = {entry["Id"] for entry in engine.api.containers(all=True)}
        assert [container in left for container in made] == [False, False, True]
    finally:
        for container in made:
            remove(engine, container)


def make(engine, name, labels):
    return engine.api.create_container(
        "ci-runner:latest", command="true", name=name, labels=labels
    )["Id"]
