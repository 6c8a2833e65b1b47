"""Finds progress reports in a job's output on its way into the log."""

import logging
from collections.abc import Callable

from typing_extensions import override

from ci_common.ports.workloads import OutputEnd
from ci_common.progress import MAX_LINE_BYTES, PREFIX, Progress, read_progress
from ci_controller.output.output_log import OutputLog

logger = logging.getLogger(__name__)

TAIL_BYTES = 64 << 10
"""How much of the stored output is searched when following resumes."""

_AT_LINE_START = b"\n" + PREFIX
_SCORE, _ITERATION = b'"score', b'"iteration"'

_MOST_TRIES = 32
"""How many invalid progress lines per chunk are parsed before giving up, so that a job that writes
nothing else cannot slow down its log.
"""


class LatestProgress:
    """Finds the newest progress report in output that arrives in chunks of any size.

    A chunk without progress costs one search for the prefix. Of a chunk only the newest report is
    parsed, and those before it that may have the score or iteration that it does not say.
    """

    def __init__(self) -> None:
        self._held = b""
        """The beginning of the current line, if it can still become progress."""
        self._in_line = False
        """Whether the current line began with something else."""

    def feed(self, content: bytes) -> Progress | None:
        """The newest progress whose line ends in this chunk, if any."""
        if self._held:
            content, self._held = self._held + content, b""
        start = 0
        if self._in_line:
            start = content.find(b"\n") + 1
            if not start:
                return None
        end = content.rfind(b"\n") + 1
        self._hold(content[max(start, end) :])
        if _AT_LINE_START in content or content.startswith(PREFIX):
            return _newest(content, start, end)
        return None

    def _hold(self, line: bytes) -> None:
        is_progress = line.startswith(PREFIX) and len(line) <= MAX_LINE_BYTES
        may_be = is_progress or PREFIX.startswith(line)
        self._held = line if may_be else b""
        self._in_line = not may_be


def _newest(content: bytes, start: int, end: int) -> Progress | None:
    """The newest progress among the whole lines in `content[start:end]`, with what it does not say
    of score and iteration from those before it.
    """
    newest: Progress | None = None
    first_score = content.find(_SCORE, start, end)
    first_iteration = content.find(_ITERATION, start, end)
    for _ in range(_MOST_TRIES):
        found = content.rfind(_AT_LINE_START, max(start - 1, 0), end) + 1
        if not found and not (start == 0 and content.startswith(PREFIX) and end):
            return newest
        progress = read_progress(content[found : content.find(b"\n", found)])
        if progress is not None:
            newest = progress if newest is None else newest.following(progress)
        if not found:
            return newest
        if newest is not None:
            has_score = newest.score is not None or bool(newest.scores)
            may_have_score = not has_score and 0 <= first_score < found
            may_have_iteration = newest.iteration is None and 0 <= first_iteration < found
            if not (may_have_score or may_have_iteration):
                return newest
        end = found
    return newest


class ProgressTap(OutputLog):
    """An OutputLog that reports the progress in what it passes on.

    Place it after masking, so that it sees only what the log shows. An error in progress handling
    never keeps bytes from the log.
    """

    def __init__(
        self, log: OutputLog, report: Callable[[Progress], None], stored: Callable[[], bytes]
    ) -> None:
        """`report` is called on the copying thread and must not block. `stored` returns the end of
        the output that is already in the log, from the beginning of a line: the next chunk may
        continue a line there, and an earlier controller may have stored the last report and died
        before writing its event.
        """
        self._log = log
        self._report = report
        self._latest: LatestProgress | None = LatestProgress()
        self._look(stored)

    @property
    @override
    def skip(self) -> int:
        return self._log.skip

    @override
    def append(self, content: bytes) -> None:
        self._log.append(content)
        self._look(lambda: content)

    @override
    def sync(self) -> None:
        self._log.sync()

    @override
    def finish(self, end: OutputEnd) -> int:
        return self._log.finish(end)

    def _look(self, content: Callable[[], bytes]) -> None:
        if self._latest is None:
            return
        try:
            if (progress := self._latest.feed(content())) is not None:
                self._report(progress)
        except Exception:
            logger.exception("progress of a job can no longer be read")
            self._latest = None
