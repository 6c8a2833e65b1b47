"""Disks whose power can be cut: file systems on loop devices, stopped by their shutdown ioctl."""

import errno
import fcntl
import os
import shutil
import struct
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

KINDS = ("ext4", "xfs")

_SIZE = 512 << 20
"""Sparse. XFS wants 300 MiB at least."""

_SHUTDOWN = 0x8004587D
"""EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN, which take a u32."""

_NO_LOG_FLUSH = 2
"""The in-memory part of the journal is not written either."""

_MAKE = {"ext4": ("mkfs.ext4", "-q", "-F"), "xfs": ("mkfs.xfs", "-q", "-f")}


@contextmanager
def loop_disk(kind):
    """A disk with an empty file system of this kind; skips the test where that is impossible."""
    if os.geteuid() != 0:
        pytest.skip("loop devices and mounts need root")
    if shutil.which(_MAKE[kind][0]) is None:
        package = {"ext4": "e2fsprogs", "xfs": "xfsprogs"}[kind]
        pytest.skip(f"{_MAKE[kind][0]} is missing (Debian package {package})")
    # Not in pytest's directories, which another run may move or delete: mounted, that is harmful.
    with TemporaryDirectory(prefix="ci-disk-", ignore_cleanup_errors=True) as directory:
        disk = LoopDisk(Path(directory), kind)
        try:
            disk.format()
            yield disk
        finally:
            disk.close()


class LoopDisk:
    """An image file, its loop device, and where that is mounted.

    A cut loses what the kernel holds in memory: dirty pages and the journal's open transaction.
    What was written to the device is kept, flushed or not: it has no volatile write cache.
    """

    def __init__(self, directory, kind):
        self.kind = kind
        self.path = directory / "mount"
        self.path.mkdir()
        self._directory = directory
        self._images = 0
        self._mounted = False
        self._image = self._new_image()
        self._device = _attach(self._image)

    def format(self):
        """Replace the contents by an empty file system, and mount it."""
        self._unmount()
        if not self._is_released():
            self._replace(self._new_image())
        _succeed(*_MAKE[self.kind], self._device)
        self._mount()

    def cut(self):
        """Cut the power: from here on nothing reaches the disk."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.ioctl(descriptor, _SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
        finally:
            os.close(descriptor)

    def remount(self):
        """Restore the power: mount again, which replays the journal."""
        self._unmount()
        if not self._is_released():
            copy = self._new_image()
            _succeed("cp", "--sparse=always", self._image, copy)
            self._replace(copy)
        self._mount()

    def close(self):
        """Unmount, detach the loop device and delete the image."""
        self._unmount()
        _run("losetup", "--detach", self._device)
        self._image.unlink()

    def _new_image(self):
        self._images += 1
        image = self._directory / f"image{self._images}"
        with image.open("wb") as file:
            file.truncate(_SIZE)
        return image

    def _replace(self, image):
        """Leave the device to those who still have it mounted."""
        _run("losetup", "--detach", self._device)  # takes effect when they let go
        self._image.unlink()
        self._image, self._device = image, _attach(image)

    def _is_released(self):
        """Whether the file system is gone from memory, or within a second.

        A mount namespace that was made while it was mounted (a container, an engine of another
        test) may keep it, and the kernel would mount the one that was shut down once more.
        """
        deadline = time.monotonic() + 1
        while True:
            try:
                os.close(os.open(self._device, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC))
            except OSError as error:
                if error.errno != errno.EBUSY or time.monotonic() > deadline:
                    return False
                time.sleep(0.01)
            else:
                return True

    def _mount(self):
        # One that is still mounted elsewhere has the same UUID.
        options = ["-o", "nouuid"] if self.kind == "xfs" else []
        _succeed("mount", "-t", self.kind, *options, self._device, self.path)
        self._mounted = True

    def _unmount(self):
        if self._mounted and _run("umount", self._device):
            _succeed("umount", "--lazy", self._device)
        self._mounted = False


def _attach(image):
    done = subprocess.run(
        ["losetup", "--find", "--show", str(image)], check=False, capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"this machine gives out no loop devices: {done.stderr.strip()}")
    return done.stdout.strip()


def _run(*command):
    """Why the command failed; None when it did not."""
    done = subprocess.run([*map(str, command)], check=False, capture_output=True, text=True)
    return (done.stderr.strip() or f"{command[0]} failed") if done.returncode else None


def _succeed(*command):
    failure = _run(*command)
    assert failure is None, failure
