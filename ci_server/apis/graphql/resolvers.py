"""Where the fields of the schema come from. What is not here is a key of the object around it,
which is as in the native API.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self

from fastapi.exceptions import RequestValidationError
from graphql import GraphQLObjectType, GraphQLResolveInfo, GraphQLSchema
from pydantic import TypeAdapter, ValidationError

from ci_common.errors import EventsGoneError, QueryTooComplexError
from ci_common.job import Artifact, Job
from ci_common.job_event_wire import job_event_json
from ci_common.ports.rows import JobQuery
from ci_common.principal import Principal
from ci_common.resources import ResourceSeries
from ci_server.apis.graphql.batches import BatchLoader
from ci_server.apis.graphql.cost import LARGEST_PAGE, MOST_TRENDS, Texts
from ci_server.apis.graphql.query import QueryServices
from ci_server.apis.native.lists import Filters, Order
from ci_server.apis.native.present import (
    artifact_json,
    job_json,
    trend_json,
    usage_json,
    waiting_json,
)
from ci_server.apis.native.present_details import (
    points_json,
    resource_totals_json,
    settings_json,
)
from ci_server.apis.native.trends import check_names
from ci_server.http.query import query_error
from ci_server.streams.event_feed import MOST_EVENTS

_SOURCE = "."
"""The key of the job itself, or of a job's samples: not a name that a query can have."""
_LISTS_OF_SETTINGS = ("command", "env", "secrets", "install", "artifacts")

_FILTERS = TypeAdapter(Filters)


@dataclass(frozen=True, slots=True)
class QueryContext:
    """Of one query."""

    principal: Principal
    services: QueryServices
    artifacts: BatchLoader[int, Sequence[Artifact]]
    resources: BatchLoader[None, dict[str, Any]]
    texts: Texts = field(default_factory=Texts)

    @classmethod
    def of(cls, principal: Principal, services: QueryServices) -> Self:
        """Of a query that nothing was loaded for."""

        async def resources_of(jobs: Sequence[Job], _: None) -> dict[str, dict[str, Any]]:
            found = await services.details.resources_of(principal, jobs)
            return await asyncio.to_thread(_presented, found)  # the sums of a thousand take long

        return cls(
            principal,
            services,
            BatchLoader(partial(services.jobs.artifacts_of, principal)),
            BatchLoader(resources_of),
        )


Info = GraphQLResolveInfo[QueryContext]


@dataclass(slots=True)
class _Page:
    """A page of jobs, of which the total is counted only when it is asked for, and then once,
    however many aliases ask.
    """

    nodes: list[dict[str, Any]]
    next_cursor: str | None
    query: JobQuery
    mine: bool
    total: int | None = None
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


def install(schema: GraphQLSchema) -> None:
    """Give the schema its resolvers."""
    resolvers: Mapping[str, Mapping[str, Any]] = {
        "Query": {
            "jobs": _jobs,
            "job": _one_job,
            "trends": _trends,
            "events": _events,
            "usage": _usage,
        },
        "JobPage": {"total": _total},
        "Job": {
            "waiting": _waiting,
            "artifacts": _artifacts,
            "command": _texts,
            "secrets": _texts,
            "settings": _settings,
            "resources": _resources,
        },
        "JobSettings": dict.fromkeys(_LISTS_OF_SETTINGS, _texts),
        "Resources": {"points": _points},
    }
    for type_name, fields in resolvers.items():
        found = schema.type_map[type_name]
        assert isinstance(found, GraphQLObjectType)  # noqa: S101 - for the type checker
        for name, resolve in fields.items():
            found.fields[name].resolve = resolve


async def _jobs(_: None, info: Info, **given: Any) -> _Page:
    context = info.context
    limit = _bounded(given.pop("limit"), LARGEST_PAGE)
    cursor, mine = given.pop("cursor", None), bool(given.pop("mine"))
    query = _filters(given).query(limit + 1, cursor)
    jobs = await context.services.jobs.list_jobs(context.principal, query, mine=mine)
    more = len(jobs) > limit
    nodes = [_node(job) for job in jobs[:limit]]
    return _Page(nodes, jobs[limit - 1].job_id if more else None, query, mine)


def _filters(given: Mapping[str, Any]) -> Filters:
    """Raises RequestValidationError."""
    values = {name: value for name, value in given.items() if value is not None}
    values["sort"] = Order[values.get("sort", Order.NEWEST.name)]
    try:
        return _FILTERS.validate_python(values)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        raise RequestValidationError(
            [{**problem, "loc": ("query", *problem["loc"])} for problem in problems]
        ) from None


def _bounded(limit: int | None, most: int) -> int:
    if limit is None or not 1 <= limit <= most:
        raise query_error("limit", f"must be from 1 to {most}")
    return limit


def _node(job: Job) -> dict[str, Any]:
    told = job_json(job)
    if job.log_dropped is None:
        told["log_dropped"] = None
    return {**told, _SOURCE: job}


async def _total(page: _Page, info: Info) -> int:
    context = info.context
    async with page.turn:
        if page.total is None:
            page.total = await context.services.jobs.count_jobs(
                context.principal, page.query, mine=page.mine
            )
    return page.total


async def _one_job(_: None, info: Info, id: str) -> dict[str, Any]:
    context = info.context
    return _node(await context.services.jobs.get(context.principal, id))


async def _waiting(node: Mapping[str, Any], info: Info) -> dict[str, Any] | None:
    context = info.context
    waiting = await context.services.streams.waiting(node[_SOURCE])
    return None if waiting is None else waiting_json(waiting)


def _texts(node: Mapping[str, Any], info: Info) -> list[str] | None:
    found: list[str] | None = node[info.field_name]
    info.context.texts.take(len(found or ()))
    return found


def _settings(node: dict[str, Any], info: Info) -> dict[str, Any]:
    """Made once for each job, however many aliases ask."""
    if "settings" not in node:
        node["settings"] = settings_json(node[_SOURCE], info.context.services.default_image)
    settings: dict[str, Any] = node["settings"]
    return settings


async def _resources(node: Mapping[str, Any], info: Info) -> dict[str, Any] | None:
    return await info.context.resources.load(node[_SOURCE], None)


def _presented(found: Mapping[str, ResourceSeries]) -> dict[str, dict[str, Any]]:
    return {
        job_id: {**totals, "interval_seconds": series.interval_seconds, _SOURCE: series}
        for job_id, series in found.items()
        if (totals := resource_totals_json(series))
    }


def _points(node: Mapping[str, Any], _: Info) -> list[dict[str, Any]]:
    return points_json(node[_SOURCE])


async def _artifacts(
    node: Mapping[str, Any], info: Info, limit: int | None
) -> list[dict[str, Any]]:
    context = info.context
    most = _bounded(limit, LARGEST_PAGE)
    return [artifact_json(one) for one in await context.artifacts.load(node[_SOURCE], most) or ()]


async def _trends(_: None, info: Info, name: list[str]) -> list[dict[str, Any]]:
    context = info.context
    check_names(name)
    found = await context.services.trends.trends(context.principal, name)
    if len(found) > MOST_TRENDS:
        raise QueryTooComplexError(
            f"there are more than {MOST_TRENDS} trends, of several tenants; ask for fewer names"
        )
    return [trend_json(trend) for trend in found]


async def _events(_: None, info: Info, **given: Any) -> dict[str, Any]:
    context = info.context
    after, stored = given.get("after"), bool(given["stored"])
    limit = _bounded(given["limit"], MOST_EVENTS)
    if stored and after is not None:
        raise query_error("stored", "cannot be combined with after")
    events = context.services.events
    cursor = await events.begin(after, all_stored=stored)
    try:
        batch = await events.page(context.principal, cursor, limit, mine=bool(given["mine"]))
    except EventsGoneError as error:
        return {"nodes": [], "cursor": str(error.resume), "has_more": True, "gone": True}
    kinds = given.get("kind")
    nodes = [job_event_json(event) for event in batch.events if not kinds or event.kind in kinds]
    more = len(batch.events) == limit
    return {"nodes": nodes, "cursor": str(batch.cursor), "has_more": more, "gone": False}


async def _usage(_: None, info: Info) -> dict[str, Any]:
    context = info.context
    return usage_json(await context.services.usage.usage(context.principal))
