"""`python -m ci_server` where it cannot start: one line says why, and what to do."""

import socket
import subprocess
import sys

import pytest


def start(tmp_path, *options, **environment):
    return subprocess.run(
        [sys.executable, "-m", "ci_server", *options],
        env={"PATH": "/usr/bin", "CI_DB_PATH": str(tmp_path / "ci.db"), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_port_that_is_taken(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = start(tmp_path, "--port", str(port), CI_DATA_PATH="/data")
    assert done.returncode == 1
    assert done.stderr == (
        "ci_server: CI_DATA_PATH is not a setting and is ignored; did you mean CI_DATA_DIR?\n"
        f"ci_server: cannot listen on 127.0.0.1, port {port}: another program uses this port; "
        "stop it, or choose another port with --port\n"
    )


@pytest.mark.parametrize("port", ["65536", "-1", "http"])
def test_what_is_no_port(tmp_path, port):
    done = start(tmp_path, f"--port={port}")
    assert done.returncode == 2
    assert f"'{port}' is not a port number from 0 to 65535" in done.stderr


def test_a_database_in_no_place(tmp_path):
    done = start(tmp_path, "--port", "1", CI_DB_PATH="/proc/none/ci.db", CI_JOB_ID="1")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "choose another place with CI_DB_PATH" in done.stderr
