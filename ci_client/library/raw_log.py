"""A job's log as raw bytes, by their offsets, so that a dropped connection loses none."""

import re
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import httpx

from ci_client.library.retry import (
    PATIENCE_SECONDS,
    TRANSIENT,
    OnRetry,
    RetryDelays,
    raise_if_transient,
)
from ci_client.library.transport import refusal

_FIRST_GUESS = 64 * 1024
_CONTENT_RANGE = re.compile(r"bytes (\d+)-")


class RawLog:
    """The log of one job, as far as it is written."""

    def __init__(
        self,
        http: httpx.Client,
        job_id: str,
        patience: float = PATIENCE_SECONDS,
        on_retry: OnRetry | None = None,
    ) -> None:
        self._http = http
        self._job_id = job_id
        self._patience = patience
        self._on_retry = on_retry

    def read(self, start: int = 0) -> Iterator[bytes]:
        """The bytes from offset `start` to the end the log has now.

        Raises:
            JobNotFound: the server has no such job.
            RequestRefused: the server refuses to show it.
            ServerUnreachable: the server stayed away for longer than our patience.
        """
        retry = RetryDelays(self._http, self._patience, self._on_retry)
        offset = start
        while True:
            try:
                for chunk in self._from(offset):
                    retry.contact()
                    retry.progress()
                    offset += len(chunk)
                    yield chunk
                return
            except TRANSIENT as error:
                retry.wait(error)

    def tail_start(self, lines: int) -> int:
        """The offset at which the last `lines` lines begin, as the log is now.

        A line that has no end yet counts as one. Raises what `read` raises.
        """
        retry = RetryDelays(self._http, self._patience, self._on_retry)
        length = _FIRST_GUESS
        while True:
            try:
                start = self._tail_within(lines, length)
            except TRANSIENT as error:
                retry.wait(error)
                continue
            if start is not None:
                return start
            length *= 8

    def _tail_within(self, lines: int, length: int) -> int | None:
        """The offset, or None if the lines are longer than the last `length` bytes."""
        with self._request(f"bytes=-{length}") as response:
            if response.status_code == 416:
                return 0  # the log is empty
            return start_of_tail(lines, _first_byte(response), response.iter_raw())

    def _from(self, offset: int) -> Iterator[bytes]:
        with self._request(f"bytes={offset}-" if offset else None) as response:
            if response.status_code == 416:
                return  # nothing after the offset
            skip = offset - _first_byte(response)
            for chunk in response.iter_raw():
                if skip < len(chunk):
                    yield chunk[skip:] if skip else chunk
                skip = max(0, skip - len(chunk))

    @contextmanager
    def _request(self, byte_range: str | None) -> Iterator[httpx.Response]:
        headers = {"Accept-Encoding": "identity"}
        if byte_range is not None:
            headers["Range"] = byte_range
        path = f"/jobs/{self._job_id}/logs"
        with self._http.stream("GET", path, headers=headers) as response:
            if response.status_code not in (200, 206, 416):
                raise_if_transient(self._http, response)
                raise refusal(self._http, response, self._job_id)
            yield response


def start_of_tail(lines: int, base: int, chunks: Iterable[bytes]) -> int | None:
    """Where the last `lines` lines of a log begin, given its end from offset `base` on.

    None if they begin before `base`. A last line without an end counts as a line.
    """
    starts = deque([0] if base == 0 else [], maxlen=lines + 1)
    end = base
    for chunk in chunks:
        starts.extend(end + found.end() for found in re.finditer(b"\n", chunk))
        end += len(chunk)
    if starts and starts[-1] == end:
        starts.pop()
    if lines == 0:
        return end
    if len(starts) >= lines:
        return starts[-lines]
    return 0 if base == 0 else None


def _first_byte(response: httpx.Response) -> int:
    """The offset of the first byte of the answer."""
    found = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
    return int(found[1]) if found else 0
