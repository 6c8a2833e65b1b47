"""`parity --url`: a running worker is compared with this machine, hash by hash."""

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from engine.command.commands import main
from engine.parity import remote
from engine.parity.verdict import Verdict
from engine.service.access import Access
from support.workers import running

TOKEN = "a-token-of-some-length"


def compared(capsys, url):
    """Exit code, and what was said of each place."""
    status = main(["parity", "--json", "--url", url])
    return status, json.loads(capsys.readouterr().out)


def address(worker):
    host, port = worker.server_address[:2]
    return f"http://{host}:{port}"


def test_a_worker_that_gives_the_same(capsys):
    with running() as worker:
        status, found = compared(capsys, address(worker) + "/")
    assert status == 0
    names = [place["place"].partition(", ")[2] for place in found]
    assert names == [
        "capabilities",
        *(f"term_life_100x10, {name}" for name in
          ("as it is", "multipliers", "dynamic lapse", "breakdown", "philox", "mt19937_64")),
        "10,000 policies",
    ]  # fmt: skip
    assert all(place["same"] for place in found)


def test_a_token_is_taken_from_the_environment(capsys, monkeypatch):
    monkeypatch.setattr(remote, "POLICIES", 10)
    with running(Access(TOKEN)) as worker:
        monkeypatch.setenv("ENGINE_TOKEN", TOKEN)
        assert compared(capsys, address(worker))[0] == 0
        monkeypatch.setenv("ENGINE_TOKEN", "another-token-of-length")
        status, found = compared(capsys, address(worker))
    assert status == 3
    assert [place["error"] for place in found] == [
        "answers 401: the token is invalid; "
        "set the environment variable ENGINE_TOKEN to the worker's token"
    ]


def test_a_worker_that_fails_its_own_check(capsys, monkeypatch):
    monkeypatch.setattr(remote, "POLICIES", 10)
    with running() as worker:
        worker.verdict = Verdict(("alignment: wrong",), 0.0)
        status, found = compared(capsys, address(worker))
    assert status == 3
    assert found[0]["differing"] == ["alignment: wrong"]
    assert all(place["same"] for place in found[1:])


def test_a_worker_that_is_busy_at_first(capsys, monkeypatch):
    monkeypatch.setattr(remote, "POLICIES", 10)
    monkeypatch.setattr(remote, "RETRY_SECONDS", 0.01)
    with running() as worker:
        worker.busy.acquire()
        first = worker.metrics.count_busy

        def count_busy():
            first()
            worker.metrics.count_busy = first
            worker.busy.release()

        worker.metrics.count_busy = count_busy
        assert compared(capsys, address(worker))[0] == 0


@pytest.fixture
def answering():
    """A server that answers all requests alike."""
    servers = []

    def begin(status, body, **headers):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET

            def log_message(self, *_):
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        servers.append(server)
        return address(server)

    yield begin
    for server in servers:
        server.shutdown()
        server.server_close()


def test_another_result_is_told(capsys, answering):
    good = {"alignment": {"verified": True}, "parity": "pass", "result_hash": "0" * 64}
    status, found = compared(capsys, answering(200, json.dumps(good).encode()))
    assert status == 3
    assert found[0]["same"]
    assert all("0" * 64 in place["differing"][0] for place in found[1:])


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (200, b"<html>", "is this a worker?"),
        (200, b"[]", "is this a worker?"),
        (302, b"{}", "answers 302"),
        (500, b'{"error": 5}', "answers 500"),
    ],
)
def test_what_is_no_worker(capsys, answering, status, body, message):
    found, places = compared(capsys, answering(status, body, Location="http://192.0.2.1/"))
    assert found == 3
    assert message in places[0]["error"]
    assert len(places) == 1


def test_nothing_there(capsys):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        status, places = compared(capsys, url)
    assert status == 3
    assert "cannot be reached" in places[0]["error"]
    assert main(["parity", "--url", "worker:3000"]) == 2
