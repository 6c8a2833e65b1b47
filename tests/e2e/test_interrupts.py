"""Ctrl-C, at every point."""

import signal

import pytest

from support import engine, projects

pytestmark = pytest.mark.docker


def test_in_submit_it_cancels_the_job(server, user, project):
    running = user.start("submit", "--path", project, "--", *projects.ENDLESS)
    running.until_out(b"started")
    running.interrupt()
    done = running.end()
    assert done.code == 130
    assert done.out == b"started\n"
    assert any("cancelled" in line for line in done.err.splitlines())
    job = server.finished(done.job_id)
    assert job["status"] == "cancelled"
    server.until(
        lambda: engine.containers_of(server), lambda found: done.job_id not in found, "no container"
    )


@pytest.mark.parametrize(("by", "expected"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_in_submit_the_clean_up_is_shown(server, user, project, by, expected):
    clean_up = "trap 'echo cleaned up; exit 3' TERM; echo started; while :; do sleep 0.1; done"
    running = user.start("submit", "--path", project, "--", "sh", "-c", clean_up)
    running.until_out(b"started")
    running.process.send_signal(signal.Signals[by])
    done = running.end()
    assert (done.code, done.out.splitlines()[-1]) == (expected, b"cleaned up")
    assert "\u2717 cancelled in " in done.err
    assert server.job(done.job_id)["status"] == "cancelled"


def test_a_job_that_is_to_go_on(server, user, project):
    running = user.start("submit", "--detach-on-signal", "--path", project, "--", *projects.WAITING)
    running.until_out(b"waiting")
    running.process.send_signal(signal.SIGTERM)
    done = running.end()
    assert done.code == 143
    assert f"Job {done.job_id} continues to run" in done.err
    engine.release(server, done.job_id)
    assert server.finished(done.job_id)["success"] is True


@pytest.mark.parametrize("arguments", [["wait"], ["wait", "--all"], ["logs", "-f"]], ids=" ".join)
def test_in_wait_it_only_stops_watching(server, user, arguments):
    job_id = server.submit(projects.ANY, projects.WAITING)
    server.under_way(job_id, b"waiting")
    running = user.start(*arguments, job_id)
    running.until_err("running")
    running.interrupt()
    done = running.end()
    assert done.code == 130
    assert "stopped waiting" in done.err
    assert "continues to run" in done.err
    assert f"ci wait {job_id}" in done.err
    assert server.job(job_id)["status"] == "running"
    engine.release(server, job_id)
    assert server.finished(job_id)["success"] is True


def test_on_a_terminal(server, user, project):
    terminal = user.on_terminal("submit", "--path", project, "--", *projects.ENDLESS)
    terminal.until_shown(b"started")
    terminal.press_ctrl_c()
    code, text = terminal.end()
    assert code == 130
    assert text.count("cancelled") == text.count("\u2717 cancelled in ") == 1
    (job,) = server.http.get("/jobs", params={"limit": 1}).json()
    assert job["job_id"] in text
    assert server.finished(job["job_id"])["status"] == "cancelled"


def test_while_the_server_is_away(own_server, user_of):
    """A watcher that tries to reconnect can be stopped too."""
    server = own_server().start().ready()
    job_id = server.submit(projects.ANY, projects.ENDLESS)
    waiting = user_of(server.url).start("wait", "--all", job_id)
    waiting.until_out(b"started")
    server.kill()
    waiting.until_err("Connection lost")
    waiting.interrupt()
    done = waiting.end()
    assert done.code == 130
    assert f"ci wait {job_id}" in done.err
