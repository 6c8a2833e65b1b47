"""What is around every request: calls at its end, and answers that come before its body."""

import asyncio

import pytest

from ci_server.http.cleanup import RequestEnd, at_end
from ci_server.http.drain_after_error import EarlyAnswers

pytestmark = pytest.mark.anyio


# ------------------------------------------------------------------ the end


def ending(how):
    """An application that wants to be told of the end of its request, and ends so."""

    async def app(scope, receive, send):
        at_end(scope, lambda: scope["told"].append("first"))
        at_end(scope, lambda: scope["told"].append("second"))
        assert scope["told"] == []
        await how()

    return RequestEnd(app)


async def returns():
    pass


async def fails():
    raise ZeroDivisionError


async def test_the_end_of_a_request_that_is_answered():
    scope = {"type": "http", "told": []}
    await ending(returns)(scope, None, None)
    assert scope["told"] == ["second", "first"]


async def test_what_a_stream_holds_is_given_back_with_its_last_byte():
    """Whoever has it may ask for the next one before all tasks of this one have ended."""
    told, told_when_sent = [], []

    async def app(scope, receive, send):
        at_end(scope, lambda: told.append("end"))
        for more in (True, False):
            await send({"type": "http.response.body", "body": b"", "more_body": more})
            told_when_sent.append(list(told))

    async def send(message):
        assert told == []

    await RequestEnd(app)({"type": "http"}, None, send)
    assert told_when_sent == [[], ["end"]]
    assert told == ["end"]


async def test_the_end_of_a_request_that_fails():
    scope = {"type": "http", "told": []}
    with pytest.raises(ZeroDivisionError):
        await ending(fails)(scope, None, None)
    assert scope["told"] == ["second", "first"]


def test_the_end_of_a_request_that_is_cancelled():
    scope = {"type": "http", "told": []}

    async def run():
        waits = asyncio.Event()
        task = asyncio.create_task(ending(waits.wait)(scope, None, None))
        await asyncio.sleep(0)
        assert scope["told"] == []
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert scope["told"] == ["second", "first"]


# ------------------------------------------------------------------ early answers


def piece(more):
    return {"type": "http.request", "body": b"x", "more_body": more}


class Exchange:
    """One request to an application that answers with this status, after reading so much."""

    def __init__(self, incoming, status=429, reads=0, length=b"3"):
        self.incoming = list(incoming)
        self.sent = []
        self.left_when_answered = None
        self._status = status
        self._reads = reads
        self._headers = [(b"content-length", length)] if length else []

    async def run(self, seconds=5.0, size=100):
        scope = {"type": "http", "headers": self._headers}
        await EarlyAnswers(self._app, seconds, size)(scope, self._receive, self._send)
        return self

    async def _app(self, scope, receive, send):
        for _ in range(self._reads):
            await receive()
        await send({"type": "http.response.start", "status": self._status, "headers": []})
        await send({"type": "http.response.body", "body": b"no"})

    async def _receive(self):
        if not self.incoming:
            await asyncio.Event().wait()
        return self.incoming.pop(0)

    async def _send(self, message):
        if message.get("body") == b"no":
            self.left_when_answered = len(self.incoming)
        self.sent.append(message)

    @property
    def bodies(self):
        return [
            (message["body"], message.get("more_body", False))
            for message in self.sent
            if message["type"] == "http.response.body"
        ]

    @property
    def closes(self):
        return (b"connection", b"close") in self.sent[0]["headers"]


def run(exchange, **options):
    return asyncio.run(exchange.run(**options))


DRAINED = [(b"no", True), (b"", False)]
PLAIN = [(b"no", False)]


def test_an_error_is_sent_at_once_and_the_rest_is_read():
    exchange = run(Exchange([piece(True), piece(True), piece(False)]))
    assert exchange.left_when_answered == 3
    assert exchange.incoming == []
    assert exchange.bodies == DRAINED
    assert exchange.closes


def test_reading_on_ends_when_the_client_is_gone():
    exchange = run(Exchange([piece(True), {"type": "http.disconnect"}, piece(False)], reads=1))
    assert exchange.bodies == DRAINED
    assert len(exchange.incoming) == 1


def test_reading_on_ends_after_a_time():
    assert run(Exchange([piece(True)]), seconds=0.01).bodies == DRAINED


def test_reading_on_ends_after_so_many_bytes():
    exchange = run(Exchange([piece(True)] * 10), size=3)
    assert len(exchange.incoming) == 6
    assert exchange.bodies == DRAINED


@pytest.mark.parametrize(
    "exchange",
    [
        Exchange([piece(False)], reads=1),
        Exchange([piece(True), piece(False)], reads=2),
        Exchange([], length=None),
        Exchange([], length=b"0"),
        Exchange([piece(True), piece(False)], status=200),
    ],
    ids=["all was read", "all pieces were read", "no body", "an empty body", "no error"],
)
def test_other_answers_are_left_as_they_are(exchange):
    run(exchange)
    assert exchange.bodies == PLAIN
    assert not exchange.closes
