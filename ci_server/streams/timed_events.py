"""A job's events with the times at which its log was received."""

from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing

from ci_common.events import Event, LogEvent
from ci_common.job import Job
from ci_common.ports.logs import LogMark, LogMarks, LogReader
from ci_server.streams.log_threads import LogThreads


class TimedEvents:
    """For the streams of all jobs."""

    def __init__(self, logs: LogReader, marks: LogMarks, threads: LogThreads) -> None:
        self._logs = logs
        self._marks = marks
        self._threads = threads

    async def events(
        self, job: Job, events: AsyncGenerator[Event, None]
    ) -> AsyncGenerator[Event | LogMark, None]:
        """The same events, and each mark before the log event that has its byte. The first is the
        last one before the first log event.
        """
        marks: deque[LogMark] = deque()
        known, told = 0, -1
        async with aclosing(events):
            async for event in events:
                if isinstance(event, LogEvent):
                    if event.end_offset > known:
                        known = self._logs.size(job.job_id)  # a mark is there before its bytes are
                        start = event.end_offset - len(event.content)
                        found = await self._threads.run(
                            job.tenant, self._marks.marks, job.job_id, start
                        )
                        marks = deque(mark for mark in found if mark.offset > told)
                    while marks and marks[0].offset < event.end_offset:
                        told = marks[0].offset
                        yield marks.popleft()
                yield event
