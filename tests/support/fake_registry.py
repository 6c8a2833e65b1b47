"""A registry of images on this machine that answers as it is told; engines trust it unencrypted."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NOT_FOUND = (404, {"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"})
DENIED = (401, {"code": "UNAUTHORIZED", "message": "authentication required"})
TOO_MANY = (429, {"code": "TOOMANYREQUESTS", "message": "You have reached your pull rate limit."})
OUT_OF_ORDER = (503, {"code": "UNAVAILABLE", "message": "try again"})
HANGS_UP = (0, {})

_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"

OTHER_PLATFORM = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": _LIST,
        "manifests": [
            {
                "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
                "size": 100,
                "digest": f"sha256:{'0' * 64}",
                "platform": {"architecture": "s390x", "os": "linux"},
            }
        ],
    }
)
"""A list of images, none of which is for this machine."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.logins.add(self.headers.get("Authorization"))
        status, error = self.server.answer
        if self.path == "/v2/" and status not in (0, DENIED[0]):
            self._send(200, "{}", "application/json")
        elif status == 0:
            self.close_connection = True
        elif isinstance(error, str):
            self._send(status, error, _LIST)
        else:
            self._send(status, json.dumps({"errors": [error]}), "application/json")

    do_HEAD = do_GET

    def _send(self, status, body, kind):
        content = body.encode()
        self.send_response(status)
        if status == DENIED[0]:
            self.send_header("WWW-Authenticate", 'Basic realm="registry"')
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *_):
        pass


@contextmanager
def fake_registry(answer, logins=None):
    """Where it is, as the first part of an image's name; the `Authorization` headers of requests
    are put into the set `logins`.
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.answer = answer
    server.logins = set() if logins is None else logins
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
