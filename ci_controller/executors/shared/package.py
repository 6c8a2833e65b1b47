"""The check that the package is what was accepted, which every executor makes before it unpacks."""

import asyncio
import hashlib

from ci_common.errors import PackageCorruptError
from ci_common.ports.packages import PackageSource

_PIECE_BYTES = 1 << 18


async def verify(package: PackageSource | None) -> None:
    """Read the whole zip once. Raises PackageCorruptError, StorageUnavailableError."""
    if package is not None:
        await asyncio.to_thread(_check_digest, package)


def _check_digest(package: PackageSource) -> None:
    digest = hashlib.sha256()
    with package.open() as file:
        while piece := file.read(_PIECE_BYTES):
            digest.update(piece)
    if digest.hexdigest() != package.sha256:
        raise PackageCorruptError
