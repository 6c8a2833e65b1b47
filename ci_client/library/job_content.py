"""What jobs wrote: their logs, and the artifacts that they left."""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from ci_client.errors import DownloadError
from ci_client.library.exchange import Exchange
from ci_client.library.job_ids import checked_job_id
from ci_client.library.retry import OnRetry, RetryDelays
from ci_client.library.transport import unexpected

if TYPE_CHECKING:
    from ci_client.library.artifact_download import OnFile, OnRename
    from ci_client.library.log_places import LogPlaces
    from ci_client.library.raw_log import RawLog


class JobContent(ABC):
    """The part of a connection that reads logs and artifacts. What only some calls need is imported
    by them.
    """

    _http: httpx.Client
    _exchange: Exchange
    _patience: float
    _on_retry: OnRetry | None

    @abstractmethod
    def whole_id(self, job_id: str) -> str:
        """The whole id of a job."""

    def read_log(self, job_id: str, *, start: int = 0) -> Iterator[bytes]:
        """The bytes of a job's log, from offset `start` to where it ends now.

        Raises:
            JobNotFound, RequestRefused, ServerUnreachable.
        """
        return self._raw_log(job_id).read(start)

    def tail_start(self, job_id: str, lines: int) -> int:
        """The offset in a job's log at which its last `lines` lines begin now.

        Raises:
            JobNotFound, RequestRefused, ServerUnreachable.
        """
        return self._raw_log(job_id).tail_start(lines)

    def log_marks(
        self, job_id: str, *, offset: int = 0, since: str | None = None, limit: int | None = None
    ) -> dict[str, Any]:
        """When the lines of a job's log were received: places in the log (`marks`, each with
        `offset`, `line` and `time`), from the last one at or before `offset` on, or from where
        something may have been received at `since` or later, a time such as 2026-11-28T09:00:00Z.
        `next` is the offset of the next page.

        Raises:
            UsageError: the server is too old.
            JobNotFound, RequestRefused, ServerUnreachable, UnexpectedAnswer.
        """
        return self._log_places(job_id).marks(offset=offset, since=since, limit=limit)

    def log_position(
        self, job_id: str, *, offset: int | None = None, line: int | None = None
    ) -> dict[str, Any]:
        """Where a byte of a job's log, or a line by its number from 1, is: `offset`, `line`,
        `line_offset`, where this line begins, and `time`. Raises what `log_marks` raises.
        """
        return self._log_places(job_id).position(offset=offset, line=line)

    def search_log(
        self, job_id: str, text: str, *, exact_case: bool = False, offset: int = 0
    ) -> Iterator[dict[str, Any]]:
        """Where a text is in a job's log as it is now, from `offset` on: `hit` events as they are
        found, with `offset`, `line`, `before`, `match`, `after`, …, and last `end`, which tells how
        many there are and how far the log goes. Case is ignored unless `exact_case`.

        Raises:
            UsageError: the server is too old.
            JobNotFound, RequestRefused, ServerUnreachable, UnexpectedAnswer.
        """
        from ci_client.library.log_places import search

        parameters: dict[str, Any] = {"q": text, "offset": offset}
        if exact_case:
            parameters["exact_case"] = "true"
        return search(
            self._http,
            self.whole_id(job_id),
            parameters,
            patience=self._patience,
            on_retry=self._on_retry,
        )

    def list_artifacts(self, job_id: str) -> list[dict[str, Any]]:
        """The files a job left behind: `path`, `size` in bytes, `sha256`, and when the job wrote it
        (`modified`); none before its end.

        Raises:
            JobNotFound, RequestRefused, ServerUnreachable, UnexpectedAnswer.
        """
        from ci_client.library.artifact_choice import is_artifact

        found = self._exchange.ask(
            "GET", f"/jobs/{checked_job_id(job_id)}/artifacts", job_id=job_id
        )
        if not isinstance(found, list) or not all(map(is_artifact, found)):
            raise unexpected(self._http, "not a list of artifacts")
        return found

    def download_artifacts(
        self,
        job_id: str,
        directory: str | os.PathLike[str],
        on_file: "OnFile | None" = None,
        *,
        patterns: Sequence[str] = (),
        below: str | None = None,
        on_rename: "OnRename | None" = None,
    ) -> list[Path]:
        """Put a job's artifacts below a directory, which is made; where each of them is.

        With `patterns`, only those that match one, such as `dist` or `output/**/*.png`. With
        `below`, only those of this directory of the job, and without its name. Each is complete and
        checked when it appears, and has the time at which the job wrote it. What is there already
        is not fetched again. A name that the file system cannot hold is replaced by
        another, which `on_rename` is told.

        Raises:
            ArtifactsIncomplete: after all others were fetched; it tells which could not be, and
                why: damaged, gone, or a link in the directory leads elsewhere.
            DownloadError: the directory cannot be made.
            UsageError: a pattern leads out of the project.
            JobNotFound, RequestRefused, ServerUnreachable, UnexpectedAnswer.
        """
        from ci_client.library.artifact_choice import ArtifactChoice
        from ci_client.library.artifact_download import ArtifactDownload
        from ci_client.library.artifact_places import Places

        choice = ArtifactChoice(patterns)
        job_id = self.whole_id(job_id)
        found = choice.of(self.list_artifacts(job_id))
        try:
            Path(directory).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DownloadError(f"Cannot create {directory}: {error.strerror or error}.") from error
        download = ArtifactDownload(
            self._http,
            job_id,
            Places(Path(directory)),
            lambda patience: RetryDelays(
                self._http,
                self._patience if patience is None else min(patience, self._patience),
                self._on_retry,
            ),
            below,
        )
        return download.fetch_all(found, on_file, on_rename)

    def _log_places(self, job_id: str) -> "LogPlaces":
        from ci_client.library.log_places import LogPlaces

        return LogPlaces(self._http, self._exchange, self.whole_id(job_id))

    def _raw_log(self, job_id: str) -> "RawLog":
        from ci_client.library.raw_log import RawLog

        return RawLog(self._http, self.whole_id(job_id), self._patience, self._on_retry)
