"""Connections beyond the limits: what the line of their request makes of them."""

from http import HTTPStatus

import pytest

from ci_server.apis.native.openapi import access_of, routes_of
from ci_server.app import create_app
from ci_server.connections.reserve import (
    HEAD_BYTES,
    LINE_BYTES,
    PROBE_PATHS,
    ConnectionRefusal,
    ConnectionReserve,
    ReservedConnection,
)

FULL = ConnectionRefusal(HTTPStatus.SERVICE_UNAVAILABLE, "full")
HEALTH = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
FED_HEALTH = b"GET /health HTTP/1.1\r\nConnection: close\r\nHost: localhost\r\n\r\n"


class Timers:
    """In place of an event loop: what is to be called later, when the test says so."""

    def __init__(self):
        self.calls = []

    def call_later(self, _, call):
        self.calls.append(call)
        return self

    def cancel(self):
        self.calls.clear()


class Connection:
    """One of the reserve, and what became of it."""

    def __init__(self, address="a", has_place=False):
        self.told = []
        self.timers = Timers()
        self.reserved = ReservedConnection(
            address,
            FULL,
            loop=self.timers,
            try_admit=lambda: has_place,
            refuse=lambda _, *how: self.told.append(how),
            abort=lambda: self.told.append("cut off"),
        )

    def feed(self, *pieces):
        return b"".join(map(self.reserved.feed, pieces))


LINGERS, NO_BODY, AT_ONCE = (True, True), (False, True), (True, False)


def test_the_probes_are_the_routes_for_everybody_that_are_no_pages():
    public = {
        route.path
        for route in routes_of(create_app())
        if access_of(route) is None and route.include_in_schema and "{" not in route.path
    }
    assert set(PROBE_PATHS) == public - {"/session"}, "who signs in is no probe"


@pytest.mark.parametrize(
    "head",
    [
        HEALTH,
        b"HEAD /ready HTTP/1.0\r\n\r\n",
        b"GET /api/v1/health HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /api/v1/health/ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"HEAD /api/v1/health/ready HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /api/v1/health/ready/?x HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /ready?by=k8s HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n",
    ],
)
def test_a_probe_is_passed_on_as_the_last_request_of_its_connection(head):
    for size in range(1, len(head)):
        connection = Connection()
        passed = connection.feed(*(head[i : i + size] for i in range(0, len(head), size)))
        line, _, rest = head.partition(b"\r\n")
        assert passed == line + b"\r\nConnection: close\r\n" + rest
        assert connection.told == []
        assert connection.feed(HEALTH) == b"", "one request is all"


def test_what_follows_a_probe_is_dropped():
    assert Connection().feed(HEALTH * 3) == FED_HEALTH
    assert Connection().feed(b"\r\n\r\n" + HEALTH) == FED_HEALTH


@pytest.mark.parametrize(
    "line",
    [
        b"GET /jobs HTTP/1.1\r\n",
        b"POST /submit-async HTTP/1.1\r\n",
        b"POST /health HTTP/1.1\r\n",
        b"GET /healthy HTTP/1.1\r\n",
        b"GET /health/../jobs HTTP/1.1\r\n",
        b"GET /health%2f HTTP/1.1\r\n",
        b"GET http://localhost/health HTTP/1.1\r\n",
        b"GET /health HTTP/2.0\r\n",
        b"GET /health HTTP/1.1\n",
        b"GET  /health HTTP/1.1\r\n",
        b"GET /health\r\n",
        b"PRI * HTTP/2.0\r\n",
        b"\x16\x03\x01\x02\x00\n",
    ],
)
def test_everything_else_is_refused_by_its_first_line(line):
    for size in (1, len(line)):
        connection = Connection()
        assert connection.feed(*(line[i : i + size] for i in range(0, len(line), size))) == b""
        assert connection.told == [LINGERS]
        assert connection.feed(HEALTH) == b""


def test_a_head_request_is_refused_without_a_body():
    connection = Connection()
    assert connection.feed(b"HEAD /jobs HTTP/1.1\r\n") == b""
    assert connection.told == [NO_BODY]


@pytest.mark.parametrize(
    ("start", "most"), [(b"GET /", LINE_BYTES), (HEALTH[:-2] + b"X-Large: ", HEAD_BYTES)]
)
def test_little_is_kept(start, most):
    connection = Connection()
    connection.feed(start)
    for _ in range(most - len(start)):
        assert connection.feed(b"x") == b""
    assert connection.told == []
    connection.feed(b"xx")
    assert connection.told == [LINGERS]


def test_a_request_is_served_when_a_place_became_free():
    connection = Connection(has_place=True)
    assert connection.feed(b"POST /submit HT") == b""
    assert connection.feed(b"TP/1.1\r\nHost") == b"POST /submit HTTP/1.1\r\nHost"


def test_who_says_nothing_is_told_after_a_time():
    connection = Connection()
    connection.timers.calls.pop()()
    assert connection.told == [LINGERS]


def test_a_probe_whose_answer_takes_too_long_is_cut_off():
    connection = Connection()
    connection.feed(HEALTH)
    connection.timers.calls.pop()()
    assert connection.told == ["cut off"]


# ------------------------------------------------------------------ the reserve


def reserve_of(*connections, size=3):
    reserve = ConnectionReserve(size)
    for connection in connections:
        assert reserve.enter(connection.reserved)
    return reserve


def test_the_newest_is_let_in_and_the_oldest_that_says_nothing_told():
    oldest, *others = [Connection() for _ in range(4)]
    reserve = reserve_of(oldest, *others)
    assert len(reserve) == 3
    assert oldest.told == [AT_ONCE]
    assert all(other.told == [] for other in others)


def test_those_who_ask_for_nothing_go_before_those_who_are_refused():
    refused, silent, other = [Connection() for _ in range(3)]
    refused.feed(b"POST /submit HTTP/1.1\r\n")
    reserve = reserve_of(refused, silent, other)
    assert reserve.enter(Connection().reserved)
    assert (refused.told, silent.told, other.told) == ([LINGERS], [AT_ONCE], [])


def test_those_who_still_send_go_when_nobody_else_can():
    first, *others = [Connection() for _ in range(3)]
    for connection in (first, *others):
        connection.feed(b"POST /submit HTTP/1.1\r\n")
    assert reserve_of(first, *others).enter(Connection().reserved)
    assert first.told == [LINGERS, "cut off"]


def test_the_address_that_has_the_most_makes_room():
    alone, first, second = Connection("b"), Connection("a"), Connection("a")
    assert reserve_of(alone, first, second).enter(Connection("a").reserved)
    assert (alone.told, first.told, second.told) == ([], [AT_ONCE], [])


def test_probes_that_are_being_answered_stay():
    probes = [Connection() for _ in range(3)]
    for probe in probes:
        probe.feed(HEALTH)
    reserve = reserve_of(*probes)
    assert not reserve.enter(Connection().reserved)
    assert all(probe.told == [] for probe in probes)
    reserve.leave(probes[0].reserved)
    assert reserve.enter(Connection().reserved)
