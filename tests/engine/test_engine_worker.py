"""The worker, over a real connection."""

import http.client
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import datetime
from multiprocessing import forkserver

import pytest

from engine.command.commands import main
from engine.output.run import Changes, Request, run
from engine.parity.verdict import Verdict
from support.waiting import until_sync as until
from support.workers import (
    CASE,
    JSON,
    ZIP,
    answered,
    ask,
    endless,
    model,
    read_events,
    running,
    samples,
    zipped,
)

EVENTS = "text/event-stream"


@pytest.fixture
def start():
    with ExitStack() as stack:
        yield lambda **limits: stack.enter_context(running(**limits))


def test_health_and_capabilities(start):
    worker = start(memory=1 << 30)
    status, health = ask(worker, "GET", "/health?full=1")
    assert (status, health["status"], health["running"]) == (200, "ok", False)
    assert health["memory_bytes"] > 1 << 20
    assert health["uptime_seconds"] >= 0
    assert health["python"].startswith("3.")
    assert health["numpy"] == health["capabilities"]["numpy"]
    assert health["model_memory_limit_bytes"] == 1 << 30
    assert datetime.fromisoformat(health["timestamp"]).tzinfo is not None
    found = ask(worker, "GET", "/capabilities")[1]
    assert found["alignment"]["verified"] is True
    assert (found["parity"], found["failed"]) == ("pass", [])
    assert ask(worker, "GET", "/ready") == (200, {"status": "ready"})
    assert ask(worker, "GET", "/")[0] == 404
    assert ask(worker, "GET", "/execute")[0] == 405
    assert ask(worker, "POST", "/health", "{}")[0] == 404
    assert ask(worker, "PUT", "/execute", "{}")[1]["error"]["code"] == "not_implemented"


def test_a_machine_with_other_results_is_not_ready(start):
    worker = start()
    worker.verdict = Verdict(("term_life_100x10, philox: another hash",), 0.1)
    assert ask(worker, "GET", "/capabilities")[1]["parity"] == "fail"
    assert ask(worker, "GET", "/capabilities")[1]["failed"] == [*worker.verdict.failed]
    status, answer = ask(worker, "GET", "/ready")
    assert status == 503
    assert "philox: another hash" in answer["error"]["message"]
    assert ask(worker, "GET", "/health")[0] == 200


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics", "/capabilities", "/x"])
def test_head_is_get_without_a_body(start, path):
    worker = start()
    with answered(worker.server_address, "GET", path) as answer:
        answer.read()
    with answered(worker.server_address, "HEAD", path) as head:
        assert (head.status, head.read()) == (answer.status, b"")
        assert {*head.headers} == {*answer.headers}
        assert int(head.headers["Content-Length"]) > 0


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


@contextmanager
def command(*options, **environment):
    """The command, with its port."""
    argv = [sys.executable, "-u", "-m", "engine", "serve", "--port", "0", *options]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(argv, env=os.environ | environment, **streams) as process:
        try:
            line = process.stdout.readline().decode()
            assert line.startswith("listening on http://127.0.0.1:")
            yield process, ("127.0.0.1", int(line.rsplit(":", 1)[1]))
        finally:
            process.kill()


def ended(process):
    """What the command wrote to its standard error."""
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert b"Traceback" not in errors
    return errors.decode()


def test_the_command_serves_until_it_is_told_to_stop():
    with command() as (process, address):
        with answered(address, "GET", "/health") as answer:
            assert answer.status == 200
        os.kill(process.pid, signal.SIGTERM)
        assert "/health" not in ended(process)


def test_log_level():
    with command(LOG_LEVEL="debug") as (process, address):
        with socket.create_connection(address, timeout=30) as connection:
            connection.sendall(b"GET /\x1b[2J HTTP/1.1\r\nConnection: close\r\n\r\n")
            assert connection.recv(100).startswith(b"HTTP/1.1 404 ")
        with answered(address, "GET", "/health") as answer:
            assert answer.status == 200
        os.kill(process.pid, signal.SIGTERM)
        errors = ended(process)
    assert "'GET /health HTTP/1.1' 200" in errors
    assert "\x1b" not in errors


def test_sigterm_lets_a_model_end(tmp_path):
    go_on = tmp_path / "go on"
    waiting = model(hooks="hooks.py")
    waiting["files"]["hooks.py"] = (
        "import os, time\n"
        "def adjust_lapse(policies, year, lives, rates):\n"
        f"    while not os.path.exists({str(go_on)!r}):\n"
        "        time.sleep(0.01)\n"
        "    return 1.0\n"
    )
    with command("--allow-hooks") as (process, address):
        body = json.dumps(waiting)
        with answered(address, "POST", "/execute", body, Accept=EVENTS) as answer:
            events = read_events(answer)
            assert next(events)[0] == "progress"
            os.kill(process.pid, signal.SIGTERM)
            for _ in iter(lambda: health_of(address), "draining"):
                pass
            go_on.touch()
            assert [*events][-1][0] == "result"
        ended(process)


def test_sigterm_in_mid_model_says_so_at_the_end_of_the_grace():
    with command("--allow-hooks", ENGINE_GRACE_SECONDS="1") as (process, address):
        with answered(address, "POST", "/execute", endless(), Accept=EVENTS) as answer:
            events = read_events(answer)
            assert next(events)[0] == "progress"
            os.kill(process.pid, signal.SIGTERM)
            *_, (name, last) = events
        assert name == "error"
        assert last["error"]["code"] == "service_unavailable"
        assert "send it again" in last["error"]["message"]
        ended(process)


def test_while_it_drains_it_takes_no_models_and_is_not_ready(start):
    worker = start(allow_hooks=True)
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(ask, worker, "POST", "/execute", endless())
        until(worker.busy.locked)
        draining = pool.submit(worker.drain, 60)
        until(lambda: worker.draining)
        assert ask(worker, "GET", "/health")[1]["status"] == "draining"
        assert ask(worker, "GET", "/ready")[0] == 503
        status, refused = ask(worker, "POST", "/execute", json.dumps(model()))
        assert (status, refused["error"]["code"]) == (503, "service_unavailable")
        worker.give_up()
        assert answer.result()[0] == 503
        draining.result()


def test_a_second_signal_does_not_wait_for_the_grace():
    with command("--allow-hooks", ENGINE_GRACE_SECONDS="600") as (process, address):
        with answered(address, "POST", "/execute", endless(), Accept=EVENTS) as answer:
            events = read_events(answer)
            next(events)
            os.kill(process.pid, signal.SIGTERM)
            for _ in iter(lambda: health_of(address), "draining"):
                pass
            os.kill(process.pid, signal.SIGTERM)
            assert [*events][-1][0] == "error"
        ended(process)


def health_of(address):
    with answered(address, "GET", "/health") as answer:
        return json.loads(answer.read())["status"]


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"MAX_MEMORY_MB": "1"}, "MAX_MEMORY_MB is '1', and must be an integer from 128"),
        ({"LOG_LEVEL": "loud"}, "LOG_LEVEL is 'loud'"),
        ({"ENGINE_TOKEN": "short"}, "ENGINE_TOKEN must have at least 16"),
        ({"ENGINE_JWKS_URL": "http://issuer.example/keys"}, "must be https"),
        ({"ENGINE_JWKS_URL": "https://issuer.example/keys"}, "needs ENGINE_JWT_ISSUER"),
    ],
)
def test_settings_that_are_wrong(variables, message, monkeypatch, capsys):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert main(["serve", "--port", "0"]) == 2
    assert message in capsys.readouterr().err


def test_text_and_sizes_that_are_none(start):
    worker = start()
    broken = model()
    broken["files"]["lapse.csv"] = "year,lapse_rate\n\ud800"
    status, answer = ask(worker, "POST", "/execute", json.dumps(broken))
    assert (status, answer["error"]["code"]) == (422, "invalid_model")
    assert "is not UTF-8 text" in answer["error"]["message"]
    status, answer = ask(worker, "POST", "/execute", b"x", **{"Content-Length": "9" * 5000})
    assert status == 413


# ------------------------------------------------------------------ progress


def test_progress_comes_as_events(start):
    worker = start()
    expected = run(Request(CASE, Changes())).document
    with answered(
        worker.server_address, "POST", "/execute", zipped(), ZIP, Accept=f"{EVENTS}, */*;q=0.1"
    ) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == EVENTS
        *steps, (name, result) = read_events(answer)
    assert (name, result) == ("result", expected)
    assert {name for name, _ in steps} == {"progress"}
    assert steps[0][1] == {"phase": "load", "current": 0, "total": 1}
    assert steps[-1][1] == {"phase": "scenarios", "current": 10, "total": 10}


def test_a_stream_for_an_old_client_ends_with_its_connection(start):
    with socket.create_connection(start().server_address[:2], timeout=30) as connection:
        body = zipped()
        head = f"POST /execute HTTP/1.0\r\nAccept: {EVENTS}\r\nContent-Type: {ZIP}\r\n"
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        text = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    assert b"Transfer-Encoding" not in text
    assert b"event: result\ndata: {" in text


def test_errors_come_as_events_once_the_model_was_taken(start):
    worker = start(unpacked=1000)
    for body, kind, code in [(zipped(), ZIP, "invalid_model"), ("{", JSON, "bad_request")]:
        with answered(
            worker.server_address, "POST", "/execute", body, kind, Accept=EVENTS
        ) as answer:
            ((name, error),) = read_events(answer)
        assert (name, error["error"]["code"]) == ("error", code)
    assert ask(worker, "POST", "/execute", "x", "text/plain", Accept=EVENTS)[0] == 415


def test_a_stream_without_news_has_comments(start):
    worker = start(allow_hooks=True, heartbeat_seconds=0.01)
    with answered(worker.server_address, "POST", "/execute", endless(), Accept=EVENTS) as answer:
        names = (name for name, _ in read_events(answer))
        assert [next(name for name in names if not name) for _ in range(3)] == ["", "", ""]


@pytest.mark.parametrize("accept", [EVENTS, "application/json"])
def test_a_client_that_goes_away_ends_its_model(start, accept):
    worker = start(allow_hooks=True)
    with answered_when_busy(worker, accept):
        pass
    until(lambda: not worker.busy.locked())
    assert samples(worker.metrics_text())['engine_models_total{outcome="cancelled"}'] == 1
    assert ask(worker, "POST", "/execute", json.dumps(model()))[0] == 200


@contextmanager
def answered_when_busy(worker, accept):
    connection = http.client.HTTPConnection(*worker.server_address[:2], timeout=30)
    connection.request("POST", "/execute", endless(), {"Content-Type": JSON, "Accept": accept})
    try:
        until(worker.busy.locked)
        yield
    finally:
        connection.close()


# ------------------------------------------------------------------ limits


def test_a_model_that_needs_too_much_memory(start):
    worker = start(memory=200 << 20, scenarios=10_000_000)
    large = json.dumps(model(scenarios={"count": 10_000_000}))
    status, answer = ask(worker, "POST", "/execute", large)
    assert (status, answer["error"]["code"]) == (422, "memory_limit")
    assert "more memory than the 200 MiB" in answer["error"]["message"]
    assert ask(worker, "POST", "/execute", json.dumps(model()))[0] == 200
    found = samples(worker.metrics_text())
    assert found['engine_models_total{outcome="memory"}'] == 1


@pytest.mark.parametrize(
    ("end", "status", "code"),
    [
        ("os.kill(os.getpid(), 9)", 422, "memory_limit"),  # as the kernel makes room
        ("os._exit(3)", 500, "internal_server_error"),
    ],
)
def test_a_model_whose_process_dies(start, end, status, code):
    worker = start(allow_hooks=True)
    hooked = model(hooks="hooks.py")
    hooked["files"]["hooks.py"] = f"import os\ndef adjust_lapse(p, y, l, r): {end}"
    found, answer = ask(worker, "POST", "/execute", json.dumps(hooked))
    assert (found, answer["error"]["code"]) == (status, code)
    assert ask(worker, "POST", "/execute", json.dumps(model()))[0] == 200


def test_a_model_for_which_no_process_can_be_started(start, monkeypatch):
    """Also when its stream of events has begun: there is one answer."""

    def pipe():
        raise OSError(24, "Too many open files")

    worker = start()
    monkeypatch.setattr("engine.service.model_process.CONTEXT.Pipe", pipe)
    status, answer = ask(worker, "POST", "/execute", json.dumps(model()))
    assert (status, answer["error"]["code"]) == (500, "internal_server_error")
    body = json.dumps(model())
    with answered(worker.server_address, "POST", "/execute", body, Accept=EVENTS) as answer:
        ((name, error),) = read_events(answer)
    assert (name, error["error"]["code"]) == ("error", "internal_server_error")


def test_the_kernel_is_told_to_end_a_model_first(start, tmp_path):
    """By a hook, which can tell; and what it prints is not the answer."""
    worker = start(allow_hooks=True)
    seen = tmp_path / "seen"
    hooked = model(hooks="hooks.py")
    hooked["files"]["hooks.py"] = (
        "import pathlib\n"
        "def adjust_lapse(policies, year, lives, rates):\n"
        "    print('printed')\n"
        "    score = pathlib.Path('/proc/self/oom_score_adj').read_text()\n"
        f"    pathlib.Path({str(seen)!r}).write_text(score)\n"
        "    return 1.0\n"
    )
    assert ask(worker, "POST", "/execute", json.dumps(hooked))[0] == 200
    assert seen.read_text().strip() == "1000"


def test_nothing_of_a_model_stays(start, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    worker = start(allow_hooks=True)
    assert ask(worker, "POST", "/execute", zipped(), ZIP)[0] == 200
    with answered_when_busy(worker, EVENTS):
        pass
    until(lambda: not worker.busy.locked())
    until(lambda: not [*tmp_path.iterdir()])


def test_fifty_at_once(start):
    """One runs, the others are told when to come again, whatever they send."""
    worker = start(allow_hooks=True)
    body = zipped() + b"\0" * (1 << 20)

    def send(_):
        with answered(worker.server_address, "POST", "/execute", body, ZIP) as answer:
            return answer.status, answer.headers["Retry-After"], json.loads(answer.read())

    with answered_when_busy(worker, EVENTS), ThreadPoolExecutor(50) as pool:
        found = [*pool.map(send, range(50))]
    assert {(status, retry) for status, retry, _ in found} == {(503, "1")}
    assert {document["error"]["code"] for *_, document in found} == {"service_unavailable"}
    assert samples(worker.metrics_text())["engine_busy_refusals_total"] == 50


def test_connections_are_bounded(start):
    """And beyond half of the bound they are not kept open, so that idle ones leave room."""
    worker = start(connections=4)
    with ExitStack() as stack:
        kept = []
        for _ in range(3):
            connection = http.client.HTTPConnection(*worker.server_address[:2], timeout=30)
            stack.callback(connection.close)
            connection.request("GET", "/health")
            answer = connection.getresponse()
            answer.read()
            kept.append(answer.headers["Connection"])
        assert kept == [None, None, "close"]
        until(lambda: worker._open == 2)  # else one of the next would be one too many
        for _ in range(2):
            silent = stack.enter_context(socket.create_connection(worker.server_address[:2]))
        until(lambda: worker.crowded)
        assert silent.fileno() >= 0
        until(lambda: ask(worker, "GET", "/health")[0] == 503)
        status, answer = ask(worker, "GET", "/health")
        assert (status, answer["error"]["code"]) == (503, "service_unavailable")
    until(lambda: ask(worker, "GET", "/health")[0] == 200)


def test_the_process_that_models_are_forked_from_may_die(start):
    worker = start()
    assert ask(worker, "POST", "/execute", json.dumps(model()))[0] == 200
    server = forkserver._forkserver
    os.kill(server._forkserver_pid, signal.SIGKILL)
    os.waitid(os.P_PID, server._forkserver_pid, os.WEXITED | os.WNOWAIT)
    assert ask(worker, "POST", "/execute", json.dumps(model()))[0] == 200


def test_a_connection_that_is_reset_is_nothing_to_report(start, caplog):
    worker = start()
    with socket.create_connection(worker.server_address[:2], timeout=30) as connection:
        linger = struct.pack("ii", 1, 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        connection.sendall(b"GET /health HTTP/1.1\r\n\r\n")
        assert connection.recv(1 << 16)
    until(lambda: worker._open == 0)
    assert "Traceback" not in caplog.text


def test_a_body_is_asked_for_only_when_it_is_wanted(start):
    worker = start()
    head = "POST /execute HTTP/1.1\r\nContent-Type: application/zip\r\nExpect: 100-continue\r\n"
    body = zipped()
    with socket.create_connection(worker.server_address[:2], timeout=30) as connection:
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        connection.sendall(body)
        assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
    with worker.busy, socket.create_connection(worker.server_address[:2], timeout=30) as connection:
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 503 ")


@pytest.mark.parametrize(
    "lines", ["Transfer-Encoding: chunked", "Content-Length: 0\r\nContent-Length: 5"]
)
@pytest.mark.parametrize("request_line", ["POST /execute", "GET /health"])
def test_a_body_of_uncertain_size_is_not_the_next_request(start, request_line, lines):
    with socket.create_connection(start().server_address[:2], timeout=30) as connection:
        connection.sendall(f"{request_line} HTTP/1.1\r\n{lines}\r\n\r\n0\r\n\r\n".encode())
        text = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    assert text.startswith(b"HTTP/1.1 411 ")
    assert text.count(b"HTTP/1.1") == 1


def test_a_body_that_a_question_brings_is_not_the_next_request(start):
    with socket.create_connection(start().server_address[:2], timeout=30) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nContent-Length: 5\r\n\r\nGET /")
        text = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    assert text.startswith(b"HTTP/1.1 200 ")
    assert text.count(b"HTTP/1.1") == 1


# ------------------------------------------------------------------ metrics


def test_metrics(start):
    worker = start(memory=1 << 30)
    assert ask(worker, "POST", "/execute", zipped(), ZIP)[0] == 200
    assert ask(worker, "POST", "/execute", "{")[0] == 400
    assert ask(worker, "GET", "/no/such")[0] == 404
    with answered(worker.server_address, "GET", "/metrics") as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        text = answer.read().decode()
    found = samples(text)
    assert found['engine_http_requests_total{path="/execute",code="200"}'] == 1
    assert found['engine_http_requests_total{path="/execute",code="400"}'] == 1
    assert found['engine_http_requests_total{path="other",code="404"}'] == 1
    assert found['engine_models_total{outcome="completed"}'] == 1
    assert found['engine_models_total{outcome="invalid"}'] == 1
    assert found["engine_model_seconds_count"] == 2
    assert found['engine_model_seconds_bucket{le="+Inf"}'] == 2
    assert found["engine_model_seconds_sum"] > 0
    assert found["engine_model_peak_memory_bytes"] > 10 << 20
    assert found["engine_model_memory_limit_bytes"] == 1 << 30
    assert found["engine_busy"] == found["engine_draining"] == 0
    assert found["engine_parity_passed"] == 1
    counts = [value for key, value in found.items() if "_bucket" in key]
    assert counts == sorted(counts)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_likes_the_metrics(start):
    worker = start()
    assert ask(worker, "POST", "/execute", zipped(), ZIP)[0] == 200
    command = ["promtool", "check", "metrics"]
    subprocess.run(command, input=worker.metrics_text(), text=True, check=True)
