"""The resuming reader, against a server that breaks off in every way."""

import random
import time

import pytest
from client_scripted_server import (
    JOB,
    RETRY_SOON,
    STREAM,
    ScriptedServer,
    StoredLog,
    complete,
    error,
    event,
    log,
    reply,
    scripted_server,
    status,
    stream,
)

from ci_client.errors import JobNotFound, RequestRefused, ServerUnreachable, UnexpectedAnswer
from ci_client.library.sse_reader import JobStreamReader, log_bytes
from ci_client.library.transport import open_http
from ci_common.events import LogEvent
from ci_server.apis.native.present import event_json


def read(server: ScriptedServer, from_beginning: bool = True, **options):
    with open_http(server.url) as http:
        reader = JobStreamReader(http, JOB, from_beginning=from_beginning, **options)
        return list(reader.events())


def text_of(events) -> str:
    return "".join(e["data"] for e in events if e["type"] == "log")


def last_ids(server: ScriptedServer) -> list[str | None]:
    return [asked.headers.get("last-event-id") for asked in server.asked(STREAM)]


def test_reads_a_whole_stream_on_one_connection(server):
    server.on(STREAM, stream(RETRY_SOON, status("running", 0), log("a\n", 2), complete()))
    events = read(server)
    assert [e["type"] for e in events] == ["status", "log", "complete"]
    assert last_ids(server) == [None]
    assert server.requests[0].query == {"from_beginning": "true"}


def test_a_reader_that_has_the_result_is_told_to_stop(server):
    server.on(STREAM, reply(204, b""))
    assert read(server, last_event_id="7:complete") == []
    assert last_ids(server) == ["7:complete"]


def test_retry_beside_data_and_an_id_of_complete_are_understood(server):
    """Older servers send `retry` in a block of its own, and `complete` without an id."""
    named = b"id: 2:complete\r\n" + complete()
    server.on(STREAM, stream(b"retry: 10\r\n" + log("a\n", 2), named))
    events = read(server)
    assert [e["type"] for e in events] == ["log", "complete"]


@pytest.mark.parametrize("then", ["drop", "end", "reset"])
@pytest.mark.parametrize("chunked", [True, False])
def test_an_end_without_complete_is_a_drop(server, then, chunked):
    server.on(
        STREAM,
        stream(RETRY_SOON, status("running", 0), log("one\n", 4), then=then, chunked=chunked),
        stream(status("running", 4), log("two\n", 8), complete()),
    )
    events = read(server)
    # A reset may overtake what was sent before it.
    assert text_of(events) in (("one\ntwo\n", "two\n") if then == "reset" else ("one\ntwo\n",))
    assert [e["type"] for e in events].count("status") == 1, "an unchanged status is no news"
    assert events[-1]["type"] == "complete"


def test_cuts_anywhere_lose_and_repeat_nothing(server):
    chance = random.Random(7)
    content = bytes(chance.choice(b"ab\r\n\x00\x1b\xe4\x85 ") for _ in range(60_000))
    stored = StoredLog(content, cuts=[chance.randrange(1, 9000) for _ in range(25)])
    server.on(STREAM, stored)
    assert text_of(read(server)).encode("latin-1") == content
    assert not stored.cuts


def test_large_events_and_exact_bytes(server):
    content = bytes(range(256)) * 800
    pieces = [content[at : at + 65536] for at in range(0, len(content), 65536)]
    events, end = [], 0
    for piece in pieces:
        end += len(piece)
        events.append(event(event_json(LogEvent(piece, end)), end))
    server.on(
        STREAM, stream(RETRY_SOON, *events[:2], events[2][:99]), stream(*events[2:], complete())
    )
    received = b"".join(log_bytes(e) for e in read(server) if e["type"] == "log")
    assert received == content
    assert last_ids(server) == [None, str(2 * 65536)]


def test_without_from_beginning_the_first_id_is_where_to_resume(server):
    server.on(
        STREAM,
        stream(RETRY_SOON, status("running", 1234)),
        stream(log("later\n", 1240), complete()),
    )
    assert text_of(read(server, from_beginning=False)) == "later\n"
    assert last_ids(server) == [None, "1234"]
    assert server.requests[0].query == {"from_beginning": "false"}


def test_retries_refused_connections_and_busy_servers(server):
    server.on(
        STREAM,
        error(503, "not_ready", "starting"),
        error(429, "slow_down", "busy", Retry_After="0"),
        stream(status("running", 0), log("x", 1), complete()),
    )
    told = []
    assert text_of(read(server, on_retry=lambda why, delay: told.append(why))) == "x"
    assert told == ["status 503", "busy"]


def test_retry_after_is_honoured(server):
    server.on(STREAM, error(503, "not_ready", "x", Retry_After="1"), stream(complete()))
    delays = []
    read(server, on_retry=lambda why, delay: delays.append(delay))
    assert delays == [pytest.approx(1.0)]


def test_gives_up_when_the_server_stays_away(server):
    server.on(STREAM, error(503, "not_ready", "starting"))
    with pytest.raises(ServerUnreachable, match="status 503"):
        read(server, patience=0.2)


def test_gives_up_on_a_closed_port_and_names_it():
    with scripted_server() as gone:
        url = gone.url
    with open_http(url) as http, pytest.raises(ServerUnreachable, match="connection refused"):
        list(JobStreamReader(http, JOB, from_beginning=True, patience=0.2).events())


def test_a_silent_connection_is_a_dead_one(server):
    server.on(
        STREAM,
        stream(RETRY_SOON, status("running", 0), log("x", 1), then="hang"),
        StoredLog(b"xy"),  # of all that is missing: this server may be slow, too
    )
    assert text_of(read(server, silence=0.2)) == "xy"
    assert len(server.asked(STREAM)) > 1


def test_heartbeats_alone_count_as_contact(server):
    # The reader's patience is shorter than the time it spent on a quiet stream.
    def quiet(handler):
        handler.begin(200, Content_Type="text/event-stream", Transfer_Encoding="chunked")
        handler.chunk(RETRY_SOON)
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            handler.chunk(b": ping\r\n\r\n")
            handler.server.released.wait(0.05)
        handler.close_connection = True

    server.on(STREAM, quiet, stream(complete()))
    assert read(server, patience=0.3)[-1]["type"] == "complete"


def test_client_errors_end_it(server):
    server.on(STREAM, error(404, "job_not_found", "No such job"))
    with pytest.raises(JobNotFound, match="not found"):
        read(server)
    server.on(STREAM, error(400, "invalid_offset", "An offset is a number"))
    with pytest.raises(RequestRefused, match="An offset is a number") as refused:
        read(server)
    assert (refused.value.code, refused.value.http_status) == ("invalid_offset", 400)


def test_something_else_than_a_ci_server(server):
    server.on(STREAM, reply(200, b"<html>", "text/html"))
    with pytest.raises(UnexpectedAnswer, match="event stream"):
        read(server)


def test_a_garbled_event_is_read_again(server):
    garbled = b"id: 8\r\ndata: {oops\r\n\r\n"
    server.on(
        STREAM,
        stream(RETRY_SOON, log("one\n", 4), garbled),
        stream(log("two\n", 8), complete()),
    )
    assert text_of(read(server)) == "one\ntwo\n"
    assert last_ids(server) == [None, "4"]


def test_garbage_for_ever_is_an_error(server):
    server.on(STREAM, stream(RETRY_SOON, b"data: [1]\n\n"))
    with pytest.raises(UnexpectedAnswer, match="JSON"):
        read(server)


def test_unknown_events_are_handed_on_and_harmless(server):
    server.on(STREAM, stream(event({"type": "weather", "sun": True}), complete()))
    assert [e["type"] for e in read(server)] == ["weather", "complete"]


def test_a_large_log_is_cheap_to_read(server):
    # 256 KiB events: a decoder that is quadratic in them takes minutes.
    line = "x" * 69 + "\n"
    piece = line * 3744
    wire = [log(piece, (n + 1) * len(piece)) for n in range(64)]
    server.on(STREAM, stream(*wire, complete()))
    before = time.thread_time()
    assert len(text_of(read(server))) == 64 * len(piece)
    assert time.thread_time() - before < 5


def test_a_server_that_stays_too_busy_is_not_called_unreachable(server):
    server.on(STREAM, error(429, "too_many_streams", "You have 2 streams.", Retry_After="1"))
    with pytest.raises(RequestRefused, match=r"You have 2 streams\. Try again in 1 s") as refused:
        read(server, patience=1)  # within which the first answer has to come
    assert refused.value.code == "too_many_streams"
    assert len(server.asked(STREAM)) > 1
