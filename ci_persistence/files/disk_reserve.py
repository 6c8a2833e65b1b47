"""The last space of the data directory's disk, which jobs' files leave to the database."""

import errno
import shutil
import threading
from pathlib import Path

_LOOK_BYTES = 1 << 20
"""The disk is asked once for so many bytes: that is cheap, but not as cheap as writing a line."""


class DiskReserve:
    """Whoever writes what a job made asks here first; any thread. One for all of a process, so
    that what many write a little of is counted together.
    """

    def __init__(self, path: Path, reserve_bytes: int) -> None:
        self._path = path
        self._reserve_bytes = reserve_bytes
        self._granted = 0
        """What may be written before the next look."""
        self._lock = threading.Lock()

    def take(self, size: int) -> None:
        """Return when so many bytes may be written. Raises OSError (ENOSPC) when less than the
        reserve would be left; then the next one looks again, so that it goes on once there is room.
        """
        if not self._reserve_bytes:
            return
        with self._lock:
            if size > self._granted:
                self._granted = 0
                self._check(size)
                self._granted = size + _LOOK_BYTES
            self._granted -= size

    def _check(self, size: int) -> None:
        if shutil.disk_usage(self._path).free - size < self._reserve_bytes:
            raise OSError(
                errno.ENOSPC,
                f"the disk is full up to the last {self._reserve_bytes >> 20} MiB, which are kept "
                "for the database (CI_DISK_RESERVE_MB); free space there, or let finished jobs be "
                "deleted (CI_RETENTION_DAYS, CI_MAX_DISK_MB)",
            )
