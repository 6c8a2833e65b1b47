"""The values that a model's job left, as binary frames: float64, little-endian."""

import asyncio
import logging
import math
import re
import struct
from collections.abc import AsyncGenerator
from typing import BinaryIO

from ci_common.errors import RunnerError
from ci_common.job import Artifact
from ci_common.ports.artifacts import ArtifactReader
from ci_server.apis.models.messages import values_header

logger = logging.getLogger(__name__)

CHUNK_BYTES = 256 << 10
"""Of one frame. Clients are promised 1 MiB at most; a reader that takes nothing costs us one."""

NO_VALUES = (0,)

_MAGIC = b"\x93NUMPY\x01\x00"
_HEADER_BYTES = 4096
_HEADER = re.compile(
    rb"\{'descr': '<f8', 'fortran_order': False, "
    rb"'shape': \((\d{1,18}(?:, \d{1,18}){0,7}),?\), \} *\n"
)


async def value_frames(
    artifacts: ArtifactReader, job_id: str, artifact: Artifact | None
) -> AsyncGenerator[bytes, None]:
    """The header, and the values of an .npy file in chunks; of what a job did not leave, or what
    is no such file, there are none.

    Raises OSError when it cannot be read to its end.
    """
    file: BinaryIO | None = None
    try:
        if artifact is not None:
            file = await asyncio.to_thread(artifacts.open, job_id, artifact)
            shape = await asyncio.to_thread(read_shape, file, artifact.size)
        else:
            shape = NO_VALUES
    except (RunnerError, ValueError) as error:
        logger.info("job %s: its values cannot be sent: %s", job_id, error)
        shape = NO_VALUES
    try:
        yield values_header(shape)
        left = 8 * math.prod(shape)
        while file is not None and left:
            chunk = await asyncio.to_thread(file.read, min(CHUNK_BYTES, left))
            if not chunk:
                raise OSError(f"the values of job {job_id} end {left} bytes early")
            left -= len(chunk)
            yield chunk
    finally:
        if file is not None:
            file.close()


def read_shape(file: BinaryIO, size: int) -> tuple[int, ...]:
    """The shape of the array in an .npy file of so many bytes; the file is then at its values.

    A job may have written anything: ValueError unless it is a whole array of little-endian float64
    in C order, as numpy writes one.
    """
    start = file.read(len(_MAGIC) + 2)
    if len(start) < len(_MAGIC) + 2 or not start.startswith(_MAGIC):
        raise ValueError("it is not a .npy file of version 1.0")
    (length,) = struct.unpack("<H", start[len(_MAGIC) :])
    if length > _HEADER_BYTES:
        raise ValueError("its header is too long")
    found = _HEADER.fullmatch(file.read(length))
    if found is None:
        raise ValueError("it is not an array of little-endian float64 in C order")
    shape = tuple(map(int, found[1].split(b", ")))
    if len(start) + length + 8 * math.prod(shape) != size:
        raise ValueError("its size does not match its shape")
    return shape
