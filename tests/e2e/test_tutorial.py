"""The commands of the tutorial, in the order of the page, and what it says that they print."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support.live_server import ROOT, LiveServer
from support.waiting import until_sync

pytestmark = pytest.mark.docker

PAGE = (ROOT / "docs/tutorial.md").read_text()
BLOCK = re.compile(r"^```(\S*)(?: (\S+))?\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SECONDS = 180


@pytest.fixture
def server(tmp_path):
    """Not started: the page says how."""
    with LiveServer(tmp_path / "server", hardened=True) as server:
        yield server
        if server.process is not None:
            os.killpg(server.process.pid, signal.SIGTERM)
            server.wait_for_end()


def adapted(code, server):
    """For the port and the Python of this test."""
    code = code.replace("localhost:8000", f"localhost:{server.port}")
    code = code.replace("-m ci_server", f"-m ci_server --port {server.port}")
    return code.replace(". .venv/bin/activate\n", "")


def environment(server, home):
    own = {
        **server.environment,
        "HOME": str(home),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "CI_SERVER_URL": f"http://localhost:{server.port}",
        "SERVER_DIRECTORY": str(server.directory),
        "NO_PROXY": "localhost,127.0.0.1",
    }
    return {name: value for name, value in own.items() if name != "XDG_CONFIG_HOME"}


def begin(server, code, own):
    with server.log_path.open("ab") as log:
        server.process = subprocess.Popen(
            ["bash", "-c", f"exec {code.strip()}"],
            cwd=server.directory,
            env=own,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    server.http.base_url = server.url
    until_sync(lambda: "Uvicorn running on" in server.log_path.read_text(), bool, "start", 90)
    server.ready()


def run(code, directory, own):
    """In one shell session: where a block ends the next one goes on, with its directory."""
    script = f"set -euo pipefail\n{code}\npwd > '{own['HOME']}/directory'"
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=directory,
        env=own,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    return done.returncode, done.stdout


def is_shown(line, output):
    """Whether a line of the output is this one; its `…` stand for anything."""
    pattern = ".*".join(map(re.escape, line.split("…")))
    return re.search(rf"^{pattern}$", output, re.MULTILINE) is not None


def test_every_command_does_what_the_page_says(server, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    own = environment(server, home)
    directory, output, shown = home, "", 0
    for language, kind, code in BLOCK.findall(PAGE):
        code = adapted(code, server)
        if not language:
            for line in code.splitlines():
                assert is_shown(line, output), f"{line!r} is not in\n{output}"
                shown += 1
        elif kind == "server":
            begin(server, code, own)
        else:
            where = server.directory if kind == "server-directory" else directory
            exit_code, output = run(code, where, own)
            assert (exit_code == 0) == (kind != "fails"), f"{code}\n{output}"
            if kind != "server-directory" and exit_code == 0:
                directory = Path((home / "directory").read_text().strip())
    assert shown >= 10
