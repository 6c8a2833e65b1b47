"""The metrics of the whole instance: what its processes count, its jobs, and how it stands."""

import asyncio
import logging
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from ci_common.completion import on_thread
from ci_common.errors import NotReadyError, StorageUnavailableError
from ci_common.metrics import ProcessMetrics, added_up, loads
from ci_common.ports.metrics import InstanceFacts, MetricFacts, MetricShares
from ci_server.services.job_totals import TENANT, JobTotalsCounter
from ci_server.telemetry.service import VERSION

logger = logging.getLogger(__name__)

FRESH_SECONDS = 1.0
"""For so long an answer serves everybody who asks."""

_LIVE = ("queued", "initializing", "running")


class MetricsService:
    """Adds up what the processes of one instance know."""

    def __init__(
        self,
        process: ProcessMetrics,
        shares: MetricShares,
        facts: MetricFacts,
        data_path: Path,
        now: Callable[[], datetime],
        *,
        with_tenants: bool,
    ) -> None:
        self._process = process
        self._shares = shares
        self._facts = facts
        self._jobs = JobTotalsCounter(facts, shares)
        self._data_path = data_path
        self._now = now
        self._drop = () if with_tenants else (TENANT,)
        self._turn = asyncio.Lock()
        self._newest: tuple[float, list[Metric]] | None = None

    async def collect(self) -> list[Metric]:
        """All of them. Raises StorageUnavailableError, NotReadyError."""
        async with self._turn:
            if self._newest is None or time.monotonic() - self._newest[0] > FRESH_SECONDS:
                metrics = await self._collect()
                self._newest = time.monotonic(), metrics
            return self._newest[1]

    async def begin(self) -> None:
        """Count jobs from now on, unless that was begun before. What stands in the way of it now
        does not at the first scrape.
        """
        try:
            async with self._shares.scraping():
                if self._shares.totals() is None:
                    await self._jobs.count_on(await self._facts.now())
        except (NotReadyError, StorageUnavailableError, OSError) as error:
            logger.warning("the counts of jobs begin at the first scrape: %s", error)

    async def _collect(self) -> list[Metric]:
        async with self._shares.scraping():
            # What is told now was left for the others before: no counter ever goes back, even if
            # this process is killed.
            own = await on_thread(self._process.publish)
            # To completion: it may be adding up the shares of ended processes.
            others = await on_thread(self._shares.others)
            now = await self._facts.now()
            jobs = await self._jobs.count_on(now)
        disk = await asyncio.to_thread(shutil.disk_usage, self._data_path)
        sources = [loads(content) for content in (own, *others.live, others.ended)]
        behind = now.last_event - jobs.seq
        state = state_of(now, behind=behind, disk=(disk.total, disk.free), now=self._now())
        return added_up([jobs.metrics, state, *sources], self._drop)


def state_of(
    facts: InstanceFacts, *, behind: int, disk: tuple[int, int], now: datetime
) -> Iterator[Metric]:
    """How the instance stands: `behind` is the number of job events that are not counted yet, and
    `disk` the size of the data directory's disk and what is free of it, in bytes.
    """
    yield from _jobs_of(facts)
    oldest = _age(facts.oldest_queued_at, now) or 0.0
    yield _gauge("ci_queue_oldest_seconds", "How long the oldest queued job has waited.", oldest)
    if (silent := _age(facts.heartbeat_at, now)) is not None:
        yield _gauge("ci_controller_silent_seconds", "Since the controller's last sign.", silent)
    up = 0 if facts.engine_error or facts.heartbeat_at is None else 1
    yield _gauge("ci_engine_up", "Whether the engine starts jobs, as the controller says.", up)
    events = CounterMetricFamily("ci_job_events", "Numbers given to job events.")
    yield _labelled(events, [((), facts.last_event)])
    yield _gauge("ci_metrics_events_behind", "Job events that are not counted yet.", behind)
    yield _gauge("ci_disk_size_bytes", "The size of the data directory's disk.", disk[0])
    yield _gauge("ci_disk_free_bytes", "What is free of it.", disk[1])
    info = GaugeMetricFamily("ci_server_info", "The version.", labels=["version"])
    yield _labelled(info, [((VERSION,), 1)])


def _jobs_of(facts: InstanceFacts) -> Iterator[Metric]:
    jobs = GaugeMetricFamily("ci_jobs", "Jobs that have not ended.", labels=["status", TENANT])
    there = {(status, tenant): number for tenant, status, number in facts.live}
    tenants = {tenant for _, tenant in there} or {""}
    yield _labelled(jobs, [((s, t), there.get((s, t), 0)) for t in sorted(tenants) for s in _LIVE])
    kept = GaugeMetricFamily("ci_jobs_kept", "Jobs that have ended.", labels=[TENANT])
    yield _labelled(kept, [((row.tenant,), row.finished) for row in facts.stored] or [(("",), 0)])
    stored = GaugeMetricFamily("ci_stored_bytes", "What is kept of jobs.", labels=["kind", TENANT])
    for row in facts.stored:
        stored.add_metric(["packages", row.tenant], row.packages)
        stored.add_metric(["logs", row.tenant], row.logs)
        stored.add_metric(["artifacts", row.tenant], row.artifacts)
    yield stored


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(name, documentation, value=value)


def _labelled(
    family: CounterMetricFamily | GaugeMetricFamily,
    samples: Iterable[tuple[tuple[str, ...], float]],
) -> Metric:
    for labels, value in samples:
        family.add_metric(labels, value)
    return family


def _age(moment: datetime | None, now: datetime) -> float | None:
    return None if moment is None else max((now - moment).total_seconds(), 0.0)
