"""The client where there is no Unix: without its modules, and without its functions of `os`."""

import json
import os
import subprocess
import sys

import pytest
from client_scripted_artifacts import serve
from client_scripted_server import (
    JOB,
    STREAM,
    answer_commands,
    complete,
    log,
    reply_json,
    status,
    stream,
)

MODULES = ("fcntl", "grp", "pty", "pwd", "resource", "termios", "tty", "syslog", "readline")
FUNCTIONS = (
    *("chown", "chroot", "fchmod", "fchown", "fork", "forkpty", "getgid", "getegid", "geteuid"),
    *("getgroups", "getpgid", "getpgrp", "getresuid", "getsid", "getuid", "killpg", "lchown"),
    *("mkfifo", "mknod", "nice", "openpty", "pread", "preadv", "pwrite", "sched_getaffinity"),
    *("sendfile", "setpgid", "setsid", "setuid", "statvfs", "sync", "sysconf", "uname", "umask"),
    *("wait3", "WIFEXITED", "O_CLOEXEC", "O_DIRECTORY", "O_NOFOLLOW", "O_NONBLOCK", "environb"),
)
BLOCKED = f"""
import os, signal, sys
for name in {MODULES}:
    sys.modules[name] = None
for name in {FUNCTIONS}:
    if hasattr(os, name):
        delattr(os, name)
for name in ("SIGHUP", "SIGPIPE", "SIGWINCH", "SIGALRM", "SIGUSR1", "SIGCHLD", "pthread_kill"):
    delattr(signal, name)
"""


@pytest.fixture
def path(tmp_path):
    """The PYTHONPATH of an interpreter without what only Unix has."""
    (tmp_path / "blocked").mkdir()
    (tmp_path / "blocked/sitecustomize.py").write_text(BLOCKED)
    return os.pathsep.join([str(tmp_path / "blocked"), os.getcwd()])


@pytest.fixture
def away_from_unix(run, path):
    """Run `ci ARGUMENTS…` there."""
    return lambda *arguments: run(
        *arguments, through=["env", f"PYTHONPATH={path}", "S=long enough"]
    )


def test_the_modules_are_blocked(path):
    """Else the other tests would show nothing."""
    code = "import os, sys; sys.exit(hasattr(os, 'fork') or sys.modules['fcntl'] is not None)"
    subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": path}, check=True)


def test_a_submission(server, away_from_unix):
    answer_commands(server)
    server.on(STREAM, stream(status("running", 0), log("whole\n", 6), complete()))
    code, out, err = away_from_unix("submit", "--secret", "S")
    assert (code, out) == (0, b"whole\n"), err
    assert b'"value": "bG9uZyBlbm91Z2g="' in server.asked("POST /submit-async")[0].body


@pytest.mark.parametrize("command", ["list", f"status {JOB}", f"wait {JOB} --all", f"cancel {JOB}"])
def test_other_commands(server, away_from_unix, command):
    answer_commands(server)
    server.on(STREAM, stream(complete()))
    server.on("GET /jobs", reply_json([]))
    code, _, err = away_from_unix(*command.split())
    assert code == 0, err


def test_artifacts(server, away_from_unix, project):
    answer_commands(server)
    serve(server, {"a/b.txt": b"kept"})
    code, _, err = away_from_unix("artifacts", JOB, "--download", "here")
    assert code == 0, err
    assert (project / "here/a/b.txt").read_bytes() == b"kept"


def test_a_models_package(away_from_unix, project):
    (project / "model.toml").touch()
    code, out, err = away_from_unix("model", "package", ".", "--json")
    assert code == 0, err
    assert json.loads(out)["path"] == "project.zip"
