"""Every fault of the server with every shape of output: the log is what the job wrote."""

import base64
import json
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from support import exact_output
from support.accepted_jobs import AcceptedJobs, project
from support.engine import LABEL_INSTANCE, LABEL_JOB, engine
from support.failure_lines import without_failure_line
from support.loop_disks import loop_disk
from support.nothing_left import half_done
from support.waiting import until_sync

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]

SOURCE = Path(exact_output.__file__).read_bytes()
SECONDS = 2.0
"""For about so long a job writes."""

SHAPES_TOLD = "invalid UTF-8, lines of 30 KB and of 5 MB, a secret, no newline at the end"


def submit_all(server, dice, shapes=exact_output.SHAPES, seconds=SECONDS, **table):
    """A job of each shape, at once."""
    accepted = AcceptedJobs(server)
    for shape in shapes:
        seed = f"{dice.random()}"
        command = ["python", "exact_output.py", seed, shape, str(seconds)]
        content = project({"command": command, **table}, {"exact_output.py": SOURCE})
        secret = {"TOKEN": {"value": base64.b64encode(exact_output.SECRET).decode()}}
        answer = server.http.post(
            "/submit-async",
            files={"file": ("project.zip", content, "application/zip")},
            data={"secrets": json.dumps(secret)} if shape == "secret" else None,
        )
        assert answer.status_code == 200, answer.text
        accepted.add(answer.json()["job_id"], exact_output.stored(seed, shape))
    return accepted


def assert_whole(rows):
    facts = {
        (row["status"], row["exit_code"], row["attempt"], row["log_dropped"])
        for row in rows.values()
    }
    assert facts == {("completed", 0, 1, 0)}, rows


def running_containers(server):
    with engine() as client:
        label = f"{LABEL_INSTANCE}={server.instance_id()}"
        return client.api.containers(filters={"label": label})


def until_some_run(server, accepted):
    for job in accepted.jobs[:2]:
        server.wait_status(job.job_id, "running", "completed")


@pytest.mark.fault(
    "server restarted under every shape of output",
    "`kill -9` or SIGTERM, and a restart after a random pause, twice, while jobs write "
    f"{SHAPES_TOLD}",
    "correct exit codes; nothing is missing",
    repeats=1,
)
@pytest.mark.parametrize("how", ["kill", "terminate"])
def test_restarted(make_server, settled, dice, how):
    server = make_server(max_concurrent_jobs=8).start().ready()
    accepted = submit_all(server, dice)
    until_some_run(server, accepted)
    for _ in range(2):
        time.sleep(dice.uniform(0, 2))  # the random point
        getattr(server, how)()
        time.sleep(dice.uniform(0, 1))  # the random point
        server.start()
    assert_whole(settled(accepted, server))


@pytest.mark.fault(
    "jobs end while no server runs",
    f"`kill -9`, and a restart once all containers have exited, with jobs that write {SHAPES_TOLD}",
    "correct exit codes; nothing is missing",
    repeats=1,
)
def test_away_at_the_end(make_server, settled, dice):
    server = make_server(max_concurrent_jobs=8).start().ready()
    accepted = submit_all(server, dice)
    for job in accepted.jobs:
        server.wait_status(job.job_id, "running", "completed")
    time.sleep(dice.uniform(0, 1))  # the random point
    server.kill()
    until_sync(lambda: running_containers(server), lambda found: not found, "the jobs' ends")
    server.start()
    assert_whole(settled(accepted, server))


@pytest.mark.fault(
    "server does not read while jobs end",
    f"SIGSTOP for 3 to 9 s at a random moment, with jobs that write {SHAPES_TOLD}",
    "nothing is missing",
    repeats=1,
)
def test_stalled(make_server, settled, dice):
    server = make_server(max_concurrent_jobs=8).start().ready()
    accepted = submit_all(server, dice)
    until_some_run(server, accepted)
    time.sleep(dice.uniform(0, SECONDS))  # the random point
    server.process.send_signal(signal.SIGSTOP)
    try:
        time.sleep(dice.uniform(3, 9))  # the random point
    finally:
        server.process.send_signal(signal.SIGCONT)
    assert_whole(settled(accepted, server))


@pytest.mark.fault(
    "200 MB, the server restarted or stalled",
    "`kill -9` and a restart, or SIGSTOP for 4 s, at a random size of a 200 MB log that is "
    "written at full speed",
    "nothing is missing",
    repeats=1,
)
@pytest.mark.parametrize("how", ["kill", "stall"])
def test_200_megabytes(make_server, settled, dice, how):
    server = make_server(default_log_mb=256).start().ready()
    accepted = submit_all(server, dice, [exact_output.HUGE], seconds=0)
    job_id = accepted.jobs[0].job_id
    wanted = dice.randint(1, 190_000_000)
    server.until(lambda: log_size(server, job_id), lambda size: size >= wanted, "a part of it")
    if how == "kill":
        server.kill()
        server.start()
    else:
        server.process.send_signal(signal.SIGSTOP)
        time.sleep(4)
        server.process.send_signal(signal.SIGCONT)
    assert_whole(settled(accepted, server))


def log_size(server, job_id):
    """Of the log on disk."""
    return sum(path.stat().st_size for path in server.data.glob(f"logs/*/{job_id}.live/*.log"))


@pytest.mark.fault(
    "lease handed over in the middle of a line",
    "SIGSTOP to the active controller until its lease has expired, while jobs write "
    f"{SHAPES_TOLD}; another takes over, and the first one continues later",
    "nothing is missing, and nothing is duplicated",
    repeats=1,
)
def test_handed_over(make_server, settled, dice):
    server = make_server(controller="external", max_concurrent_jobs=8).start()
    first = server.spawn_controller()
    server.ready()
    server.spawn_controller()
    accepted = submit_all(server, dice, seconds=6)
    until_some_run(server, accepted)
    time.sleep(dice.uniform(0, 2))  # the random point
    first.send_signal(signal.SIGSTOP)
    try:
        time.sleep(dice.uniform(8.5, 12))  # past the lease, at a random point
    finally:
        first.send_signal(signal.SIGCONT)
    assert_whole(settled(accepted, server))


@contextmanager
def frozen(path):
    """Nobody can write to the file system meanwhile: who does waits."""
    subprocess.run(["fsfreeze", "--freeze", path], check=True)
    try:
        yield
    finally:
        subprocess.run(["fsfreeze", "--unfreeze", path], check=True)


@pytest.mark.fault(
    "the server's disk stalls",
    "the file system of data and database is frozen (`fsfreeze`) for 2 to 5 s at a random "
    f"moment, with jobs that write {SHAPES_TOLD}",
    "nothing is missing",
    repeats=1,
)
def test_stalled_disk(make_server, settled, dice):
    with loop_disk("ext4") as disk:
        place = disk.path
        server = make_server(
            max_concurrent_jobs=8, data_dir=place / "data", db_path=place / "ci.db",
            min_free_disk_mb=16, disk_reserve_mb=4,
        )  # fmt: skip
        try:
            server.database = server.settings.db_path
            server.start().ready()
            accepted = submit_all(server, dice)
            until_some_run(server, accepted)
            time.sleep(dice.uniform(0, SECONDS))  # the random point
            with frozen(place):
                time.sleep(dice.uniform(2, 5))  # the random point
            assert_whole(settled(accepted, server))
        finally:
            server.close()


@pytest.mark.fault(
    "container removed while no server runs",
    "`kill -9` of the server, `docker rm -f` of a running job's container, and a restart",
    "`failed`, reason `lost`; the log ends with a line that says so, `log_dropped` is unknown",
    repeats=1,
)
def test_removed_while_away(make_server, dice):
    server = make_server().start().ready()
    seed = f"{dice.random()}"
    command = ["python", "exact_output.py", seed, "no_text", "20"]
    content = project({"command": command}, {"exact_output.py": SOURCE})
    job_id = server.submit(content)
    server.until(lambda: log_size(server, job_id), lambda size: size > 1000, "output")
    server.kill()
    with engine() as client:
        found = client.api.containers(all=True, filters={"label": f"{LABEL_JOB}={job_id}"})
        client.api.remove_container(found[0]["Id"], force=True, v=True)
    server.start()
    row = server.finished(job_id)
    assert (row["status"], row["reason"], row["log_dropped"]) == ("failed", "lost", "unknown"), row
    log = without_failure_line(server.log(job_id), row)
    log, _, marker = log.rpartition(b"\n[... output may be missing here")
    assert len(log) > 1000
    assert exact_output.stored(seed, "no_text").startswith(log)
    assert marker.endswith(b"...]\n")
    assert "some of its output may be missing" in row["message"]
    until_sync(lambda: not half_done(server), what="nothing left")
