"""A way to a server that breaks: each connection ends after so many bytes of the answers."""

import contextlib
import socket
import threading


class CuttingProxy:
    """Forwards the connections of a local port, and cuts each after `size` bytes from the server,
    in the middle of whatever it carries.
    """

    def __init__(self, target, size):
        self._target = target
        self._size = size
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.cuts = 0
        """How many connections it has cut."""

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    @property
    def url(self):
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                for work, pair in ((self._upwards, (near, far)), (self._downwards, (far, near))):
                    threading.Thread(target=work, args=pair, daemon=True).start()

    def _upwards(self, near, far):
        with contextlib.suppress(OSError):
            while content := near.recv(65536):
                far.sendall(content)
        _end(far)

    def _downwards(self, far, near):
        left = self._size
        with contextlib.suppress(OSError):
            while left and (content := far.recv(min(65536, left))):
                near.sendall(content)
                left -= len(content)
        self.cuts += not left
        _end(near)
        _end(far)


def _end(connection):
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
