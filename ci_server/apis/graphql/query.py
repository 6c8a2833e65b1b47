"""A query and its answer, which know nothing of graphql-core."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ci_server.services.job_details import JobDetailService
from ci_server.services.job_events import JobEventService
from ci_server.services.jobs import JobService
from ci_server.services.trends import TrendService
from ci_server.services.usage import UsageService
from ci_server.streams.log_stream import LogStreams


@dataclass(frozen=True, slots=True)
class QueryServices:
    """What resolvers call."""

    jobs: JobService
    events: JobEventService
    usage: UsageService
    streams: LogStreams
    details: JobDetailService
    trends: TrendService
    default_image: str | None


@dataclass(frozen=True, slots=True)
class Question:
    """What was sent."""

    query: str
    variables: Mapping[str, Any]
    operation: str | None


@dataclass(frozen=True, slots=True)
class Answer:
    """The body, as JSON, and the status of HTTP."""

    status: int
    content: bytes
