import json
import socketserver
import threading
from http.server import BaseHTTPRequestHandler

import pytest

from setup_steps import container_engine
from setup_steps.console import SetupError


class FakeEngine(BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"ApiVersion": "1.41", "Version": "20.10"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self):
        return "unix"

    def log_message(self, *_):
        pass


@pytest.fixture
def fake_engine(tmp_path, monkeypatch):
    path = str(tmp_path / "engine.sock")
    with socketserver.ThreadingUnixStreamServer(path, FakeEngine) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
        yield
        server.shutdown()


@pytest.fixture
def no_engine(tmp_path, monkeypatch):
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    reason = "No container engine answers"
    monkeypatch.setattr(container_engine, "why_silent", lambda timeout=5: reason)
    monkeypatch.setattr(container_engine.apt, "install", lambda *_: pytest.fail("installed"))
    monkeypatch.setattr(container_engine, "_start", lambda: pytest.fail("started"))


def test_an_engine_that_answers_is_used(fake_engine):
    assert container_engine.why_silent() is None
    container_engine.ensure(install=False)


def test_silence_names_the_address(tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nothing.sock")
    assert f"unix://{tmp_path}/nothing.sock" in container_engine.why_silent()


def test_an_engine_elsewhere_is_never_started_here(tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nothing.sock")
    with pytest.raises(SetupError, match="Start the engine that DOCKER_HOST names"):
        container_engine.ensure()


def test_no_install_is_obeyed(no_engine):
    with pytest.raises(SetupError, match="--no-install"):
        container_engine.ensure(install=False)


def test_no_root_no_installation(no_engine, monkeypatch):
    monkeypatch.setattr(container_engine.os, "geteuid", lambda: 1000)
    with pytest.raises(SetupError, match="As root on Debian or Ubuntu"):
        container_engine.ensure()


def test_an_engine_of_another_user_is_explained(no_engine, monkeypatch):
    monkeypatch.setattr(container_engine, "why_silent", lambda timeout=5: "Permission denied")
    with pytest.raises(SetupError, match="group `docker`"):
        container_engine.ensure()


def test_a_missing_engine_is_installed_and_started(no_engine, monkeypatch):
    done = []
    monkeypatch.setattr(container_engine.os, "geteuid", lambda: 0)
    monkeypatch.setattr(container_engine.apt, "is_usable", lambda: True)
    monkeypatch.setattr(container_engine.shutil, "which", lambda _: None)
    monkeypatch.setattr(container_engine.apt, "install", lambda *names: done.append(names))
    monkeypatch.setattr(container_engine, "_running_pid", lambda: None)
    monkeypatch.setattr(container_engine, "_start", lambda: done.append("start"))
    container_engine.ensure()
    assert done == [container_engine.PACKAGES, "start"]


@pytest.mark.parametrize("content", ["", "no number", "999999999", "1"])
def test_a_pid_file_left_behind_is_removed(tmp_path, monkeypatch, content):
    monkeypatch.setattr(container_engine, "PID_FILE", tmp_path / "docker.pid")
    (tmp_path / "docker.pid").write_text(content)
    container_engine._remove_stale_pid_file()
    assert not (tmp_path / "docker.pid").exists()
