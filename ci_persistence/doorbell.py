"""The doorbell: datagrams on a unix socket in the data directory (ports Doorbell, -Listener)."""

import asyncio
import contextlib
import logging
import os
import socket
from pathlib import Path

logger = logging.getLogger(__name__)

_SOCKET_NAME = "controller.sock"


class SocketDoorbell:
    """Rings and is rung, within a process and across processes alike."""

    def __init__(self, data_path: Path) -> None:
        data_path.mkdir(parents=True, exist_ok=True, mode=0o700)
        # A unix socket's path may have 107 bytes; by way of the directory's descriptor it
        # does not matter how deep the data directory lies.
        self._directory = os.open(data_path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._path = data_path / _SOCKET_NAME
        self._address = f"/proc/self/fd/{self._directory}/{_SOCKET_NAME}"
        self._sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sender.setblocking(False)
        self._listener: socket.socket | None = None
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """See Doorbell."""
        try:
            self._sender.sendto(b"!", self._address)
        except OSError as error:
            # Nobody listens, or the bell is ringing already: the tick will see to it.
            logger.debug("doorbell: %s", error)

    def listen(self) -> None:
        """See DoorbellListener."""
        self._stop_listening()
        self._path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        listener.setblocking(False)
        listener.bind(self._address)
        self._path.chmod(0o600)
        asyncio.get_running_loop().add_reader(listener, self._drain)
        self._listener = listener

    async def wait(self, timeout_seconds: float) -> None:
        """See DoorbellListener."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self._rung.wait()
        self._rung.clear()

    def close(self) -> None:
        """See DoorbellListener. The bell cannot be rung afterwards either."""
        self._stop_listening()
        self._sender.close()
        if self._directory >= 0:
            os.close(self._directory)
            self._directory = -1

    def _stop_listening(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            asyncio.get_running_loop().remove_reader(listener)
            listener.close()

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._listener is not None:
                self._listener.recv(16)
        self._rung.set()
