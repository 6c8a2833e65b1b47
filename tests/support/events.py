"""Server-Sent Events, read as they are on the wire."""

import json
from contextlib import contextmanager
from dataclasses import dataclass

import httpx_sse

from ci_client.library.sse_reader import log_bytes


@dataclass(frozen=True)
class Event:
    """One event: its id, and the object of its data."""

    id: str
    data: dict

    @property
    def type(self):
        return self.data["type"]


@contextmanager
def streaming(http, method, path, **options):
    """An iterator of the events of a response, which must be an event stream."""
    with httpx_sse.connect_sse(http, method, path, **options) as source:
        assert source.response.status_code == 200, source.response.read()
        # Without data nothing is dispatched: that is a heartbeat, or the time to reconnect.
        yield (parsed(event) for event in source.iter_sse() if event.data)


def parsed(event):
    assert event.event == "message", f"the dialect has no event: field, but {event.event!r}"
    return Event(event.id, json.loads(event.data))


def read(http, method, path, **options):
    """All events of a stream, to its end."""
    with streaming(http, method, path, **options) as events:
        return list(events)


def stream(http, job_id, **options):
    """All events of a job's stream."""
    return read(http, "GET", f"/jobs/{job_id}/stream", **options)


def types(events):
    return [event.type for event in events]


def logged(events):
    """The bytes of the log events, joined."""
    return b"".join(log_bytes(event.data) for event in events if event.type == "log")
