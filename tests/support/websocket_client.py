"""Watching a job by its WebSocket, with the library most clients use."""

import json

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from ci_client.library.sse_reader import log_bytes

SECONDS = 60.0


def url_of(server, job_id, **query):
    """The address of a job's stream."""
    text = "&".join(f"{name}={value}" for name, value in query.items())
    return f"ws://127.0.0.1:{server.port}/jobs/{job_id}/stream{'?' if text else ''}{text}"


def opened(url, **options):
    """A connection."""
    return connect(url, proxy=None, open_timeout=SECONDS, close_timeout=SECONDS, **options)


class Watched:
    """What a client was sent: objects and binary frames, to the end; and the close's code."""

    def __init__(self, connection):
        self.messages, self.code = [], None
        while self.code is None:
            try:
                message = connection.recv(timeout=SECONDS)
            except ConnectionClosed as closed:
                self.code = closed.rcvd.code if closed.rcvd else 1006
            else:
                is_text = isinstance(message, str)
                self.messages.append(json.loads(message) if is_text else message)

    @property
    def types(self):
        """Of the messages, those of the log once for all in a row."""
        found = []
        for message in self.messages:
            kind = "binary" if isinstance(message, bytes) else message["type"]
            if kind != "log" or found[-1:] != ["log"]:
                found.append(kind)
        return found

    def all(self, kind):
        """The messages of a type."""
        return [one for one in self.messages if isinstance(one, dict) and one["type"] == kind]

    def only(self, kind):
        (found,) = self.all(kind)
        return found

    @property
    def binary(self):
        return [message for message in self.messages if isinstance(message, bytes)]

    @property
    def log(self):
        """The bytes of the log; every message says where to go on after it."""
        content, start = b"", None
        for message in self.all("log"):
            piece = log_bytes(message)
            start = message["offset"] - len(piece) if start is None else start
            content += piece
            assert message["offset"] == start + len(content)
        return content


def watch(server, job_id, **query):
    """Everything that a job's stream has."""
    with opened(url_of(server, job_id, **query)) as connection:
        return Watched(connection)
