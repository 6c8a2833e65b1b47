"""`ci open`: a browser gets the address of the job's page, where there is a browser."""

import os
import pty
import stat

import pytest
from client_scripted_server import DETAILS, JOB, error, reply_json


@pytest.fixture
def pages(server):
    server.on(f"GET /jobs/{JOB}", reply_json(DETAILS))
    server.on("GET /jobs/0b5d6f3e", reply_json(DETAILS))
    server.on("GET /jobs", reply_json([DETAILS]))
    server.on("GET /ui/", reply_json({}))
    return server


@pytest.fixture
def browser(tmp_path, monkeypatch):
    """A program that notes what it is asked to open."""
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    program, seen = tmp_path / "browser.sh", tmp_path / "seen"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> {seen}\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program, lambda: seen.read_text().splitlines() if seen.exists() else []


def on_terminal(run, *arguments):
    """What `ci` writes to a terminal, and its exit code."""
    master, slave = pty.openpty()
    code, _, err = run(*arguments, stdout=slave)
    os.close(slave)
    shown = b""
    try:
        while piece := os.read(master, 4096):
            shown += piece
    except OSError:  # the terminal has ended
        pass
    os.close(master)
    return code, shown.decode(), err


@pytest.mark.parametrize("arguments", [(), ("0b5d6f3e",), (JOB,)])
def test_the_browser_gets_the_page(pages, run, browser, monkeypatch, arguments):
    program, seen = browser
    monkeypatch.setenv("BROWSER", f"{program} %s")
    address = f"{pages.url}/ui/jobs/{JOB}"
    assert on_terminal(run, "open", *arguments) == (0, "", f"Opened {address}\n")
    assert seen() == [address]


def test_the_address_is_printed_where_nobody_would_see_a_browser(pages, run, browser, monkeypatch):
    program, seen = browser
    address = f"{pages.url}/ui/jobs/{JOB}"
    assert on_terminal(run, "open") == (0, f"{address}\r\n", "")
    monkeypatch.setenv("BROWSER", f"{program} %s")
    assert run("open") == (0, f"{address}\n".encode(), "")
    assert on_terminal(run, "open", "--print", JOB) == (0, f"{address}\r\n", "")
    assert seen() == []
    monkeypatch.setenv("BROWSER", "/nonexistent/browser %s")
    monkeypatch.setenv("PATH", "/nonexistent")
    code, shown, err = on_terminal(run, "open")
    assert (code, shown) == (0, f"{address}\r\n")
    assert "No browser could be started" in err


def test_a_server_without_pages_and_a_job_that_is_not_there(server, run):
    server.on(f"GET /jobs/{JOB}", reply_json(DETAILS))
    server.on("GET /ui/", error(404, "not_found", "Not Found."))
    code, out, err = run("open", JOB)
    assert (code, out) == (2, b"")
    assert "has no dashboard" in err
    server.on("GET /jobs/ffff", error(404, "job_not_found", "There is no job with this id."))
    code, out, err = run("open", "ffff")
    assert (code, out) == (2, b"")
    assert "ffff" in err
