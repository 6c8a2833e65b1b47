"""The machine's engine behind a proxy that fails at chosen requests."""

import json
import re
import threading

from support.socket_proxy import SocketProxy

_REQUEST = re.compile(rb"^(GET|POST|PUT|DELETE|HEAD) (\S+) HTTP/1\.1\r\n")


class FailingEngine(SocketProxy):
    """Answers 500 to requests, or drops their connections, before the engine sees them."""

    def __init__(self, path, target):
        super().__init__(path, target)
        self._rules = []
        self._rules_lock = threading.Lock()
        self.failed = []
        """What was failed at: (method, path)."""

    def fail(self, method, path, times=1, message=None):
        """The next requests like this get 500 with the message; without one, the connection
        drops. `path` is a regular expression that the end of the path matches.
        """
        pattern = re.compile(path + r"(\?.*)?$")
        with self._rules_lock:
            self._rules.append([method, pattern, times, message])

    def _intercept(self, near, content):
        request = _REQUEST.match(content)
        if request is None:
            return False
        method, path = (part.decode() for part in request.groups())
        with self._rules_lock:
            rules = [r for r in self._rules if r[0] == method and r[1].search(path) and r[2]]
            if not rules:
                return False
            rules[0][2] -= 1
            self.failed.append((method, path))
        if (message := rules[0][3]) is not None:
            body = json.dumps({"message": message}).encode()
            near.sendall(
                b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\n"
                b"Connection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
            )
        return True
