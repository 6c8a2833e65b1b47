"""HTTP as bytes on a socket, for requests that no client library would send."""

import contextlib
import json
import socket
from pathlib import Path

SECONDS = 20.0


@contextlib.contextmanager
def connected(server, receive_buffer=None):
    """A connection to the server."""
    with socket.socket() as connection:
        if receive_buffer is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.settimeout(SECONDS)
        connection.connect(("127.0.0.1", server.port))
        yield connection


def established(port):
    """How many connections a local port has (proc(5), /proc/net/tcp)."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    local = f":{port:04X}"
    return sum(line.split()[1].endswith(local) and line.split()[3] == "01" for line in lines)


def rest(connection):
    """What comes until the other side closes."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(1 << 16):
            received += piece
    return received


def send(connection, content):
    """Send as much as the other side takes; whether that was all."""
    try:
        connection.sendall(content)
    except (BrokenPipeError, ConnectionResetError):
        return False
    return True


def parsed(answer):
    """Status, headers (names in lower case) and body of one answer with a Content-Length."""
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    pairs = (line.partition(": ")[::2] for line in lines)
    headers = {name.lower(): value for name, value in pairs}
    return int(first.split()[1]), headers, body


def refused(answer, status, code):
    """That it is an error of ours; its message."""
    found, headers, body = parsed(answer)
    assert found == status, answer
    error = json.loads(body)["error"]
    assert error["code"] == code
    assert headers["connection"] == "close"
    assert headers["x-request-id"] == error["request_id"]
    assert headers["x-content-type-options"] == "nosniff"
    return error["message"]
