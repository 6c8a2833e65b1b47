"""The zip on its way to the server."""

import os
from collections.abc import Callable
from io import FileIO

from typing_extensions import override

OnProgress = Callable[[int, int], None]
"""Told how many bytes of how many were handed to the network."""

VALIDATION_SECONDS = 180.0
"""How long the server may take for the next byte: it checks the whole zip before it answers."""


class UploadFile(FileIO):
    """A file that tells how far it was read. httpx reads it in pieces, so it never is in memory."""

    def __init__(self, path: str | os.PathLike[str], on_progress: OnProgress | None = None) -> None:
        super().__init__(path, "rb")
        self._total = os.fstat(self.fileno()).st_size
        self._on_progress = on_progress

    @override
    def read(self, size: int | None = -1, /) -> bytes:
        """The next piece."""
        piece = super().read(-1 if size is None else size) or b""
        if self._on_progress is not None:
            self._on_progress(self.tell(), self._total)
        return piece
