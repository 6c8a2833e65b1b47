"""The supervisor of a process by itself, with its command on a pseudo-terminal."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from ci_controller.executors.process import supervisor

EXECUTORS = ("process",)


def run(state, directory, command, user=None, within=()):
    """Run a command to its end; its output and the record of its end."""
    state.mkdir()
    request = {
        "command": ["/bin/sh", "-c", command],
        "directory": str(directory),
        "env": {"PATH": "/usr/bin:/bin"},
        "user": user,
        "tty": True,
    }
    supervisor.write_json(state / "request.json", request)
    supervisor.prepare(state)
    program = [*within, sys.executable, "-I", supervisor.__file__, str(state)]
    subprocess.run(program, start_new_session=True, check=True, timeout=60)
    ended = json.loads((state / "ended.json").read_bytes())
    return (state / supervisor.segment(0)).read_bytes()[: ended["size"]], ended


def test_the_terminal_is_the_commands_users(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("to start a command as another user takes root")
    script = 'stat -L -c %u /dev/stdin; echo again > /dev/stderr; echo tty > "$(tty)"; exit 3'
    output, ended = run(tmp_path / "state", "/", script, user=65534)
    assert output == b"65534\r\nagain\r\ntty\r\n"
    assert (ended["exit_code"], ended["lost"]) == (3, 0)


def test_where_there_is_no_terminal_to_be_had_the_log_says_so(tmp_path):
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("to hide a device takes root, and unshare")
    hide = ("unshare", "--mount", "sh", "-c", 'mount --bind /dev/null /dev/ptmx && exec "$@"', "sh")
    output, ended = run(tmp_path / "state", "/", "echo no", within=hide)
    assert output.startswith(b"cannot run '/bin/sh': ")
    assert ended["exit_code"] == 127
