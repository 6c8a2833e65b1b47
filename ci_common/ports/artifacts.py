"""The files a job leaves behind."""

from collections.abc import Iterator
from typing import BinaryIO, Protocol

from ci_common.job import Artifact


class ArtifactBatch(Protocol):
    """The artifacts of one job on their way in. Exactly one of `commit` and `discard` ends it.

    Used by one thread at a time. Raises OSError when the disk is full, and LeaseLostError when
    another batch of the job was begun: by a controller that has taken over.
    """

    def add(self, path: str, content: Iterator[bytes]) -> Artifact:
        """Store a file; `path` is relative, without `..`, and not in the batch yet."""

    def commit(self) -> None:
        """Make all durable under the job's id, in place of what was there."""

    def discard(self) -> None:
        """Remove everything; safe to repeat, also after `commit`, which it does not undo."""


class ArtifactWriter(Protocol):
    """The controller's side of the artifact store."""

    def begin(self, job_id: str) -> ArtifactBatch:
        """Start a batch; what a former one that never ended left is removed."""

    def delete(self, job_id: str) -> None:
        """Remove a job's artifacts for good (a power cut does not bring them back); safe to repeat.
        Raises OSError when they cannot be removed.
        """

    def job_ids(self, older_than_seconds: float) -> list[str]:
        """The jobs that have had artifacts here for so long."""

    def sweep_staging(self, older_than_seconds: float) -> None:
        """Remove batches that were begun so long ago, and never ended."""


class ArtifactReader(Protocol):
    """The server's side of the artifact store."""

    def open(self, job_id: str, artifact: Artifact) -> BinaryIO:
        """A stored file, to be closed by the caller. Raises ArtifactNotFoundError."""
