"""The body of an upload, whichever door receives it: the zip in it, no larger than is allowed."""

from collections.abc import AsyncIterator, Iterable
from typing import Protocol

from typing_extensions import override

from ci_common.errors import UploadTooLargeError
from ci_common.ports.packages import StagedUpload


class Framing(Protocol):
    """What a door finds around the zip, such as a form. Used by one upload, once."""

    def feed(self, chunk: bytes) -> Iterable[bytes]:
        """The zip's bytes in the next chunk of the body. Raises InvalidUploadError,
        UploadTooLargeError.
        """

    def end(self) -> None:
        """The body has ended. Raises InvalidUploadError when the zip, or what is around it, is not
        whole.
        """


class NoFraming(Framing):
    """The body is the zip."""

    @override
    def feed(self, chunk: bytes) -> Iterable[bytes]:
        """All of it."""
        return (chunk,)

    @override
    def end(self) -> None:
        """It may end anywhere: whether the zip is whole is found when it is checked."""


async def receive_body(
    body: AsyncIterator[bytes], framing: Framing, staged: StagedUpload, max_bytes: int
) -> None:
    """Write the zip in a body to `staged`. Never holds more than one chunk in memory.

    Raises UploadTooLargeError, DiskFullError, and what the framing raises.
    """
    async for chunk in body:
        for piece in framing.feed(chunk):
            if staged.size + len(piece) > max_bytes:
                raise upload_too_large(max_bytes)
            staged.write(piece)
    framing.end()


def upload_too_large(max_bytes: int) -> UploadTooLargeError:
    """The error that tells what is allowed."""
    return UploadTooLargeError(
        f"the upload is larger than the {max_bytes >> 20} MiB accepted here; exclude files that "
        "the job does not need, for example with a .gitignore. The operator can raise "
        "CI_MAX_UPLOAD_MB for projects; packages of models may have at most 100 MiB"
    )
