"""Commands that are interrupted, or whose standard streams end, as real processes."""

import os
import signal

import pytest
from client_scripted_models import SUBMITTED
from client_scripted_server import (
    CANCEL,
    JOB,
    STREAM,
    answer_commands,
    complete,
    error,
    hang,
    log,
    read_until,
    reply_json,
    status,
    stream,
)


@pytest.fixture
def server(server):
    return answer_commands(server)


CANCELLED = complete(success=False, status="cancelled", exit_code=None, reason="cancelled")


def until_cancelled(*pieces, end=CANCELLED):
    """A stream that goes on when the job is cancelled: with these, and with its end."""

    def answer(handler):
        handler.begin(200, Content_Type="text/event-stream", Transfer_Encoding="chunked")
        handler.chunk(status("running", 0) + log("hello\n", 6))
        handler.server.wait_for(CANCEL)
        for piece in (*pieces, end):
            handler.chunk(piece)
        handler.close_connection = True

    return answer


def interrupt_when_streaming(start, *arguments, by=signal.SIGINT) -> tuple[int, bytes, str]:
    process = start(*arguments)
    read_until(process.stdout, b"hello\n")
    process.send_signal(by)
    out, err = process.communicate(timeout=60)
    assert b"Traceback" not in err
    return process.returncode, out, err.decode()


@pytest.mark.parametrize(("by", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("command", [["submit"], ["model", "submit", "."]], ids=" ".join)
def test_a_signal_in_submit_cancels_and_shows_the_clean_up(
    server, start, project, command, by, expected
):
    (project / "model.toml").touch()
    server.on("POST /v1/jobs/submit", reply_json(SUBMITTED, 201))
    server.on(STREAM, until_cancelled(log("cleaned up\n", 17)))
    code, out, err = interrupt_when_streaming(start, *command, by=by)
    assert (code, out) == (expected, b"cleaned up\n")
    assert "waiting for it to end (Ctrl-C again to quit)" in err
    assert err.count("cancelled") == err.count("\u2717 cancelled in ") == 1
    assert len(server.asked(CANCEL)) == 1


def test_a_job_that_ends_before_it_can_be_cancelled(server, start):
    server.on(CANCEL, error(409, "job_finished", "late"))
    server.on(STREAM, until_cancelled(end=complete()))
    code, _, err = interrupt_when_streaming(start, "submit")
    assert code == 130
    assert "\u2713 passed in " in err
    assert "cancelled." not in err


def test_ctrl_c_in_submit_when_the_job_cannot_be_cancelled(server, start):
    server.on(CANCEL, error(500, "internal", "broken"))
    server.on(STREAM, stream(log("hello\n", 6), then="hang"))
    code, out, err = interrupt_when_streaming(start, "submit")
    assert (code, out) == (130, b"")
    assert f"may not have been cancelled (broken). To make sure: ci cancel {JOB}" in err


@pytest.mark.parametrize(("by", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_job_that_is_to_go_on(server, start, by, expected):
    server.on(STREAM, stream(log("hello\n", 6), then="hang"))
    code, _, err = interrupt_when_streaming(start, "submit", "--detach-on-signal", by=by)
    assert code == expected
    assert f"Job {JOB} continues to run; watch it with: ci wait {JOB}" in err
    assert server.asked(CANCEL) == []


def test_a_second_ctrl_c_does_not_wait_for_the_clean_up(server, start):
    server.on(STREAM, stream(log("hello\n", 6), then="hang"))
    process = start("submit")
    read_until(process.stdout, b"hello\n")
    process.send_signal(signal.SIGINT)
    read_until(process.stderr, b"waiting for it to end")
    server.wait_for(CANCEL)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"cancelled" in err


@pytest.mark.parametrize("arguments", [["wait", JOB], ["logs", JOB, "-f"]])
def test_ctrl_c_in_wait_only_stops_watching(server, start, arguments):
    server.on(STREAM, stream(status("running", 0), log("hello\n", 6), then="hang"))
    code, _, err = interrupt_when_streaming(start, *arguments)
    assert code == 130
    for words in ("stopped waiting", "continues to run", f"ci wait {JOB}"):
        assert words in err
    assert server.asked(CANCEL) == []


def test_a_second_ctrl_c_while_cancelling_exits_at_once(server, start):
    server.on(CANCEL, hang)
    server.on(STREAM, stream(log("hello\n", 6), then="hang"))
    process = start("submit")
    read_until(process.stdout, b"hello\n")
    process.send_signal(signal.SIGINT)
    server.wait_for(CANCEL)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"ci cancel {JOB}".encode() in err
    assert b"Traceback" not in err


def test_ctrl_c_between_upload_and_answer_cancels_what_was_accepted(server, start):
    process = None

    def answer_late(handler):
        process.send_signal(signal.SIGINT)
        err = read_until(process.stderr, b"waiting for the job's id")
        assert b"cancel" in err
        reply_json({"job_id": JOB}, 202)(handler)

    server.on("POST /submit-async", answer_late)
    server.on(STREAM, until_cancelled())
    process = start("submit")
    assert process.wait(timeout=60) == 130
    assert len(server.asked(CANCEL)) == 1


def test_ctrl_c_during_the_upload_submits_nothing(server, start, project):
    (project / "noise.bin").write_bytes(os.urandom(12_000_000))

    def stall(handler):
        handler.server.released.wait(30)

    stall.leaves_body = True
    server.on("POST /submit-async", stall)
    process = start("submit")
    server.wait_for("POST /submit-async")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"nothing was submitted" in err


IN_A_CALLBACK = """
import signal, sys, weakref

class Interrupted:
    def find_spec(self, name, path, target=None):
        if name == {module!r}:
            module = type("Module", (), {{}})()
            reference = weakref.ref(module, lambda _: signal.raise_signal({signal}))
            del module

sys.meta_path.insert(0, Interrupted())
"""
"""Exceptions in such callbacks, which are a part of every import, are ignored by Python."""


@pytest.mark.parametrize(
    ("by", "module", "expected"),
    [
        (signal.SIGTERM, "ci_client.command.commands", 143),
        (signal.SIGINT, "ci_client.command.submitting", 130),
    ],
)
def test_a_signal_is_not_lost_among_imports(server, start, by, module, expected):
    process = start("submit", before=IN_A_CALLBACK.format(module=module, signal=int(by)))
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (expected, b"")
    assert server.asked("POST /submit-async") == []


def test_a_closed_pipe_ends_it_quietly(server, start):
    lines = [log("x" * 60_000 + "\n", (n + 1) * 60_001) for n in range(200)]
    server.on(STREAM, stream(*lines, complete()))
    process = start("wait", JOB, "--all")
    process.stdout.read(10)
    process.stdout.close()
    process.stdout = None
    _, err = process.communicate(timeout=60)
    assert process.returncode == 141
    assert b"Error" not in err


def test_sigterm_ends_a_watcher_quietly(server, start):
    server.on(STREAM, stream(log("hello\n", 6), then="hang"))
    process = start("wait", JOB, "--all")
    read_until(process.stdout, b"hello\n")
    process.terminate()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143
    assert b"Traceback" not in err


def test_a_full_disk_is_an_error_not_a_traceback(server, run):
    server.on(STREAM, stream(log("hello\n", 6), complete()))
    with open("/dev/full", "wb") as full:
        process = run("wait", JOB, "--all", stdout=full)
    assert process[0] == 3
    assert "No space left" in process[2]


def test_closed_standard_streams(server, start):
    server.on(STREAM, stream(log("hello\n", 6), complete()))
    process = start("wait", JOB, "--all", through=["sh", "-c", 'exec "$@" >&- 2>&-', "sh"])
    process.communicate(timeout=60)
    assert process.returncode == 0
