"""`ci-admin` as operators use it: processes on real data directories."""

import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
import zipfile

import docker
import httpx
import pytest
from docker.errors import NotFound

from ci_common.job import JobStatus
from ci_persistence.database_lock import DatabaseLock
from support.instances import Instance
from support.mounts import run_on_tmpfs
from support.waiting import until_sync

AN_HOUR = 3601


@pytest.fixture
def instance(tmp_path):
    instance = Instance(tmp_path / "ci")
    instance.jobs = {
        "finished": instance.add(log=b"line\n" * 1000, artifacts={"output/a": b"aaa"}),
        "queued": instance.add(JobStatus.QUEUED),
        "running": instance.add(JobStatus.RUNNING, log=b"so far\n"),
    }
    return instance


def report(done):
    return json.loads(done.stdout)


def codes(done):
    return sorted(finding["code"] for finding in report(done)["findings"])


def age(path, seconds=AN_HOUR):
    """Make a file look as if nobody had written to it for so long."""
    then = time.time() - seconds
    os.utime(path, (then, then))


# ---------------------------------------------------------------------- backup and restore


def test_backup_and_restore(instance, tmp_path):
    file = tmp_path / "b.tar.gz"
    done = instance.admin("backup", file)
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 finished and 2 live jobs" in done.stdout
    other = Instance(tmp_path / "other")
    other.directory.mkdir()
    done = other.admin("restore", file)
    assert (done.returncode, done.stderr) == (0, "")
    assert "restored 3 jobs, 2 of them live" in done.stdout
    assert other.statuses() == instance.statuses()
    assert other.log(instance.jobs["finished"]) == b"line\n" * 1000
    assert other.admin("doctor", "--deep").returncode == 0


def test_moving_to_other_settings(instance, tmp_path):
    """The data directory may be anywhere, on another file system too."""
    file = tmp_path / "b.tar"
    assert instance.admin("backup", file).returncode == 0
    data = tmp_path / "elsewhere" / "data"
    other = Instance(tmp_path / "other", data_dir=data)
    other.directory.mkdir()
    assert other.admin("restore", file, data_dir=data).returncode == 0
    assert other.log(instance.jobs["finished"]) == b"line\n" * 1000
    assert other.admin("doctor", data_dir=data).returncode == 0


def test_a_backup_of_something_damaged_says_so(instance, tmp_path):
    instance.stores.logs.delete(instance.jobs["finished"])
    done = instance.admin("backup", tmp_path / "b.tar")
    assert done.returncode == 1
    assert "warning: the log of job" in done.stderr
    assert (tmp_path / "b.tar").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "Usage"),
        (["backup"], 2, "Missing argument"),
        (["restore", "--nonsense", "x"], 2, "No such option"),
        (["restore", "missing.tar"], 3, "ci-admin: there is no file missing.tar"),
        (["backup", "missing/b.tar"], 3, "the directory must exist"),
    ],
)
def test_what_cannot_be_done(instance, arguments, code, words):
    done = instance.admin(*arguments)
    assert done.returncode == code
    assert words in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [["doctor"], ["doctor", "--fix"], ["backup", "b.tar"]])
def test_looking_makes_no_database(tmp_path, command):
    empty = Instance(tmp_path / "empty")
    empty.directory.mkdir()
    done = empty.admin(*command)
    assert done.returncode == 3
    assert "there is no database" in done.stderr
    assert list(empty.directory.iterdir()) == []


def test_a_setting_that_is_none(instance):
    done = instance.admin("doctor", max_concurrent_jobs="many")
    assert done.returncode == 2
    assert "CI_MAX_CONCURRENT_JOBS: " in done.stderr
    assert "Traceback" not in done.stderr


def test_no_room_for_the_backup(instance, tmp_path):
    small = tmp_path / "small"
    shell = f'"$PYTHON" -m ci_admin backup {small}/b.tar || echo $?; ls -A'
    done = run_on_tmpfs(small, "40k", shell, instance.environment())
    assert "No space left" in done.stderr
    assert done.stdout == "3\n"


def test_no_room_for_the_restore(instance, tmp_path):
    file = tmp_path / "b.tar"
    assert instance.admin("backup", file).returncode == 0
    small = tmp_path / "small"
    other = Instance(small)
    shell = f'"$PYTHON" -m ci_admin restore {file} || echo $?; find . -type f ! -name "*-lock"'
    done = run_on_tmpfs(small, "60k", shell, other.environment())
    assert "ci-admin: " in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == "3\n"


def test_ctrl_c_leaves_nothing_behind(instance, tmp_path):
    """The backup waits for its reader: a pipe stands where an artifact should be."""
    job = instance.jobs["finished"]
    (stored,) = (instance.data / "artifacts" / job[:2] / job).iterdir()
    stored.unlink()
    os.mkfifo(stored)
    process = subprocess.Popen(
        [sys.executable, "-m", "ci_admin", "backup", str(tmp_path / "b.tar")],
        env=instance.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until_sync((tmp_path / "b.tar.rows.part").exists, what="the copy of the rows")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert [path.name for path in tmp_path.iterdir()] == ["ci"]


# ---------------------------------------------------------------------- doctor


def test_a_healthy_instance(instance):
    done = instance.admin("doctor", "--deep")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "3 jobs: healthy"
    assert "1 running jobs have no container or process" in done.stdout
    assert report(instance.admin("doctor", "--json"))["healthy"] is True


DAMAGES = {
    "log_missing": lambda i: i.stores.logs.delete(i.jobs["finished"]),
    "log_short": lambda i: i.execute("UPDATE jobs SET log_size = 5001 WHERE log_size = 5000"),
    "artifact_damaged": lambda i: i.stores.artifacts.delete(i.jobs["finished"]),
    "package_missing": lambda i: i.stores.packages.delete(i.jobs["queued"]),
}


@pytest.mark.parametrize("code", DAMAGES)
def test_damage_is_told_and_nothing_is_repaired_away(instance, code):
    DAMAGES[code](instance)
    before = instance.files(), instance.statuses()
    done = instance.admin("doctor", "--fix", "--json")
    assert done.returncode == 1
    assert codes(done) == [code]
    assert [finding["fixed"] for finding in report(done)["findings"]] == [False]
    assert (instance.files(), instance.statuses()) == before


def artifact_file(instance):
    job = instance.jobs["finished"]
    (path,) = (instance.data / "artifacts" / job[:2] / job).iterdir()
    return path


DEEP_DAMAGES = {
    "artifact_damaged": lambda i: artifact_file(i).write_bytes(b"bbb"),
    "package_damaged": lambda i: i.write_package(i.jobs["queued"], b"another zip"),
}


@pytest.mark.parametrize("code", DEEP_DAMAGES)
def test_checksums_are_compared_when_asked_for(instance, code):
    DEEP_DAMAGES[code](instance)
    assert instance.admin("doctor").returncode == 0
    done = instance.admin("doctor", "--deep", "--json")
    assert done.returncode == 1
    assert codes(done) == [code]


def test_a_damaged_archive_of_a_log(instance):
    job = instance.jobs["finished"]
    instance.stores.logs.compress(job, 5000)
    (archive,) = (instance.data / "logs").rglob("*.zst")
    content = bytearray(archive.read_bytes())
    content[10] ^= 0xFF
    archive.write_bytes(content)
    assert codes(instance.admin("doctor", "--deep", "--json")) == ["log_damaged"]
    assert archive.exists()


def orphans(instance):
    """One of every kind; the file of each."""
    job = str(uuid.uuid4())
    instance.write_package(job)
    instance.write_log(job, b"whose?")
    instance.write_artifacts(job, {"x": b"x"})
    instance.write_package(instance.jobs["finished"])
    staging = instance.data / "staging"
    (staging / "1.part").write_bytes(b"half an upload")
    (staging / "artifacts" / f"{job}.1").mkdir()
    (instance.data / "restore-20200101").mkdir()
    instance.execute("UPDATE controller_lease SET holder = 'dead', expires_at = '2020-01-01'")
    instance.execute("UPDATE finished_totals SET jobs = 77")
    instance.execute("UPDATE tenant_totals SET log_bytes = 77")
    return job


ORPHANS = [
    *("artifacts_orphan", "lease_stale", "log_orphan", "package_orphan", "package_orphan"),
    *("staging_leftover", "staging_leftover", "staging_leftover", "totals_wrong"),
]


def test_what_is_left_over_is_told_and_removed_when_asked(instance):
    whole = instance.files()
    orphans(instance)
    done = instance.admin("doctor", "--json")
    assert done.returncode == 1
    assert codes(done) == ORPHANS
    assert {finding["repairable"] for finding in report(done)["findings"]} == {True}
    done = instance.admin("doctor")
    assert done.stdout.endswith(f"3 jobs: {len(ORPHANS)} problems; --fix repairs 9 of them\n")
    done = instance.admin("doctor", "--fix")
    assert (done.returncode, done.stderr) == (0, "")
    assert len([line for line in done.stdout.splitlines() if line.startswith("fixed: ")]) == 9
    assert instance.files() == whole
    assert instance.execute("SELECT holder FROM controller_lease") == [(None,)]
    assert instance.execute("SELECT jobs FROM finished_totals") == [(1,)]
    assert instance.execute("SELECT log_bytes FROM tenant_totals") != [(77,)]
    assert instance.admin("doctor").returncode == 0


def test_while_a_server_runs_young_files_are_left_alone(instance):
    job = str(uuid.uuid4())
    instance.write_package(job)
    part = instance.data / "staging" / "1.part"
    part.write_bytes(b"an upload on its way")
    server = DatabaseLock(instance.database)
    assert server.try_share()
    try:
        done = instance.admin("doctor", "--fix", "--json")
        assert (done.returncode, codes(done)) == (0, [])
        age(part)
        age(instance.data / "packages" / f"{job}.zip")
        done = instance.admin("doctor", "--fix", "--json")
        assert (done.returncode, codes(done)) == (0, ["package_orphan", "staging_leftover"])
        assert report(done)["healthy"] is True
        assert not part.exists()
    finally:
        server.release()


def test_with_fix_no_server_can_start_meanwhile(instance):
    lock = DatabaseLock(instance.database)
    process = doctor_that_waits(instance)
    try:
        until_sync(lambda: not shared_for_a_moment(lock), what="the doctor's lock")
    finally:
        process.kill()
        process.wait()
    assert lock.try_alone()
    lock.release()


def doctor_that_waits(instance):
    """It is stuck at a pipe that stands where an artifact should be."""
    path = artifact_file(instance)
    path.unlink()
    os.mkfifo(path)
    return subprocess.Popen(
        [sys.executable, "-m", "ci_admin", "doctor", "--fix"],
        env=instance.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def shared_for_a_moment(lock):
    if lock.try_share():
        lock.release()
        return True
    return False


def test_a_database_that_is_damaged(instance):
    instance.execute("PRAGMA journal_mode=DELETE")
    with instance.database.open("r+b") as file:
        file.seek(4096 * 2)
        file.write(b"\xff" * 3000)
    done = instance.admin("doctor", "--json")
    assert done.returncode == 1
    assert codes(done) == ["database_damaged"]


def test_a_database_of_an_older_schema_is_not_migrated(instance):
    instance.execute("PRAGMA user_version=1")
    done = instance.admin("doctor")
    assert done.returncode == 3
    assert "start the server of this version once" in done.stderr


def test_the_disk_floor(instance):
    done = instance.admin("doctor", "--json", min_free_disk_mb=1 << 40)
    assert (done.returncode, codes(done)) == (1, ["disk_low"])


def test_an_engine_that_does_not_answer(instance, tmp_path):
    environment = instance.environment(executor="docker")
    environment["DOCKER_HOST"] = f"unix://{tmp_path}/none.sock"
    done = subprocess.run(
        [sys.executable, "-m", "ci_admin", "doctor", "--json"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, codes(done)) == (1, ["engine_unreachable"])
    assert "Containers were not compared" in report(done)["findings"][0]["message"]


def test_the_copy_of_a_running_instance_is_healthy(instance, tmp_path):
    file = tmp_path / "b.tar"
    assert instance.admin("backup", file).returncode == 0
    server = DatabaseLock(instance.database)
    assert server.try_share()
    copy = Instance(tmp_path / "copy")
    copy.directory.mkdir()
    refused = copy.admin("restore", file)
    assert refused.returncode == 3
    assert "--new-instance" in refused.stderr
    assert copy.admin("restore", "--new-instance", file).returncode == 0
    server.release()
    assert copy.admin("doctor", "--deep").returncode == 0
    assert set(copy.statuses().values()) == {"completed", "failed"}


# ---------------------------------------------------------------------- with a server and an engine


class Server:
    """`python -m ci_server` on an instance, with containers."""

    def __init__(self, instance):
        self.instance = instance
        self.prefix = f"t{uuid.uuid4().hex[:8]}-"
        self.settings = {"executor": "docker", "container_prefix": self.prefix}
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
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
        until_sync(self._is_ready, what="the server")
        return self

    def _is_ready(self):
        assert self.process.poll() is None, (self.instance.directory / "server.log").read_text()
        try:
            return httpx.get(f"{self.url}/ready").status_code == 200
        except httpx.TransportError:
            return False

    def kill(self):
        self.process.kill()
        self.process.wait()

    def submit(self, script):
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as project:
            project.writestr(
                "ci.toml", f"[jobs.test]\ncommand = {json.dumps(['sh', '-c', script])}\n"
            )
        answer = httpx.post(f"{self.url}/submit-async", files={"file": content.getvalue()})
        assert answer.status_code < 300, answer.text
        return answer.json()["job_id"]

    def job(self, job_id):
        return httpx.get(f"{self.url}/jobs/{job_id}").json()

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
    release(server.prefix, running)
    job = server.wait(running, "completed", "failed")
    assert (job["status"], job["exit_code"]) == ("completed", 0)
    assert instance.log(running) == b"one\ntwo\n"
    assert instance.log(done_before) == b"before\n"
    assert server.admin("doctor", "--deep").returncode == 0


def release(prefix, job_id):
    client = docker.from_env(version="auto")
    try:
        code, output = client.containers.get(f"{prefix}{job_id}").exec_run("touch /workspace/go")
        assert code == 0, output
    finally:
        client.close()


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
    server.kill()
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


# ------------------------------------------------------------------ usage


def test_usage_tells_what_a_tenant_has(instance):
    done = instance.admin("usage", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == [
        {
            "tenant": "local",
            "jobs": {"queued": 1, "initializing": 0, "running": 1, "finished": 1},
            "bytes": {"packages": 10, "logs": 5000, "artifacts": 3, "total": 5013},
        }
    ]
    lines = instance.admin("usage").stdout.splitlines()
    assert lines[0].split()[:5] == ["TENANT", "QUEUED", "INITIALIZING", "RUNNING", "FINISHED"]
    assert lines[1].split() == ["local", "1", "0", "1", "1", "0.0", "0.0", "0.0", "0.0"]


def test_usage_without_a_database(tmp_path):
    (tmp_path / "ci").mkdir()
    done = Instance(tmp_path / "ci").admin("usage")
    assert (done.returncode, done.stdout) == (3, "")
    assert "there is no database" in done.stderr
