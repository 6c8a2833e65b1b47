"""The audit of the dependencies: findings fail, and no answer is never "nothing found"."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from setup_steps import advisories

CANARY = {"vulns": [{"id": "GHSA-canary"}]}


@pytest.fixture
def constraints(tmp_path):
    path = tmp_path / "constraints.txt"
    path.write_text("# a comment\nfine==1.0\nbad==2.0 ; python_version < '3.12'\n")
    return path


@pytest.fixture
def service():
    """A function that starts a service with this answer; the questions it got are its own."""
    servers = []

    def start(answer, status=200):
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                content = self.rfile.read(int(self.headers["Content-Length"]))
                self.server.asked = json.loads(content)["queries"]
                body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments):
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        servers.append(server)
        return server, f"http://127.0.0.1:{server.server_port}/v1/querybatch"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_everything_pinned_is_asked_for(constraints, service):
    server, url = service({"results": [CANARY, {}, {}]})
    result = advisories.audit(constraints, url)
    assert result == advisories.Audit(True, ("ok, 2 dependencies have no known vulnerability",))
    assert server.asked[1:] == [
        {"package": {"name": "fine", "ecosystem": "PyPI"}, "version": "1.0"},
        {"package": {"name": "bad", "ecosystem": "PyPI"}, "version": "2.0"},
    ]


def test_findings_fail(constraints, service):
    _, url = service({"results": [CANARY, {}, {"vulns": [{"id": "GHSA-1"}, {"id": "CVE-2"}]}]})
    result = advisories.audit(constraints, url)
    assert not result.is_ok
    assert result.lines[:3] == ("FAILED, 2 known", "bad 2.0: GHSA-1", "bad 2.0: CVE-2")


def test_what_was_accepted_is_not_told(constraints, service, monkeypatch):
    monkeypatch.setitem(advisories.ACCEPTED, "GHSA-1", "we never call that")
    _, url = service({"results": [CANARY, {}, {"vulns": [{"id": "GHSA-1"}]}]})
    assert advisories.audit(constraints, url).is_ok


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ({"results": [{}, {}, {}]}, 200),
        ({"results": [CANARY]}, 200),
        ({"results": []}, 200),
        ({}, 200),
        ([], 200),
        (b"<html>log in to the network</html>", 200),
        ({"results": [CANARY, {}, {}]}, 503),
    ],
)
@pytest.mark.parametrize("required", [False, True])
def test_what_is_no_answer_is_no_ok(constraints, service, monkeypatch, answer, status, required):
    monkeypatch.delenv(advisories.REQUIRE, raising=False)
    if required:
        monkeypatch.setenv(advisories.REQUIRE, "1")
    _, url = service(answer, status)
    result = advisories.audit(constraints, url)
    assert result.lines[0].startswith("NOT DONE: ")
    assert result.is_ok is not required


def test_a_service_that_is_not_there_is_said_to_be(constraints, service):
    server, url = service({})
    server.shutdown()
    server.server_close()
    (line,) = advisories.audit(constraints, url).lines
    assert line.startswith("NOT DONE: ")
    assert "nothing is known of the 2 dependencies" in line


def test_our_own_pins_are_read():
    from setup_steps.paths import CONSTRAINTS

    assert ("uvicorn" in dict(advisories.pins(CONSTRAINTS))) is True
