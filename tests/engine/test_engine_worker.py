"""The worker, over a real connection."""

import http.client
import io
import json
import os
import signal
import subprocess
import sys
import threading
import zipfile

import pytest

from engine.output.run import Changes, Request, run
from engine.parity.golden_set import DEFAULT_CONFIG, GOLDEN
from engine.service.limits import WorkerLimits
from engine.service.worker import Worker

CASE = GOLDEN / "term_life_100x10"
TABLES = ("policies", "mortality", "lapse", "expenses", "scenarios")


@pytest.fixture
def start():
    workers = []

    def begin(**limits):
        worker = Worker(("127.0.0.1", 0), WorkerLimits(**limits))
        thread = threading.Thread(target=worker.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        workers.append((worker, thread))
        return worker

    yield begin
    for worker, thread in workers:
        worker.shutdown()
        worker.server_close()
        thread.join()


def ask(worker, method, path, body=None, kind="application/json", **headers):
    connection = http.client.HTTPConnection(*worker.server_address[:2], timeout=30)
    connection.request(method, path, body, {"Content-Type": kind} | headers)
    answer = connection.getresponse()
    document = json.loads(answer.read())
    connection.close()
    return answer.status, document


def model(**changes):
    files = {f"{name}.csv": (CASE / f"{name}.csv").read_text() for name in TABLES}
    return {"config": DEFAULT_CONFIG | changes, "files": files}


def zipped():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in CASE.iterdir():
            archive.write(path, path.name)
    return buffer.getvalue()


def test_health_and_capabilities(start):
    worker = start()
    status, health = ask(worker, "GET", "/health")
    assert (status, health["status"], health["running"]) == (200, "ok", False)
    assert health["memory_bytes"] > 1 << 20
    assert health["uptime_seconds"] >= 0
    assert ask(worker, "GET", "/capabilities")[1]["alignment"]["verified"] is True
    assert ask(worker, "GET", "/")[0] == 404
    assert ask(worker, "GET", "/execute")[0] == 405
    assert ask(worker, "POST", "/health", "{}")[0] == 404


def test_a_model_as_json_or_zip_gives_the_result_of_a_local_run(start):
    worker = start()
    expected = run(Request(CASE, Changes())).document
    assert ask(worker, "POST", "/execute", json.dumps(model())) == (200, expected)
    assert ask(worker, "POST", "/execute", zipped(), "application/zip") == (200, expected)


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        ("{", "application/json", 400),
        ("[" * 100_000, "application/json", 400),
        ("[]", "application/json", 400),
        ('{"files": {}}', "application/json", 400),
        ("{}", "text/plain", 415),
        ("not a zip", "application/zip", 422),
        ('{"config": {}, "files": {"../x": ""}}', "application/json", 422),
        ('{"config": {}, "files": {"a/b": ""}}', "application/json", 422),
        ('{"config": {}, "files": {"model.toml": ""}}', "application/json", 422),
        ('{"config": {}, "files": {"a.csv": 5}}', "application/json", 422),
        ('{"config": {}, "files": {}}', "application/json", 422),
    ],
)
def test_what_is_no_model(start, body, kind, status):
    worker = start()
    found, document = ask(worker, "POST", "/execute", body, kind)
    assert found == status
    assert document["error"]["message"]
    assert ask(worker, "GET", "/health")[0] == 200


def test_mistakes_of_a_model_are_listed(start):
    bad = model()
    bad["files"]["lapse.csv"] = "year,lapse_rate\n1,2\n"
    status, document = ask(start(), "POST", "/execute", json.dumps(bad))
    assert status == 422
    assert document["error"]["code"] == "invalid_model"
    assert document["error"]["problems"][0] == {
        "file": "lapse.csv", "row": 2, "column": "lapse_rate", "value": "2",
        "reason": "is out of range: at least 0 and at most 1",
    }  # fmt: skip


def test_limits(start):
    worker = start(body=100, scenarios=10)
    assert ask(worker, "POST", "/execute", "x" * 101)[0] == 413
    assert ask(worker, "POST", "/execute", "x", **{"Content-Length": "-1"})[0] == 411
    worker = start(scenarios=10, unpacked=1000)
    many = json.dumps(model(scenarios={"count": 11}))
    status, document = ask(worker, "POST", "/execute", many)
    assert (status, document["error"]["code"]) == (400, "invalid_request")
    assert ask(worker, "POST", "/execute", zipped(), "application/zip")[0] == 422


def test_one_model_at_a_time(start):
    worker = start()
    with worker.busy:
        assert ask(worker, "POST", "/execute", json.dumps(model()))[0] == 503
        assert ask(worker, "GET", "/health")[1]["running"] is True
    assert ask(worker, "POST", "/execute", json.dumps(model()))[0] == 200


def test_hooks_are_refused_unless_allowed(start):
    hooked = model(hooks="hooks.py")
    hooked["files"]["hooks.py"] = "def adjust_lapse(policies, year, lives, rates): return 1 / 0"
    body = json.dumps(hooked)
    status, document = ask(start(), "POST", "/execute", body)
    assert (status, document["error"]["code"]) == (400, "invalid_request")
    status, document = ask(start(allow_hooks=True), "POST", "/execute", body)
    assert (status, document["error"]["code"]) == (422, "hook_failed")
    assert "ZeroDivisionError" in document["error"]["message"]


def test_the_command_serves_until_it_is_told_to_stop():
    command = [sys.executable, "-u", "-m", "engine", "serve", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        line = process.stdout.readline().decode()
        assert line.startswith("listening on http://127.0.0.1:")
        port = int(line.rsplit(":", 1)[1])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", "/health")
        assert connection.getresponse().status == 200
        connection.close()
        os.kill(process.pid, signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert b"Traceback" not in errors


def test_text_and_sizes_that_are_none(start):
    worker = start()
    broken = model()
    broken["files"]["lapse.csv"] = "year,lapse_rate\n\ud800"
    status, answer = ask(worker, "POST", "/execute", json.dumps(broken))
    assert (status, answer["error"]["code"]) == (422, "invalid_model")
    assert "is not UTF-8 text" in answer["error"]["message"]
    status, answer = ask(worker, "POST", "/execute", b"x", **{"Content-Length": "9" * 5000})
    assert status == 413
