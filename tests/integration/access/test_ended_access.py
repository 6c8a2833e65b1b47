"""What was begun with a key or a session ends with it, in a real server."""

import threading
from contextlib import ExitStack

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from support import projects
from support.administration import Caller, create_key, create_user, succeed
from support.waiting import until_sync

STREAMS = (
    "/events",
    "/jobs/{id}/stream",
    "/jobs/{id}/logs?follow=true",
    "/streams/jobs/{id}/log?offset=-1&live=sse",
    "/streams/events?offset=now&live=sse",
)


class Reading:
    """A stream that is read by a thread, until it ends."""

    def __init__(self, http, path, **options):
        self.path, self.status, self.is_cut = path, None, False
        self._http, self._options = http, options
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        try:
            with self._http.stream("GET", self.path, **self._options) as answer:
                self.status = answer.status_code
                for _ in answer.iter_raw():
                    pass
        except httpx.TransportError as error:
            self.is_cut = isinstance(error, httpx.RemoteProtocolError)

    @property
    def has_ended(self):
        return not self._thread.is_alive()


def closing_code(socket):
    try:
        while True:
            socket.recv(timeout=60)
    except ConnectionClosed as closed:
        return closed.rcvd.code


@pytest.fixture
def server(own_server):
    server = own_server(controller="external").start()
    create_user(server)
    return server


def bearer(key):
    return {"headers": {"Authorization": f"Bearer {key}"}}


def test_open_streams_end_with_the_key_or_session_and_others_go_on(server):
    """All in one test, because it waits for the time between two checks."""
    gone, stays = create_key(server), create_key(server)
    job_id = Caller(server, stays).submit(server.form(projects.ANY))
    paths = [path.format(id=job_id) for path in STREAMS]
    lent = Caller(server, gone).ask("POST", f"/jobs/{job_id}/token").json()["token"]
    with ExitStack() as stack:
        options = {"base_url": server.url, "timeout": 120, "trust_env": False}
        http = stack.enter_context(httpx.Client(**options))
        browser = stack.enter_context(httpx.Client(**options))
        page = {"Origin": server.url, "Sec-Fetch-Site": "same-origin"}
        signed_in = browser.post("/session", json={"api_key": stays}, headers=page)
        assert signed_in.status_code == 200, signed_in.text
        ending = [Reading(http, path, **bearer(gone)) for path in paths]
        ending += [Reading(browser, path, headers=page) for path in paths]
        going_on = [Reading(http, path, **bearer(stays)) for path in paths]
        going_on.append(Reading(http, f"/jobs/{job_id}/stream?token={lent}"))
        address = f"ws{server.url.removeprefix('http')}/jobs/{job_id}/stream"
        socket = stack.enter_context(
            connect(address, additional_headers=bearer(gone)["headers"], proxy=None)
        )
        everything = [*ending, *going_on]
        until_sync(lambda: [one.status for one in everything], all, "the streams")
        assert {one.status for one in everything} == {200}, [
            (one.path, one.status) for one in everything
        ]
        succeed(server, "key", "revoke", gone[:11])
        succeed(server, "session", "revoke", signed_in.json()["session"]["id"])
        until_sync(
            lambda: [one.path for one in ending if not one.has_ended],
            lambda open_ones: not open_ones,
            "the end of the streams",
            60,
        )
        assert all(one.is_cut for one in ending), "none may look like the end of a log"
        assert not any(one.has_ended for one in going_on)
        assert closing_code(socket) == 1008
    ended = "session is no longer valid"  # the log is written a moment later
    server.until(lambda: ended in server.log_path.read_text(), what="its line in the log")
    assert "Traceback" not in server.log_path.read_text()
