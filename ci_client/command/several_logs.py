"""`ci logs ID ID…`: logs of several jobs, one after the other, or together while they grow."""

import sys
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

from ci_client.client import Client
from ci_client.command import exit_codes
from ci_client.command.color import ColorChoice, wants_color
from ci_client.command.connecting import connect
from ci_client.command.display import SHORT_ID, result_line, say
from ci_client.command.log_part import LogPart
from ci_client.command.painting import Color, color_of
from ci_client.command.report_display import coverage_line, printable, remarks, short_report
from ci_client.command.timed_lines import LineTimes, print_timed
from ci_client.command.watching import LogOutput
from ci_client.errors import ClientError
from ci_client.library.config import ServerChoice
from ci_client.library.merged_streams import merged
from ci_client.library.sse_reader import log_bytes

_COLORS = ("36", "33", "32", "35", "34")
"""Of the names, in turn: cyan, yellow, green, magenta, blue."""

_LONGEST_LINE = 1 << 20
"""Of a longer one what there is makes a line: a job may write all of its log without a line end."""


def print_logs(job_ids: Sequence[str], server: ServerChoice, part: LogPart) -> int:
    """Print the logs as they are now, or their last lines, one after the other; the exit code.
    Only headings on stderr stand between them.
    """
    with connect(server) as client:
        for name, job_id in _named(_jobs(client, job_ids)).items():
            say(f"==> {name} <==")
            start = part.start(client, job_id)
            if part.timestamps:
                print_timed(client, job_id, start)
                continue
            output = LogOutput()
            for chunk in client.read_log(job_id, start=start):
                output.write(chunk)
            output.finish_line()
    return exit_codes.PASSED


def follow_logs(job_ids: Sequence[str], server: ServerChoice, part: LogPart) -> int:
    """Print the logs together, to the end of all jobs, each line with the name of its job. The exit
    code is that of the first job, in the order in which they are named, that did not pass.
    """
    with connect(server) as client:
        names = _named(_jobs(client, job_ids))
        starts = [part.start(client, job_id) for job_id in names.values()]
        displays = _displays(names, starts if part.timestamps else None)
        streams = [
            client.follow(job_id, offset=start, timestamps=part.timestamps)
            for job_id, start in zip(names.values(), starts, strict=True)
        ]
        try:
            for number, event in merged(streams):
                displays[number].take(event)
        except KeyboardInterrupt:
            going = " ".join(one.job_id[:SHORT_ID] for one in displays if one.code is None)
            say(
                "\nInterrupted: stopped watching. The jobs continue to run; watch them again with:"
                f"\nci logs -f {going}{client.server_option}"
            )
            return exit_codes.INTERRUPTED
    return next((one.code for one in displays if one.code), exit_codes.PASSED)


def _jobs(client: Client, job_ids: Sequence[str]) -> list[dict[str, Any]]:
    """The jobs, each of them once. Raises JobNotFound, before anything of the others is printed."""
    found = [client.get_job(job_id) for job_id in job_ids]
    return list({str(job.get("job_id")): job for job in found}.values())


def _named(jobs: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Their whole ids, by what people call them."""
    ids = [str(job.get("job_id")) for job in jobs]
    shown = SHORT_ID if len({job_id[:SHORT_ID] for job_id in ids}) == len(ids) else None
    return {
        f"{printable(str(job.get('name') or 'job'))} {job_id[:shown]}": job_id
        for job, job_id in zip(jobs, ids, strict=True)
    }


class JobLines:
    """One of the jobs that are followed: its log by whole lines, each with the job's name."""

    def __init__(
        self, job_id: str, name: str, color: str | None, timed_from: int | None = None
    ) -> None:
        """`color` is that of the name, by the number in its escape sequence. Lines have times if it
        is given at which offset the log begins.
        """
        self.job_id = job_id
        self.code: int | None = None
        """The exit code that its end stands for."""
        self._name = name
        shown = f"{name} |" if color is None else f"\x1b[{color}m{name} |\x1b[0m"
        self._prefix = f"{shown} ".encode()
        self._times = None if timed_from is None else LineTimes()
        self._place = timed_from or 0
        """Where the next line begins that is printed."""
        self._news = ""
        self._line = bytearray()
        """What has no end yet."""

    def take(self, event: dict[str, Any] | ClientError) -> None:
        """Show an event, or why there are no more."""
        if isinstance(event, ClientError):
            self._end_line()
            self._tell(f"Error: {event.message}")
            self.code = exit_codes.of_error(event)
        elif event["type"] == "time" and self._times is not None:
            self._times.add(event)
        elif event["type"] == "log":
            self._write(log_bytes(event))
        elif event["type"] == "status":
            self._tell_news(f"status: {event.get('status')}")
        elif event["type"] == "waiting":
            self._tell_news(f"waiting: {event.get('message')}")
        elif event["type"] == "complete":
            self._end_line()
            self._tell_of_end(event)
            self.code = exit_codes.of_result(event)

    def _write(self, content: bytes) -> None:
        whole, newline, rest = content.rpartition(b"\n")
        if newline:
            self._print((bytes(self._line) + whole).split(b"\n"))
            self._line.clear()
        self._line += rest
        if len(self._line) > _LONGEST_LINE:
            self._end_line()

    def _end_line(self) -> None:
        if self._line:
            self._print([bytes(self._line)], end=0)
            self._line.clear()

    def _print(self, lines: Sequence[bytes], end: int = 1) -> None:
        """Print lines, of which so many bytes each are the line's end in the log."""
        out = sys.stdout.buffer
        for line in lines:
            time = b"" if self._times is None else self._times.before(self._place)
            self._place += len(line) + end
            out.write(self._prefix + time + line + b"\n")
        out.flush()

    def _tell_news(self, news: str) -> None:
        if news != self._news:  # and not only another place in the queue
            self._tell(news)
        self._news = news

    def _tell_of_end(self, event: dict[str, Any]) -> None:
        if event.get("tests"):
            self._tell(short_report(event["tests"]))
        if event.get("coverage"):
            self._tell(coverage_line(event["coverage"]))
        for remark in remarks(event):
            self._tell(remark)
        self._tell(result_line(event, self.job_id), color_of(event))

    def _tell(self, message: str, color: Color | None = None) -> None:
        say("\n".join(f"{self._name} | {line}" for line in message.split("\n")), color)


def _displays(names: Mapping[str, str], starts: Sequence[int] | None) -> list[JobLines]:
    """With the offsets at which the logs begin, if lines have times."""
    widest = max(map(len, names))
    colors = cycle(_COLORS if wants_color(ColorChoice.AUTO) else (None,))
    offsets: Sequence[int | None] = starts or [None] * len(names)
    return [
        JobLines(job_id, name.ljust(widest), color, start)
        for (name, job_id), start, color in zip(names.items(), offsets, colors, strict=False)
    ]
