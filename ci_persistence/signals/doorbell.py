"""The doorbell: datagrams on a unix socket in the data directory (ports Doorbell, -Listener)."""

import asyncio
import contextlib
import logging
import os
import socket
from pathlib import Path

from typing_extensions import override

from ci_common.ports.signals import Doorbell, DoorbellListener

logger = logging.getLogger(__name__)

_SOCKET_NAME = "controller.sock"


class SocketDoorbell(Doorbell, DoorbellListener):
    """Rings and is rung, within a process and across processes alike."""

    def __init__(self, data_path: Path) -> None:
        data_path.mkdir(parents=True, exist_ok=True, mode=0o700)
        # A unix socket's path may have 107 bytes; by way of the directory's descriptor it
        # does not matter how deep the data directory lies.
        self._data_path = data_path
        self._directory = _open_directory(data_path)
        self._path = data_path / _SOCKET_NAME
        self._sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sender.setblocking(False)
        self._listener: socket.socket | None = None
        self._bound: tuple[int, int] | None = None
        """Device and inode of the socket that is listened at."""
        self._rung = asyncio.Event()

    @override
    def ring(self) -> None:
        try:
            try:
                self._sender.sendto(b"!", self._address)
            except (FileNotFoundError, ConnectionRefusedError):
                # The data directory may have been moved away, and another one put in its place.
                if not self._reopen():
                    raise
                self._sender.sendto(b"!", self._address)
        except OSError as error:
            # Nobody listens, or the bell is ringing already: the tick will see to it.
            logger.debug("doorbell: %s", error)

    @override
    def listen(self) -> None:
        try:
            self._bind()
        except OSError as error:
            logger.warning("cannot listen at %s, so jobs start a tick later: %s", self._path, error)

    @override
    def keep_listening(self) -> None:
        if self._bound is None or _identity(self._path) != self._bound:
            self.listen()

    @override
    async def wait(self, timeout_seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self._rung.wait()
        self._rung.clear()

    @override
    def close(self) -> None:
        """The bell cannot be rung afterwards either."""
        self._stop_listening()
        self._sender.close()
        if self._directory >= 0:
            os.close(self._directory)
            self._directory = -1

    def _bind(self) -> None:
        self._stop_listening()
        self._reopen()
        self._path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            listener.setblocking(False)
            listener.bind(self._address)
            self._path.chmod(0o600)
            self._bound = _identity(self._path)
        except BaseException:
            listener.close()
            raise
        asyncio.get_running_loop().add_reader(listener, self._drain)
        self._listener = listener

    @property
    def _address(self) -> str:
        return f"/proc/self/fd/{self._directory}/{_SOCKET_NAME}"

    def _reopen(self) -> bool:
        """Open the directory that is at the path now; False when that is open already."""
        if self._directory < 0 or _identity(self._data_path) == _identity(self._directory):
            return False
        try:
            found = _open_directory(self._data_path)
        except OSError:
            return False
        os.close(self._directory)
        self._directory = found
        return True

    def _stop_listening(self) -> None:
        listener, self._listener, self._bound = self._listener, None, None
        if listener is not None:
            asyncio.get_running_loop().remove_reader(listener)
            listener.close()

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._listener is not None:
                self._listener.recv(16)
        self._rung.set()


def _open_directory(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _identity(file: Path | int) -> tuple[int, int] | None:
    """Device and inode; `None` when there is no such file."""
    try:
        facts = os.stat(file)
    except OSError:
        return None
    return facts.st_dev, facts.st_ino
