"""The disk of the data directory fills up, and is freed again."""

import os
import subprocess

import pytest

from support import engine, projects
from support.accepted_jobs import AcceptedJobs, SeededJob

pytestmark = pytest.mark.docker

SIZE_MB = 64


@pytest.fixture
def small_disk(tmp_path):
    """A directory that is a file system of its own, of 64 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() != 0:
        pytest.skip("to mount a file system takes root")
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m", "none", str(place)]
    mounted = subprocess.run(command, check=False, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"this machine mounts nothing: {mounted.stderr}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def free(disk):
    """Bytes."""
    facts = os.statvfs(disk)
    return facts.f_bavail * facts.f_frsize


def fill(disk, leave):
    """Take all space but so many bytes."""
    with (disk / "ballast").open("wb") as ballast:
        os.posix_fallocate(ballast.fileno(), 0, free(disk) - leave)


@pytest.mark.fault(
    "disk full",
    "the data directory is a file system of 64 MiB, on which the database is, too, or not; at a "
    "random size a job's log fills it while another job is under way; then space is freed",
    "the job failed with `disk_full` (with the database on the full disk, which could not record "
    "that, it may also go on with the space); uploads were answered 507 meanwhile; the other job "
    "completed, and uploads were taken again",
)
@pytest.mark.parametrize("database", ["beside", "elsewhere"])
def test_full_disk(small_disk, make_server, settled, dice, database):
    where = {"db_path": small_disk / "ci.db"} if database == "beside" else {}
    server = make_server(min_free_disk_mb=8, data_dir=small_disk / "data", **where)
    server.database = server.settings.db_path
    server.start().ready()
    accepted = AcceptedJobs(server)
    other = accepted.submit(SeededJob(f"{dice.random()}", count=80, wait_at=40))
    server.under_way(other.job_id, b"\n")
    fill(small_disk, dice.randint(10 << 20, 30 << 20))
    loud = accepted.submit(SeededJob(f"{dice.random()}", count=45_000, width=1000))
    server.until(lambda: free(small_disk), lambda space: space < 1 << 16, "a full disk", 60)
    if database == "elsewhere":
        server.finished(loud.job_id)
    answer = server.http.post("/submit-async", **server.form(projects.ANY))
    assert (answer.status_code, answer.json()["error"]["code"]) == (507, "disk_full"), answer.text
    (small_disk / "ballast").unlink()
    engine.release(server, other.job_id)
    rows = settled(accepted, server)
    assert rows[other.job_id]["success"] is True
    ended = {(row["status"], row["reason"]) for row in (rows[loud.job_id],)}
    allowed = {("failed", "disk_full")}
    assert ended <= allowed | ({("completed", "exit")} if database == "beside" else set())
