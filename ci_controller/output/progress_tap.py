"""Notices the progress that a job reports, in the output on its way into the log."""

import logging
from collections.abc import Callable

from ci_common.ports.workloads import OutputEnd
from ci_common.progress import MAX_LINE_BYTES, PREFIX, Progress, read_progress
from ci_controller.output.masking import OutputLog

logger = logging.getLogger(__name__)

TAIL_BYTES = 64 << 10
"""Of what is stored already, so much is looked at when an output is followed again."""

_AT_LINE_START = b"\n" + PREFIX

_MOST_TRIES = 32
"""Lines that only look like progress, of one piece: a job that writes nothing else must not make
the log slow.
"""


class LatestProgress:
    """Finds the newest progress in output that arrives in pieces of any size.

    Costs one search for the prefix when there is none. Lines of it that a newer one follows in
    the same piece are not read.
    """

    def __init__(self) -> None:
        self._held = b""
        """The beginning of the current line, while it may be progress."""
        self._in_line = False
        """Whether the current line began otherwise."""

    def feed(self, content: bytes) -> Progress | None:
        """The newest progress whose line ends in these bytes."""
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
    """Of the whole lines between two line starts."""
    for _ in range(_MOST_TRIES):
        found = content.rfind(_AT_LINE_START, max(start - 1, 0), end) + 1
        if not found and not (start == 0 and content.startswith(PREFIX) and end):
            return None
        line_end = content.find(b"\n", found)
        progress = read_progress(content[found:line_end])
        if progress is not None or not found:
            return progress
        end = found
    return None


class ProgressTap:
    """An output log that tells of progress what goes through it (see OutputLog).

    To be put behind the masking, so that it sees what everybody may see. Whatever goes wrong with
    progress, the log gets its bytes.
    """

    def __init__(
        self, log: OutputLog, report: Callable[[Progress], None], stored: Callable[[], bytes]
    ) -> None:
        """`report` is called on the thread that copies; it must not block. `stored` is the end of
        the output that the log has already, from the start of a line: the next bytes may go on
        there, and whoever stored the last report may have died before it was told.
        """
        self._log = log
        self._report = report
        self._latest: LatestProgress | None = LatestProgress()
        self._look(stored)

    @property
    def skip(self) -> int:
        """See OutputLog."""
        return self._log.skip

    def append(self, content: bytes) -> None:
        """See OutputLog."""
        self._log.append(content)
        self._look(lambda: content)

    def sync(self) -> None:
        """See OutputLog."""
        self._log.sync()

    def finish(self, end: OutputEnd) -> int:
        """See OutputLog."""
        return self._log.finish(end)

    def _look(self, content: Callable[[], bytes]) -> None:
        if self._latest is None:
            return
        try:
            if (progress := self._latest.feed(content())) is not None:
                self._report(progress)
        except Exception:
            logger.exception("the progress of a job is not told any more")
            self._latest = None
