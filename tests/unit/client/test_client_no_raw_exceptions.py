"""What a machine or a network may do to the command: one sentence, and never an exception."""

import errno
import os
import socket
import threading
from contextlib import contextmanager

import pytest
from client_scripted_server import (
    JOB,
    STREAM,
    answer_commands,
    complete,
    log,
    reply,
    reply_json,
    scripted_server,
    status,
    stream,
)

from ci_client.errors import ProjectError
from ci_client.library.proxies import proxy_of
from ci_client.packing.project_files import check_directory, find_project_files
from support.live_server import free_port

RAW = ("Errno", "Exception", "looks like a bug", "Traceback")


@pytest.fixture
def told(run):
    """Run a command that fails: its exit code, and what it says, in one line."""

    def told(*arguments, **options):
        code, out, err = run(*arguments, **options)
        assert not out
        assert not any(sign in err for sign in RAW), err
        (line,) = err.splitlines()
        return code, line

    return told


# ------------------------------------------------------------------ files


def refusing(path):
    raise PermissionError(errno.EACCES, "Permission denied", path)


def test_a_directory_that_nobody_may_look_into(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(ProjectError, match=rf"Cannot read .*{tmp_path}.* \(Permission denied\)"):
        find_project_files(str(tmp_path))


def test_a_directory_below_one_that_nobody_may_enter(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "stat", refusing)
    with pytest.raises(ProjectError, match=r"\(Permission denied\)"):
        check_directory(str(tmp_path))


def test_what_is_no_usual_file_system(told, server):
    answer_commands(server)
    code, line = told("submit", "--path", "/proc/self/task")
    assert code == 2
    assert line.startswith("Error: Cannot read /proc/self/task/")


def test_the_current_directory_is_gone(server, told):
    script = 'mkdir gone && cd gone && rmdir ../gone && exec "$@"'
    code, line = told("submit", through=["sh", "-c", script, "sh"])
    assert (code, "does not exist" in line) == (2, True)


def test_a_place_for_artifacts_that_cannot_be(server, told):
    server.on(f"GET /jobs/{JOB}/artifacts", reply_json([]))
    code, line = told("artifacts", JOB, "--download", "/proc/x")
    assert (code, line) == (2, "Error: Cannot create /proc/x: No such file or directory.")


# ------------------------------------------------------------------ output


@pytest.mark.parametrize("arguments", [["list"], ["--help"], ["--version"], ["list", "--json"]])
def test_stdout_is_full(server, start, arguments):
    server.on("GET /jobs", reply_json([]))
    with open("/dev/full", "wb") as full:
        process = start(*arguments, stdout=full)
        err = process.communicate(timeout=60)[1].decode()
    assert (process.returncode, err) == (
        3,
        "Error: Cannot write to stdout: No space left on device.\n",
    )


def test_stdout_is_full_while_a_job_runs(server, start):
    answer_commands(server)
    server.on(STREAM, stream(status("running", 0), log("whole\n", 6), complete()))
    with open("/dev/full", "wb") as full:
        process = start("submit", stdout=full)
        err = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 3
    assert f"Job {JOB} continues to run; watch it with: ci wait {JOB}" in err
    assert err.endswith("Error: Cannot write to stdout: No space left on device.\n")


@pytest.mark.parametrize(
    ("arguments", "code"), [(["submit"], 0), (["wait"], 2), (["logs", "x"], 2)]
)
def test_stderr_is_full(server, start, arguments, code):
    answer_commands(server)
    server.on(STREAM, stream(status("running", 0), log("whole\n", 6), complete()))
    with open("/dev/full", "wb") as full:
        process = start(*arguments, stderr=full)
        process.communicate(timeout=60)
    assert process.returncode == code


# ------------------------------------------------------------------ addresses


def test_https_where_http_is_spoken(server, told):
    url = server.url.replace("http://", "https://")
    code, line = told("list", "--server", url)
    assert code == 3
    assert f"Cannot reach the server at {url} (it speaks http, not https). Use http:// in" in line


def test_http_where_https_is_spoken(told):
    alert = b"\x15\x03\x03\x00\x02\x02\x16"
    with answering(alert) as url:
        code, line = told("list", "--server", url)
    assert code == 3
    assert "(it speaks https, not http). Use https:// in the address" in line


@pytest.mark.parametrize("command", [["list"], ["status", JOB], ["submit"]])
@pytest.mark.parametrize("is_ours", [True, False])
def test_an_address_with_a_wrong_path(server, told, command, is_ours):
    not_found = {"error": {"code": "not_found", "message": "Not Found.", "request_id": "r"}}
    body = reply_json(not_found, status=404) if is_ours else reply(404, b"<html>")
    for request in (
        "GET /ci/jobs",
        f"GET /ci/jobs/{JOB}",
        "GET /ci/limits",
        "POST /ci/submit-async",
    ):
        server.on(request, body)
    code, line = told(*command, "--server", f"{server.url}/ci")
    assert code == 2
    assert f"There is no CI server at {server.url}/ci: the path /ci/" in line


def test_a_redirection_is_told_and_not_followed(server, told):
    server.on("GET /jobs", reply(301, b"", Location="https://ci.example.com/"))
    code, line = told("list")
    assert code == 3
    assert "status 301, a redirect to 'https://ci.example.com/'" in line


@pytest.mark.parametrize("host", ["exa..mple", "x" * 64])
def test_a_host_that_no_name_service_can_be_asked_for(told, host):
    code, line = told("list", "--server", f"http://{host}")
    assert (code, "is not a server address" in line) == (2, True)


# ------------------------------------------------------------------ proxies


def test_this_machine_is_reached_without_a_proxy(server, run):
    server.on("GET /jobs", reply_json([]))
    away = f"http://127.0.0.1:{free_port()}"
    names = ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy")
    proxies = [f"{name}={away}" for name in names] + ["all_proxy=socks5://x", "NO_PROXY="]
    assert run("list", "--json", through=["env", *proxies])[:2] == (0, b"[]\n")


def test_a_proxy_that_cannot_be_reached_is_named(told):
    proxy = f"http://127.0.0.1:{free_port()}"
    through = ["env", f"http_proxy=http://user:pass@{proxy[7:]}", "NO_PROXY=", "no_proxy="]
    code, line = told("list", "--server", "http://ci.example.com", through=through)
    assert code == 3
    assert f"(connection refused, through the proxy {proxy}). Check the proxy, or set NO_" in line


@pytest.mark.parametrize(
    ("answer", "says"), [(reply(503, b"<html>"), "with status 503. The response"),
                         (reply(200, b"<html>"), "a response that is not from a CI server")]
)  # fmt: skip
def test_a_proxy_that_answers_is_named(told, answer, says):
    with scripted_server() as proxy:
        proxy.on("GET /jobs", answer)
        through = ["env", f"http_proxy={proxy.url}", "NO_PROXY=", "no_proxy="]
        code, line = told("list", "--server", "http://ci.example.com", through=through)
    assert code == 3
    assert says in line
    assert f"the proxy {proxy.url}" in line


@pytest.mark.parametrize(
    ("proxy", "why"), [("socks5://x:1", "it is a SOCKS proxy"), ("ftp://x", "Unknown scheme")]
)
def test_a_proxy_that_cannot_be_used(told, proxy, why):
    through = ["env", f"all_proxy={proxy}", f"http_proxy={proxy}", "NO_PROXY=", "no_proxy="]
    code, line = told("list", "--server", "http://ci.example.com", through=through)
    assert code == 2
    assert why in line
    assert "set NO_PROXY=ci.example.com" in line


@pytest.mark.parametrize(
    ("server_url", "proxy"),
    [
        ("http://ci.example.com", "http://proxy:3128"),
        ("https://ci.example.com", "http://secure:1"),
        ("http://localhost:8000", None),
        ("http://127.0.0.9", None),
        ("http://[::1]:8000", None),
        ("https://ci.inside.example", None),
    ],
)
def test_which_proxy(monkeypatch, server_url, proxy):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "proxy:3128")
    monkeypatch.setenv("https_proxy", "http://user:pass@secure:1")
    monkeypatch.setenv("no_proxy", "inside.example")
    assert proxy_of(server_url) == proxy


@contextmanager
def answering(content):
    """The address of something that says the same to everybody."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            try:
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        connection.recv(1000)
                        connection.sendall(content)
            except OSError:
                return

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
