"""The five calls of the Job Worker service: decode, call the services, encode."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass

import grpc
from typing_extensions import override

from ci_common.errors import (
    BadRequestError,
    InvalidConfigError,
    InvalidOffsetError,
    JobFinishedError,
    JobNotFoundError,
    LogCorruptError,
    NotReadyError,
)
from ci_common.events import CompleteEvent, LogEvent
from ci_common.job import Door, Job
from ci_common.ports.rows import JobQuery
from ci_common.principal import Principal
from ci_common.worker_api import worker_pb2 as messages
from ci_common.worker_api.worker_pb2_grpc import JobServiceServicer
from ci_server.grpc.caller import current_caller
from ci_server.grpc.errors import Context
from ci_server.grpc.present import fields_of, status_of, stopped
from ci_server.services.intake import Intake
from ci_server.services.jobs import JobService
from ci_server.streams.log_stream import LogStreams
from ci_server.submission.request import SubmissionRequest

DEFAULT_CPU_PERCENT = 100
DEFAULT_MEMORY_MB = 512

GRACE_SECONDS = 0.1
"""Between SIGTERM and SIGKILL."""

STOP_SECONDS = 30.0
"""How long a call waits at most until the job it stops has ended."""

MOST_JOBS = 1000
LIST_BYTES = 3 << 20
"""Clients take messages of 4 MiB by default."""

_PAGE = 100
_SHOWN_CHARACTERS = 64


@dataclass(frozen=True, slots=True)
class WorkerServices:
    """What the calls need."""

    intake: Intake
    jobs: JobService
    streams: LogStreams


class JobWorker(JobServiceServicer):
    """Serves callers that the guard has let in."""

    def __init__(self, services: WorkerServices) -> None:
        self._intake = services.intake
        self._jobs = services.jobs
        self._streams = services.streams

    @override
    async def CreateJob(
        self, request: messages.CreateJobReq, context: Context
    ) -> messages.CreateJobRes:
        """Queue a job without a package."""
        job = await self._intake.accept(_caller(), None, self._wanted(request))
        return messages.CreateJobRes(**fields_of(job))

    @override
    async def GetJob(self, request: messages.GetJobReq, context: Context) -> messages.GetJobRes:
        """One job."""
        return messages.GetJobRes(**fields_of(await self._found(request.id)))

    @override
    async def StopJob(self, request: messages.StopJobReq, context: Context) -> messages.StopJobRes:
        """Ask for a job's end, and wait for it."""
        job = await self._found(request.id)
        try:
            job = await self._jobs.cancel(_caller(), job.job_id)
        except JobFinishedError as error:
            job = await self._found(job.job_id)
            raise JobFinishedError(
                f"job is not running: {job.job_id} (current status: {status_of(job)})"
            ) from error
        try:
            async with asyncio.timeout(STOP_SECONDS):
                return stopped(await self._streams.ended(job))
        except TimeoutError:
            await context.abort(
                grpc.StatusCode.DEADLINE_EXCEEDED,
                f"the job has not ended within {STOP_SECONDS:g} s; it is still being stopped: "
                f"{job.job_id}",
            )

    @override
    async def GetJobs(self, request: messages.EmptyRequest, context: Context) -> messages.Jobs:
        """The newest jobs, or those before `page-token`; `next-page-token` tells of more."""
        metadata = _metadata(context)
        limit = _decimal(metadata, "limit", MOST_JOBS, most=MOST_JOBS)
        found, token = await self._page(limit, metadata.get("page-token"))
        if token is not None:
            context.set_trailing_metadata((("next-page-token", token),))
        return messages.Jobs(jobs=found)

    @override
    async def GetJobsStream(
        self, request: messages.GetJobsStreamReq, context: Context
    ) -> AsyncIterator[messages.DataChunk]:
        """The log from `offset` on, to the job's end, or with `follow: false` to where it is."""
        metadata = _metadata(context)
        follow, offset = _flag(metadata, "follow"), _decimal(metadata, "offset", 0)
        found = await self._found(request.id)
        job = await self._jobs.open_log(_caller(), found.job_id)
        self._streams.check_offset(job, offset)
        self._streams.check_readable(job)
        content = self._followed(job, offset) if follow else self._so_far(job, offset)
        async with aclosing(content) as pieces:
            async for piece in pieces:
                yield messages.DataChunk(payload=piece)

    async def _found(self, text: str) -> Job:
        try:
            return await self._jobs.find(_caller(), text)
        except JobNotFoundError as error:
            raise JobNotFoundError(f"job not found: {text[:_SHOWN_CHARACTERS]}") from error

    async def _page(self, limit: int, before: str | None) -> tuple[list[messages.Job], str | None]:
        """Up to `limit` jobs that fit into an answer, and the token of the next page."""
        found: list[messages.Job] = []
        size = 0
        while True:
            jobs = await self._listed(JobQuery(limit=_PAGE, before=before))
            for job in jobs:
                message = messages.Job(**fields_of(job))
                size += message.ByteSize() + _FIELD_BYTES
                if len(found) == limit or (found and size > LIST_BYTES):
                    return found, found[-1].id
                found.append(message)
            if len(jobs) < _PAGE:
                return found, None
            before = jobs[-1].job_id

    async def _listed(self, query: JobQuery) -> list[Job]:
        try:
            return await self._jobs.list_jobs(_caller(), query)
        except JobNotFoundError as error:
            raise BadRequestError("page-token: not from this list") from error

    def _wanted(self, request: messages.CreateJobReq) -> SubmissionRequest:
        ceilings = self._intake.limits.ceilings
        for name in ("maxCPU", "maxMemory", "maxIOBPS"):
            if getattr(request, name) < 0:
                raise InvalidConfigError(f"{name} must be 0 (the default) or greater")
        return SubmissionRequest(
            command=(request.command, *request.args),
            cpu_percent=request.maxCPU or _at_most(DEFAULT_CPU_PERCENT, ceilings.cpu_percent),
            memory_mb=request.maxMemory or _at_most(DEFAULT_MEMORY_MB, ceilings.memory_mb),
            block_io_bytes=request.maxIOBPS or None,
            grace_seconds=GRACE_SECONDS,
            door=Door.GRPC,
        )

    async def _followed(self, job: Job, offset: int) -> AsyncGenerator[bytes, None]:
        """The log to the job's end. Raises LogCorruptError when it stops before, and NotReadyError
        when the rest cannot be read now.
        """
        async with aclosing(self._streams.events(job, offset)) as events:
            async for event in events:
                if isinstance(event, LogEvent):
                    yield event.content
                    offset = event.end_offset
                elif isinstance(event, CompleteEvent):
                    if offset < (event.job.log_size or 0):
                        raise LogCorruptError(f"job {job.job_id}: the log ends at byte {offset}")
                    return
        raise NotReadyError("the log cannot be read now; resume with the offset")

    async def _so_far(self, job: Job, offset: int) -> AsyncGenerator[bytes, None]:
        """The log to the end that it has now."""
        end = self._streams.size(job)
        if offset > end:
            raise InvalidOffsetError(
                f"the offset {offset} is not in the log, which has {end} bytes"
            )
        self._streams.check_stored(job, end)
        while offset < end:
            piece = self._streams.read(job, offset, end)
            if not piece:
                raise LogCorruptError(f"job {job.job_id}: its log ends at byte {offset}")
            yield piece
            offset += len(piece)
            await asyncio.sleep(0)


_FIELD_BYTES = 8
"""More than what surrounds a job in a list."""


def _caller() -> Principal:
    return current_caller().principal


def _at_most(default: int, ceiling: int | None) -> int:
    return default if ceiling is None else min(default, ceiling)


def _metadata(context: Context) -> Mapping[str, str]:
    pairs = context.invocation_metadata() or ()
    return {key: value for key, value in pairs if isinstance(value, str)}


def _flag(metadata: Mapping[str, str], name: str) -> bool:
    value = metadata.get(name, "true")
    if value not in ("true", "false"):
        raise BadRequestError(f"metadata {name}: must be true or false")
    return value == "true"


def _decimal(metadata: Mapping[str, str], name: str, default: int, most: int = 2**63 - 1) -> int:
    value = metadata.get(name)
    if value is None:
        return default
    number = int(value) if value.isascii() and value.isdecimal() and len(value) < 20 else -1
    least = 0 if most > MOST_JOBS else 1
    if not least <= number <= most:
        raise BadRequestError(f"metadata {name}: must be an integer from {least} to {most}")
    return number
