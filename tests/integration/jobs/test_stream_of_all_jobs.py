"""`GET /events`: what happens to jobs, live, and resumed. Who gets what is in the access matrix."""

import httpx_sse
import pytest

from ci_server.apis.native import events as native_events
from support import events, projects
from support.short_streams import short_streams
from support.waiting import until_sync

LIFE = ["submitted", "claimed", "started", "finished"]


@pytest.fixture
def server(own_server, python_for_jobs):
    server = own_server(python=python_for_jobs, executor="process")
    return server.start().ready()


def open_stream(server, **options):
    return events.streaming(server.http, "GET", "/events", **options)


def read_until(stream, job_id, kind):
    """Events up to this one."""
    seen = []
    for event in stream:
        seen.append(event)
        if (event.data.get("job_id"), event.data.get("kind")) == (job_id, kind):
            return seen
    return pytest.fail(f"the stream ended; it had {seen}")


def kinds(seen, job_id):
    return [event.data["kind"] for event in seen if event.data.get("job_id") == job_id]


def test_the_life_of_a_job_live_and_resumed_over_a_restart(server):
    with open_stream(server) as stream:
        first = next(stream)
        assert first.data == {"type": "begin"}
        job_id = server.submit(projects.ANY, projects.shell("exit 3"))
        seen = read_until(stream, job_id, "finished")
    assert kinds(seen, job_id) == LIFE
    assert [event.data["seq"] for event in seen] == sorted(event.data["seq"] for event in seen)
    last = seen[-1].data
    assert (last["type"], last["user"], last["private"]) == ("job", "local", False)
    assert (last["facts"]["status"], last["facts"]["exit_code"]) == ("completed", 3)

    server.kill()
    server.start().ready()
    second = server.submit(projects.ANY, projects.shell("true"))
    server.finished(second)
    for at in range(len(seen)):
        with open_stream(server, headers={"Last-Event-ID": seen[at].id}) as stream:
            rest = read_until(stream, second, "finished")
        assert rest[0].data == {"type": "begin"}
        assert kinds(rest, job_id) == LIFE[at + 1 :]
        assert kinds(rest, second) == LIFE
    with open_stream(server, params={"after": first.id, "kind": ["finished", "deleted"]}) as stream:
        assert kinds(read_until(stream, second, "finished"), job_id) == ["finished"]
    with open_stream(server, params={"stored": True}) as stream:
        assert kinds(read_until(stream, second, "finished"), job_id) == LIFE


def test_what_was_removed_is_told(own_server):
    server = own_server(controller="external").start()
    with open_stream(server) as stream:
        begin = next(stream).id
    job_id = server.submit(projects.ANY)
    server.execute("DELETE FROM jobs WHERE job_id = ?", job_id)
    with open_stream(server, params={"after": begin}) as stream:
        seen = read_until(stream, job_id, "deleted")
    assert [event.type for event in seen] == ["begin", "gone", "job"]
    with open_stream(server, params={"after": seen[1].id}) as stream:
        again = read_until(stream, job_id, "deleted")
    assert [event.type for event in again] == ["begin", "job"], "it is told once"


@pytest.mark.parametrize("given", ["nonsense", "a.b", "1.2.3.4", "x" * 9000, "a.1_0", "-"])
def test_what_is_not_an_id_is_refused(server, given):
    for options in ({"params": {"after": given}}, {"headers": {"Last-Event-ID": given}}):
        answer = server.http.get("/events", **options)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_cursor")


def test_refused_parameters(server):
    for query in ("kind=exploded", "stored=true&after=a.1", "after=a.1&after=a.2", "job=x"):
        answer = server.http.get(f"/events?{query}")
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (400, "invalid_request")
        assert error["message"].startswith(query.partition("=")[0])


def test_a_stream_ends_now_and_then_so_that_keys_are_checked_again(server, tmp_path):
    """Its reader goes on where it was."""
    assert 60 <= native_events.LONGEST_SECONDS <= 3600
    server.kill()
    server.environment |= short_streams(tmp_path, 0.5)
    server.start().ready()
    with open_stream(server) as stream:
        seen = list(stream)
    assert [event.type for event in seen] == ["begin"]
    job_id = server.submit(projects.ANY, projects.shell("true"))
    last, found = seen[0].id, []

    def go_on():
        nonlocal last
        with open_stream(server, headers={"Last-Event-ID": last}) as stream:
            for event in stream:
                last = event.id
                found.append(event)
        return kinds(found, job_id)

    until_sync(go_on, lambda seen: seen == LIFE, "the whole life, each event once")


def test_a_reader_of_rare_events_does_not_read_the_others_again(server, tmp_path):
    """The stream's end tells how far it was, also over events that the reader did not want."""
    server.kill()
    server.environment |= short_streams(tmp_path, 4)
    server.start().ready()
    with httpx_sse.connect_sse(server.http, "GET", "/events?kind=cancel_requested") as source:
        found = source.iter_sse()
        begin = next(found)
        job_id = server.submit(projects.ANY, projects.shell("true"))
        rest = list(found)
    assert [event.data for event in rest if event.data] == []
    reached = rest[-1].id
    assert reached != begin.id
    with open_stream(server, params={"after": reached}) as stream:
        assert "submitted" not in kinds(list(stream), job_id)
