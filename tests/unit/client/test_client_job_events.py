"""The events of all jobs, over connections that end and break off."""

import itertools

import pytest
from client_scripted_server import RETRY_SOON, error, event, scripted_server, stream

from ci_client.client import Client
from ci_client.command.job_watch import watch_jobs
from ci_client.errors import RequestRefused, ServerUnreachable, UsageError
from ci_client.library import job_events
from ci_client.library.config import ServerChoice

EVENTS = "GET /events"


def at(cursor, **data):
    return event({"type": "job", "kind": "finished", **data}, cursor)


def begin(cursor):
    return event({"type": "begin"}, cursor)


def read(server, count, **options):
    """The first events, and what the reader said of attempts."""
    told = []
    patience = options.pop("patience", 300)
    with Client(server.url, patience=patience, on_retry=lambda why, _: told.append(why)) as client:
        return list(itertools.islice(client.job_events(**options), count)), told


def last_ids(server):
    return [asked.headers.get("last-event-id") for asked in server.asked(EVENTS)]


@pytest.mark.parametrize("then", ["drop", "end"])
def test_a_reader_goes_on_where_it_was(server, then, monkeypatch):
    """An end that the server wants is no failure; a broken connection is one, and is told."""
    monkeypatch.setattr(job_events, "_SHORTEST_SECONDS", 0)
    server.on(
        EVENTS,
        stream(RETRY_SOON, begin("s.1"), at("s.2", seq=2), then=then),
        stream(begin("s.2"), at("s.3", seq=3), event({"type": "gone"}, "s.3.9"), then=then),
        stream(begin("s.3.9"), at("s.10.9", seq=10), then=then),
    )
    events, told = read(server, 7)
    types = [one["type"] for one in events]
    assert types == ["begin", "job", "begin", "job", "gone", "begin", "job"]
    assert [one["seq"] for one in events if one["type"] == "job"] == [2, 3, 10]
    assert last_ids(server) == [None, "s.2", "s.3.9"]
    assert len(told) == (2 if then == "drop" else 0)


def test_a_server_that_ends_streams_at_once_is_asked_with_pauses(server):
    server.on(EVENTS, stream(RETRY_SOON, begin("s.1"), then="end"))
    events, told = read(server, 3)
    assert len(events) == 3
    assert told[:2] == ["the stream ended at once"] * 2


def test_what_is_asked_for(server):
    server.on(EVENTS, stream(begin("s.1")))
    read(server, 1, kinds=["deleted"], mine=True)
    (asked,) = server.asked(EVENTS)
    assert asked.query == {"kind": "deleted", "mine": "true"}


def test_refusals(server):
    server.on(EVENTS, error(403, "forbidden", "the role may not list jobs"))
    with pytest.raises(RequestRefused, match="may not list"):
        read(server, 1)


def test_an_older_server_is_named():
    with scripted_server() as server, pytest.raises(UsageError, match="support GET /events"):
        read(server, 1)


def test_gives_up_when_the_server_stays_away():
    with scripted_server() as gone:
        pass
    with pytest.raises(ServerUnreachable):
        read(gone, 1, patience=0.2)


def test_a_server_that_is_not_there_is_told_at_once(monkeypatch, capsys):
    """And not after the minutes for which a lost connection is waited for."""
    with scripted_server() as gone:
        pass
    monkeypatch.setattr(Client, "job_events", lambda *_, **__: pytest.fail("it would wait"))
    with pytest.raises(ServerUnreachable, match="connection refused"):
        watch_jobs(ServerChoice(gone.url), mine=False, as_json=False)
    assert capsys.readouterr() == ("", "")
