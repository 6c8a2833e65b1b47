"""Receivers of webhooks: real HTTP servers whose answers a test chooses."""

import json
import ssl
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from support.waiting import until_sync


@dataclass
class Received:
    path: str
    headers: dict
    body: bytes
    method: str = "POST"

    @property
    def id(self):
        return self.headers["webhook-id"]

    @property
    def payload(self):
        return json.loads(self.body)


@dataclass
class Answer:
    status: int = 200
    headers: dict = field(default_factory=dict)
    body: bytes = b""


DROP = "drop"
"""Close the connection without an answer."""


class Receiver:
    """`answer` is called with each request, on its own thread; it returns an Answer, or DROP."""

    def __init__(self, answer=lambda request: Answer(), certificate=None):
        self.answer = answer
        self.received = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def handle_any(self):
                length = int(self.headers.get("content-length") or 0)
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Received(self.path, headers, self.rfile.read(length), self.command)
                receiver.received.append(request)
                answer = receiver.answer(request)
                self.close_connection = True
                if answer == DROP:
                    return
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            do_POST = do_GET = do_PUT = handle_any

            def log_message(self, *arguments):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                """The sender may be gone before the answer."""

        self._server = Server(("127.0.0.1", 0), Handler)
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def port(self):
        return self._server.server_port

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def wait_for(self, count=1, good=lambda request: True):
        """The first so many requests that are good, once there are."""
        return until_sync(
            lambda: [request for request in list(self.received) if good(request)],
            lambda found: len(found) >= count,
            f"{count} requests",
        )[:count]
