"""Lines of a log with the times at which they were received."""

import re
import sys
from collections import deque
from datetime import datetime
from typing import Any

from typing_extensions import override

from ci_client.client import Client
from ci_client.command.job_lines import read_time
from ci_client.command.watching import LogOutput

_PAGE = 10_000
_LINE_START = re.compile(rb"\n(?=.)|\r(?=[^\r\n])", re.DOTALL)
"""Before what a line, or a version of a line that replaces another on a terminal, begins with."""


class LineTimes:
    """What stands before the lines of one log: the time of the last mark at or before the line. On
    a terminal it is in the local time zone.
    """

    def __init__(self) -> None:
        self._marks: deque[tuple[int, bytes]] = deque()
        self._last = -1
        self._is_local = sys.stdout.isatty()
        self._unknown = b"-".ljust(len(self._text(datetime.now().astimezone())))
        self._shown = self._unknown

    def add(self, mark: dict[str, Any]) -> None:
        """Take in the next mark; one that is known may come again."""
        offset, time = int(mark["offset"]), read_time(mark.get("time"))
        if offset > self._last:
            self._marks.append((offset, self._unknown if time is None else self._text(time)))
            self._last = offset

    def before(self, offset: int) -> bytes:
        """What stands before the line that begins at this offset; they are asked for in turn."""
        while self._marks and self._marks[0][0] <= offset:
            self._shown = self._marks.popleft()[1]
        return self._shown

    def _text(self, time: datetime) -> bytes:
        if self._is_local:
            return time.astimezone().strftime("%Y-%m-%d %H:%M:%S ").encode()
        return time.strftime("%Y-%m-%dT%H:%M:%SZ ").encode()


class TimedOutput(LogOutput):
    """A log on standard output, each line with its time."""

    def __init__(self, offset: int) -> None:
        """The log is written from this offset on."""
        super().__init__()
        self.times = LineTimes()
        self._offset = offset
        self._last = b"\n"

    @override
    def event(self, event: dict[str, Any]) -> None:
        """Of a stream with time stamps."""
        if event["type"] == "time":
            self.times.add(event)

    @override
    def write(self, content: bytes) -> None:
        """Write the next bytes."""
        if not content:
            return
        begins = self._last == b"\n" or (self._last == b"\r" and content[:1] not in b"\r\n")
        pieces, at = [self.times.before(self._offset)] if begins else [], 0
        for found in _LINE_START.finditer(content):
            end = found.end()
            pieces += [content[at:end], self.times.before(self._offset + end)]
            at = end
        super().write(b"".join([*pieces, content[at:]]))
        self._offset += len(content)
        self._last = content[-1:]


def print_timed(client: Client, job_id: str, start: int) -> None:
    """Print a job's log from this offset on, as it is now, with times."""
    output, reached, known = TimedOutput(start), start, start
    for chunk in client.read_log(job_id, start=start):
        reached += len(chunk)
        while known < reached:
            page = client.log_marks(job_id, offset=known, limit=_PAGE)
            for mark in page["marks"]:
                output.times.add(mark)
            following = page.get("next")  # without one, these are all marks of that size
            known = max(reached, int(page["size"])) if following is None else int(following)
        output.write(chunk)
