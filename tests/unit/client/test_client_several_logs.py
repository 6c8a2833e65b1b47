"""`ci logs ID ID…` against a scripted server: every byte of every line, and whose it is."""

import random
import signal
import threading

import pytest
from client_scripted_server import (
    COMPLETE,
    DETAILS,
    FINISHED,
    RETRY_SOON,
    error,
    event,
    log,
    read_until,
    reply,
    reply_json,
    status,
    stream,
)

from ci_client.command.several_logs import JobLines
from ci_client.errors import ServerUnreachable, UsageError
from ci_client.library.merged_streams import merged
from ci_common.events import LogEvent
from ci_server.apis.native.present import event_json
from support.command_line import CommandLine

REST = "-9d0a-4c39-8f0e-3f1d2c4b5a69"
ONE, TWO = f"aaaa1111{REST}", f"bbbb2222{REST}"
EXACT = b"\xff\x00\r50%\r\x1b[31m100%\r\nlast, and no end"


def has_ended(**changes):
    return event({**COMPLETE, **changes})


def raw(content, end):
    return event(event_json(LogEvent(content, end)), end)


@pytest.fixture
def server(server):
    """Two jobs, named by whole ids and by what they begin with."""
    for job_id, name in ((ONE, "test"), (TWO, "lint")):
        for asked in (job_id, job_id[:4], job_id[:8]):
            details = DETAILS | {"job_id": job_id, "name": name}
            server.on(f"GET /jobs/{asked}", reply_json(details))
    return server


def log_of(server, job_id, content):
    server.on(f"GET /jobs/{job_id}/logs", reply(200, content, "application/octet-stream"))


def stream_of(server, job_id, *pieces, then="end"):
    server.on(f"GET /jobs/{job_id}/stream", stream(RETRY_SOON, *pieces, then=then))


def test_logs_come_one_after_the_other_and_stdout_has_nothing_else(server, run):
    log_of(server, ONE, EXACT)
    log_of(server, TWO, b"second\n")
    code, out, err = run("logs", "aaaa", TWO)
    assert (code, out) == (0, EXACT + b"second\n")
    assert err == "==> test aaaa1111 <==\n==> lint bbbb2222 <==\n"


def test_a_job_that_is_named_twice_is_shown_once(server, run):
    log_of(server, ONE, b"log\n")
    code, out, err = run("logs", "aaaa", ONE, "aaaa1111")
    assert (code, out) == (0, b"log\n")
    assert err.count("==>") == 1


@pytest.mark.parametrize("more", [[], ["--follow"], ["--tail", "3"]])
def test_nothing_is_shown_where_one_is_unknown(server, run, more):
    server.on("GET /jobs/cccc", error(404, "job_not_found", "no such job"))
    code, out, err = run("logs", "aaaa", "cccc", *more)
    assert (code, out) == (2, b"")
    assert err.startswith("Error: Job cccc was not found")


def test_followed_logs_are_mixed_by_whole_lines(server, run):
    stream_of(
        server,
        ONE,
        status("running", 0),
        raw(EXACT[:8], 8),
        raw(EXACT[8:], len(EXACT)),
        has_ended(success=False, exit_code=7),
    )
    pulling = event({"type": "waiting", "reason": "image_pull", "message": "pulls the image"})
    stream_of(server, TWO, pulling, pulling, log("a\nb", 3), log("c\n\n", 6), has_ended())
    code, out, err = run("logs", "-f", "aaaa", "bbbb")
    assert code == 1
    ours = [line for line in out.splitlines(keepends=True) if line.startswith(b"lint bbbb2222 | ")]
    assert ours == [b"lint bbbb2222 | " + line for line in (b"a\n", b"bc\n", b"\n")]
    first, _, last = (EXACT + b"\n").partition(b"\n")
    for line in (first + b"\n", last):
        assert b"test aaaa1111 | " + line in out
    assert len(out) == len(EXACT) + 1 + len(b"a\nbc\n\n") + 5 * len("lint bbbb2222 | ")
    assert "test aaaa1111 | status: running\n" in err
    assert err.count("lint bbbb2222 | waiting: pulls the image\n") == 1
    assert "test aaaa1111 | ✗ failed: exit code 7 (ci logs" in err
    assert "lint bbbb2222 | ✓ passed\n" in err


@pytest.mark.parametrize(
    ("ids", "code"), [(("aaaa", "bbbb"), 5), (("bbbb", "aaaa"), 4), (("bbbb", "bbbb2222"), 4)]
)
def test_the_exit_code_is_that_of_the_first_that_did_not_pass(server, run, ids, code):
    stream_of(server, ONE, has_ended(success=False, status="failed", reason="timeout"))
    stream_of(server, TWO, has_ended(success=False, status="cancelled", reason="cancelled"))
    assert run("logs", "-f", *ids)[0] == code


def test_a_stream_that_never_was_one_is_no_success(server, run):
    server.on(f"GET /jobs/{ONE}/stream", reply(204, b""))
    stream_of(server, TWO, has_ended())
    code, _, err = run("logs", "-f", "aaaa", "bbbb")
    assert code == 3
    assert "test aaaa1111 | Error: " in err


def test_one_that_is_refused_does_not_end_the_others(server, run):
    server.on(f"GET /jobs/{ONE}/stream", error(403, "forbidden", "not for you"))
    stream_of(server, TWO, log("still here\n", 11), has_ended())
    code, out, err = run("logs", "-f", "aaaa", "bbbb")
    assert (code, out) == (2, b"lint bbbb2222 | still here\n")
    assert "test aaaa1111 | Error: not for you\n" in err


def test_a_stream_that_breaks_goes_on_where_it_was(server, run):
    server.on(
        f"GET /jobs/{ONE}/stream",
        stream(RETRY_SOON, log("half a ", 7)),
        stream(RETRY_SOON, log("line\n", 12), has_ended()),
    )
    stream_of(server, TWO, has_ended())
    code, out, _ = run("logs", "-f", "aaaa", "bbbb")
    assert (code, out) == (0, b"test aaaa1111 | half a line\n")


def test_the_last_lines_of_each(server, run):
    for job_id in (ONE, TWO):
        log_of(server, job_id, b"1\n2\n3\n")
        server.on(
            f"GET /jobs/{job_id}",
            reply_json(FINISHED | {"job_id": job_id, "name": "test", "log_size": 6}),
        )

    def rest(handler):
        first = int(handler.headers["Last-Event-ID"])
        stream(log("1\n2\n3\n"[first:], 6), has_ended())(handler)

    server.on(f"GET /jobs/{ONE}/stream", rest)
    server.on(f"GET /jobs/{TWO}/stream", rest)
    code, out, _ = run("logs", "-f", "--tail", "1", ONE, TWO)
    assert (code, sorted(out.splitlines())) == (0, [b"test aaaa1111 | 3", b"test bbbb2222 | 3"])


def test_ctrl_c_stops_watching_and_says_which_go_on(server, start):
    stream_of(server, ONE, log("started\n", 8), then="hang")
    stream_of(server, TWO, log("over\n", 5), has_ended())
    process = start("logs", "-f", "aaaa", "bbbb")
    read_until(process.stderr, b"passed")
    read_until(process.stdout, b"started")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert (
        f"continue to run; watch them again with:\nci logs -f aaaa1111 --server {server.url}"
        in (err.decode())
    )
    assert not server.asked(f"POST /jobs/{ONE}/cancel")


@pytest.mark.parametrize("no_color", ["", "1"])
def test_on_a_terminal_the_names_have_colors(server, tmp_path, no_color):
    stream_of(server, ONE, log("one\n", 4), has_ended())
    stream_of(server, TWO, log("two\n", 4), has_ended())
    line = CommandLine(server.url, tmp_path)
    terminal = line.on_terminal("logs", "-f", "aaaa", "bbbb", NO_COLOR=no_color)
    code, shown = terminal.end()
    line.close()
    assert code == 0
    names = ("test aaaa1111 |", "lint bbbb2222 |")
    if no_color:
        assert f"{names[0]} one\r\n" in shown
        assert f"{names[1]} two\r\n" in shown
        assert "\x1b" not in shown
    else:
        assert f"\x1b[36m{names[0]}\x1b[0m one\r\n" in shown
        assert f"\x1b[33m{names[1]}\x1b[0m two\r\n" in shown
        assert f"\x1b[32m{names[0]} ✓ passed\x1b[0m\r\n" in shown


def test_ids_that_begin_alike_are_shown_whole(server, run):
    other = ONE[:-1] + "0"
    server.on(f"GET /jobs/{other}", reply_json(DETAILS | {"job_id": other, "name": "test"}))
    log_of(server, ONE, b"")
    log_of(server, other, b"")
    _, _, err = run("logs", ONE, other)
    assert err == f"==> test {ONE} <==\n==> test {other} <==\n"


def test_whatever_the_pieces_no_byte_is_lost(capfdbinary):
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    content = bytes(chance.choices(b"ab\r\n\0\xff", k=20_000))
    lines = JobLines(ONE, "test", None)
    left = content
    while left:
        piece, left = left[: (size := chance.randrange(1, 400))], left[size:]
        lines.take({"type": "log", **event_json(LogEvent(piece, 0))})
    lines.take(COMPLETE)
    shown = capfdbinary.readouterr().out
    whole = content if content.endswith(b"\n") else content + b"\n"
    expected = b"".join(b"test | " + line + b"\n" for line in whole[:-1].split(b"\n"))
    assert shown == expected, f"seed {seed}"


def test_a_log_without_line_ends_is_not_held_back(capfdbinary):
    lines, size = JobLines(ONE, "test", None), 1 << 18
    for _ in range(16):
        lines.take({"type": "log", "data": "x" * size})
    shown = capfdbinary.readouterr().out
    assert 12 * size < shown.count(b"x") < 17 * size
    assert max(map(len, shown.splitlines())) < 6 * size


def test_streams_are_handed_out_as_they_come_and_each_in_order():
    go_on = threading.Event()

    def slow():
        yield 1
        assert go_on.wait(60)
        yield 2

    def fails():
        yield 3
        raise ServerUnreachable("http://there", "gone")

    found = []
    for number, item in merged([slow(), fails()]):
        found.append((number, item if isinstance(item, int) else type(item)))
        if len(found) == 3:
            go_on.set()
    assert [item for number, item in found if number == 0] == [1, 2]
    assert [item for number, item in found if number == 1] == [3, ServerUnreachable]
    assert found[-1] == (0, 2)


def test_a_bug_in_a_stream_is_raised():
    def broken():
        raise ZeroDivisionError
        yield

    with pytest.raises(ZeroDivisionError):
        list(merged([broken(), iter([UsageError("no error of a stream")])]))
