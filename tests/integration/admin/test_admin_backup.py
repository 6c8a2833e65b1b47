"""`ci-admin backup` and `restore` as operators use them."""

import os
import signal
import subprocess
import sys

import pytest

from support.administration import admin
from support.instances import Instance
from support.mounts import run_on_tmpfs
from support.waiting import until_sync

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
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert [path.name for path in tmp_path.iterdir()] == ["ci"]


@pytest.mark.parametrize("command", [("backup", "--force", "b.tar"), ("doctor",)])
def test_without_the_data_directory_nothing_is_made_or_replaced(own_server, command):
    server = own_server(controller="external").start()
    server.terminate()
    kept = server.directory / "b.tar"
    kept.write_text("the last good backup")
    server.data.rename(server.data.with_name("away"))
    done = admin(server, *command)
    assert done.returncode == 3
    assert "is gone, or was replaced" in done.stderr
    assert not server.data.exists()
    assert kept.read_text() == "the last good backup"


def test_a_database_that_was_emptied_is_not_made_anew_by_a_look(own_server):
    server = own_server(controller="external").start()
    server.terminate()
    for path in server.directory.glob("ci.db*"):
        if path.is_file():
            path.write_bytes(b"")
    done = admin(server, "user", "list")
    assert done.returncode == 3
    assert "there is no database" in done.stderr
    assert server.database.stat().st_size == 0
