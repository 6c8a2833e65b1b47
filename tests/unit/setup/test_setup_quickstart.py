import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from setup_steps import process_jobs, quickstart, server
from setup_steps.console import SetupError


def fail(*_, **__):
    raise SetupError("no engine answers")


@pytest.fixture
def process():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        yield child
        child.kill()


@pytest.fixture
def answering(tmp_path, process):
    """A function that makes a server with the given answers to /ready, the last one for ever."""
    servers = []

    def start(*answers):
        remaining = list(answers)

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                status, body = remaining.pop(0) if len(remaining) > 1 else remaining[0]
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        http = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=http.serve_forever, args=(0.05,), daemon=True).start()
        servers.append(http)
        (tmp_path / "server.log").write_text("line 1\nthe cause\n")
        return server.Server(process, http.server_port, tmp_path / "server.log")

    yield start
    for http in servers:
        http.shutdown()
        http.server_close()


NOT_READY = (503, b'{"error": {"code": "not_ready", "message": "the disk is full"}}')


def test_waits_until_ready(answering):
    server.wait_until_ready(answering(NOT_READY, NOT_READY, (200, b"{}")))


def test_not_ready_in_time_tells_the_reason_and_the_log(answering):
    with pytest.raises(SetupError, match=r"(?s)not ready after 0 s: the disk is full.*the cause"):
        server.wait_until_ready(answering(NOT_READY), seconds=0.1)


def test_a_server_that_ended_is_not_waited_for(answering, process):
    running = answering(NOT_READY)
    process.kill()
    process.wait()
    with pytest.raises(SetupError, match=r"(?s)ended with -9 before it was ready.*the cause"):
        server.wait_until_ready(running)


def test_without_an_engine_the_process_executor_is_announced(monkeypatch, capsys):
    monkeypatch.delenv("CI_EXECUTOR", raising=False)
    monkeypatch.setattr(quickstart.container_engine, "ensure", fail)
    assert quickstart._choose_executor(install=True) == "process"
    said = capsys.readouterr().err
    assert "NOT isolated" in said
    assert "no engine answers" in said


def test_the_executor_somebody_chose_is_used(monkeypatch):
    monkeypatch.setenv("CI_EXECUTOR", "process")
    monkeypatch.setattr(quickstart.container_engine, "ensure", fail)
    assert quickstart._choose_executor(install=True) == "process"


def test_a_quickstart_has_its_own_database_and_containers(tmp_path):
    environment = server.environment(tmp_path, "docker")
    assert environment["CI_DB_PATH"] == str(tmp_path / "ci_jobs.db")
    assert environment["CI_CONTAINER_PREFIX"].startswith("quickstart-")


def test_nothing_stays_unless_kept(capsys):
    with quickstart._work_directory(keep=False) as directory:
        assert directory.is_dir()
    assert not directory.exists()


def test_what_is_kept_is_named(capsys):
    with quickstart._work_directory(keep=True) as directory:
        pass
    assert str(directory) in capsys.readouterr().err
    directory.rmdir()


def test_jobs_use_the_environment_they_can_start(monkeypatch):
    monkeypatch.setattr(process_jobs.venv, "ensure", lambda **_: None)
    monkeypatch.setattr(process_jobs, "_jobs_can_run", lambda *_: True)
    with process_jobs.python() as python:
        assert python == process_jobs.venv.PYTHON


def test_without_a_python_for_jobs_there_is_advice(monkeypatch):
    monkeypatch.setattr(process_jobs.venv, "ensure", lambda **_: None)
    monkeypatch.setattr(process_jobs, "_jobs_can_run", lambda *_: False)
    with pytest.raises(SetupError, match="as an ordinary user"), process_jobs.python():
        pass
