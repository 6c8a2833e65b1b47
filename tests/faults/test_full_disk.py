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
    "the data directory is a file system of 64 MiB, with or without the database on it; at a "
    "random size a job's log fills it up to the reserve while another job is running; then space "
    "is freed",
    "the job failed with `disk_full` while the disk was full; uploads got 507; the other job "
    "completed, and uploads were accepted again",
)
@pytest.mark.parametrize("database", ["beside", "elsewhere"])
def test_full_disk(small_disk, make_server, settled, dice, database):
    where = {"db_path": small_disk / "ci.db"} if database == "beside" else {}
    server = serve_from(small_disk, make_server, disk_reserve_mb=4, **where)
    accepted, other, loud = fill_with_a_log(server, small_disk, dice)
    told = server.finished(loud.job_id)
    assert (told["status"], told["reason"]) == ("failed", "disk_full"), told
    assert 2 << 20 < free(small_disk) < 8 << 20
    assert_no_upload_is_taken(server)
    (small_disk / "ballast").unlink()
    engine.release(server, other.job_id)
    rows = settled(accepted, server)
    assert rows[other.job_id]["success"] is True


@pytest.mark.fault(
    "disk full to the last byte",
    "the same without a reserve, so that the database on the same disk has no room either",
    "the job failed with `disk_full`, or, where that could not be recorded, the job continued "
    "once there was space, and completed with its whole log",
)
def test_disk_full_to_the_last_byte(small_disk, make_server, settled, dice):
    server = serve_from(small_disk, make_server, disk_reserve_mb=0, db_path=small_disk / "ci.db")
    accepted, other, loud = fill_with_a_log(server, small_disk, dice)
    server.until(lambda: free(small_disk), lambda space: space < 1 << 16, "a full disk", 60)
    assert_no_upload_is_taken(server)
    (small_disk / "ballast").unlink()
    engine.release(server, other.job_id)
    rows = settled(accepted, server)
    assert rows[other.job_id]["success"] is True
    told = rows[loud.job_id]
    assert (told["status"], told["reason"]) in {("failed", "disk_full"), ("completed", "exit")}


def serve_from(disk, make_server, **settings):
    """A server that keeps its data there."""
    server = make_server(min_free_disk_mb=8, data_dir=disk / "data", **settings)
    server.database = server.settings.db_path
    server.start().ready()
    return server


def fill_with_a_log(server, disk, dice):
    """The jobs: all, one that waits for `engine.release`, and one whose log fills the disk."""
    accepted = AcceptedJobs(server)
    other = accepted.submit(SeededJob(f"{dice.random()}", count=80, wait_at=40))
    server.under_way(other.job_id, b"\n")
    fill(disk, dice.randint(10 << 20, 30 << 20))
    loud = accepted.submit(SeededJob(f"{dice.random()}", count=45_000, width=1000))
    return accepted, other, loud


def assert_no_upload_is_taken(server):
    answer = server.http.post("/submit-async", **server.form(projects.ANY))
    assert (answer.status_code, answer.json()["error"]["code"]) == (507, "disk_full"), answer.text
