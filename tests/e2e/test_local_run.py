"""`ci run`: a job without a server, which leaves nothing, however it ends."""

import json
import os
import signal
from pathlib import Path

import httpx
import pytest

from support import engine, projects, wheels
from support.command_line import SECONDS, CommandLine
from support.processes import listening_ports, processes_with
from support.waiting import until_sync

pytestmark = [pytest.mark.docker, pytest.mark.timeout(180)]

CLEAN_UP = "trap 'echo cleaned up; exit 3' TERM; echo started; while :; do sleep 0.1; done"
OF_ANOTHER_SERVER = {
    "CI_API_KEY": "ci_of_another_server",
    "CI_DB_PATH": "/nonexistent/ci.db",
    "CI_CONTROLLER": "external",
    "CI_EXECUTOR": "process",
}


class Place:
    """Where `ci run` has its temporary files and its cache, and what is left of it."""

    def __init__(self, directory):
        self.temporary = directory / "tmp"
        self.temporary.mkdir()
        self.cache = directory / "cache"

    @property
    def servers(self):
        """The processes that it started."""
        return processes_with(f"XDG_CACHE_HOME={self.cache}")

    def left(self, job_id=None):
        """What there is of it: files, processes, the job's container."""
        containers = []
        if job_id is not None:
            with engine.engine() as client:
                containers = client.api.containers(all=True, filters={"name": job_id})
        return [*self.temporary.iterdir(), *self.servers, *(one["Names"] for one in containers)]


@pytest.fixture
def place(tmp_path, monkeypatch):
    place = Place(tmp_path)
    monkeypatch.setenv("TMPDIR", str(place.temporary))
    monkeypatch.setenv("XDG_CACHE_HOME", str(place.cache))
    yield place
    cache_id = place.cache / "ci-runner/cache-id"
    if cache_id.exists():
        engine.remove_everything_of(cache_id.read_text())


@pytest.fixture
def alone(tmp_path, place):
    """The command line of a user whose server does not answer."""
    line = CommandLine("http://127.0.0.1:9", tmp_path)
    yield line
    line.close()


def test_two_at_once(alone, place, project):
    commands = [["sh", "-c", f"sleep 1; echo {word}"] for word in ("one", "two")]
    running = [alone.start("run", "--path", project, "--", *command) for command in commands]
    done = [one.end() for one in running]
    assert [(one.code, one.out) for one in done] == [(0, b"one\n"), (0, b"two\n")], done
    assert "Local server: Docker" in done[0].err
    assert "ci wait" not in done[0].err
    for one in done:
        assert place.left(one.job_id) == []


def test_failing_tests(alone, place, tmp_path):
    files = {
        "test_it.py": "def test_fails():\n    assert 1 + 1 == 3\n",
        "ci.toml": "[jobs.test]\ncommand = 'mkdir output; echo kept > output/a; pytest'\n",
    }
    project = projects.write(tmp_path / "failing", files)
    kept = tmp_path / "kept"
    done = alone.run(
        *("run", "--path", project, "--json", f"--download={kept}"), **OF_ANOTHER_SERVER
    )
    events = [json.loads(line) for line in done.text.splitlines()]
    assert (done.code, events[-1]["success"], events[-1]["exit_code"]) == (1, False, 1), done.err
    assert "✗ test_it.py::test_fails" in done.err
    assert "ci logs" not in done.err
    assert (kept / "output/a").read_text() == "kept\n"
    assert place.left(done.job_id) == []


def test_ctrl_c_shows_the_clean_up(alone, place, project):
    terminal = alone.on_terminal("run", "--path", project, "--", "sh", "-c", CLEAN_UP)
    terminal.until_shown(b"started")
    terminal.press_ctrl_c()
    code, text = terminal.end()
    assert code == 130, text
    assert "cleaned up" in text
    assert "\u2717 cancelled in " in text
    assert place.left() == []


def test_ctrl_c_twice_leaves_the_clean_up_to_itself(alone, place, project):
    slow = "trap 'echo going; sleep 3; exit 3' TERM; echo started; while :; do sleep 0.1; done"
    running = alone.start("run", "--path", project, "--", "sh", "-c", slow)
    running.until_out(b"started")
    running.interrupt()
    running.until_out(b"going")
    running.interrupt()
    done = running.end()
    assert done.code == 130
    assert "in the background" in done.err
    until_sync(lambda: place.left(done.job_id), lambda left: not left, "nothing left", SECONDS)


@pytest.mark.parametrize(("by", "expected"), [("SIGTERM", 143), ("SIGKILL", -9)])
def test_a_signal_leaves_nothing(alone, place, project, by, expected):
    running = alone.start("run", "--path", project, "--", *projects.ENDLESS)
    running.until_out(b"started")
    job_id = running.job_id
    running.process.send_signal(signal.Signals[by])
    assert running.process.wait(SECONDS) == expected
    until_sync(lambda: place.left(job_id), lambda left: not left, "nothing left", SECONDS)


def test_killed_while_its_server_starts(alone, place, project):
    running = alone.start("run", "--path", project, "--", *projects.ENDLESS)
    until_sync(lambda: list(place.temporary.glob("*/ci.db")), what="a database", seconds=SECONDS)
    running.kill()
    until_sync(place.left, lambda left: not left, "nothing left", SECONDS)


def test_others_on_this_machine_cannot_use_it(alone, place, project):
    running = alone.start("run", "--path", project, "--", *projects.ENDLESS)
    running.until_out(b"started")
    (port,) = {port for process in place.servers for port in listening_ports(process)}
    (directory,) = place.temporary.iterdir()
    assert directory.stat().st_mode & 0o077 == 0
    for path in ("/jobs", f"/jobs/{running.job_id}", "/server"):
        answer = httpx.get(f"http://127.0.0.1:{port}{path}", trust_env=False, timeout=60)
        assert answer.status_code == 401
    command_lines = [Path(f"/proc/{one}/cmdline").read_bytes() for one in place.servers]
    assert not any(b"ci_" in line.replace(b"ci_server", b"").replace(b"ci_client", b"")
                   for line in command_lines)  # fmt: skip
    running.interrupt()
    running.end()


def test_its_server_is_killed(alone, place, project):
    running = alone.start("run", "--path", project, "--", *projects.ENDLESS)
    running.until_out(b"started")
    job_id = running.job_id
    (server,) = (one for one in place.servers if one != running.process.pid)
    os.kill(server, signal.SIGKILL)
    done = running.end()
    assert done.code == 3
    assert "The local server stopped responding" in done.err
    assert "Removing what it left" in done.err
    assert place.left(job_id) == []


def test_without_docker(alone, place, project):
    done = alone.run("run", "--path", project, DOCKER_HOST="unix:///nonexistent/docker.sock")
    assert (done.code, done.out) == (3, b"")
    assert "the Docker daemon does not respond" in done.err
    assert "Start it, or set DOCKER_HOST" in done.err
    assert "jobs wait" not in done.err
    assert place.left() == []


def test_with_a_wrong_setting(alone, place, project):
    done = alone.run("run", "--path", project, CI_DEFAULT_PIDS="many")
    assert done.code == 2
    assert "CI_DEFAULT_PIDS" in done.err
    assert place.left() == []


def test_without_the_image(alone, place, project):
    done = alone.run("run", "--path", project, "--", "true", CI_IMAGE="ci-runner:missing")
    assert "the image ci-runner:missing is missing" in done.err
    assert done.code == 3
    assert place.left(done.job_id) == []


def test_what_is_installed_is_kept(alone, place, tmp_path):
    files = {
        "requirements.txt": f"./{wheels.NAME}\n",
        wheels.NAME: wheels.wheel("kept"),
        "main.py": "import greeting\nprint('the word is', greeting.WORD)\n",
    }
    project = projects.write(tmp_path / "requiring", files)
    first, second = (alone.run("run", "--path", project, "--", "python", "main.py") for _ in "12")
    assert (first.code, second.code) == (0, 0), first.err
    assert first.text.endswith("the word is kept\n")
    assert len(first.text.splitlines()) > 2
    assert second.text == "ci: install: requirements.txt\nthe word is kept\n"
    assert place.left() == []
