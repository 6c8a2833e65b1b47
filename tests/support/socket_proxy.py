"""A way to the engine that can be cut, as if the engine had gone away."""

import contextlib
import os
import socket
import threading


class SocketProxy:
    """Forwards a unix socket's connections to another one, until it is cut."""

    def __init__(self, path, target):
        self._path = str(path)
        self._target = target
        self._listener = None
        self._open = []
        self._lock = threading.Lock()

    @property
    def docker_host(self):
        return f"unix://{self._path}"

    def restore(self):
        """Take connections (again)."""
        listener = self._listener = socket.socket(socket.AF_UNIX)
        listener.bind(self._path)
        listener.listen(64)
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def cut(self):
        """Drop all connections, and refuse new ones."""
        with self._lock:
            listener, self._listener = self._listener, None
        if listener is not None:
            _end(listener)
            os.unlink(self._path)
        self.drop()

    def drop(self):
        """Drop all connections, and take new ones."""
        with self._lock:
            connections, self._open = self._open, []
        for connection in connections:
            _end(connection)

    def _accept(self, listener):
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            far.connect(self._target)
            with self._lock:
                was_cut = self._listener is not listener
                if not was_cut:
                    self._open += [near, far]
            if was_cut:  # this connection came at that very moment
                _end(near)
                _end(far)
                return
            for pair in ((near, far, self._intercept), (far, near, _pass)):
                threading.Thread(target=_copy, args=pair, daemon=True).start()

    def _intercept(self, near, content):
        """Whether this is not to be forwarded, and the connection is to end."""
        return False


def _pass(sink, content):
    return False


def _copy(source, sink, intercept):
    with contextlib.suppress(OSError):
        while content := source.recv(65536):
            if intercept(source, content):
                _end(source)
                _end(sink)
                return
            sink.sendall(content)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def _end(connection):
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
