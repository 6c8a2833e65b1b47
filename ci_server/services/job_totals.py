"""Counts of jobs, made of job events: each event is counted once, by whichever process sees it
first, and what was counted is kept with the number of the last event.
"""

import json
import logging
from dataclasses import dataclass
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.metrics_core import Metric

from ci_common.job import JobStatus
from ci_common.job_events import JobEventKind
from ci_common.metrics import added_up, dumps, loads
from ci_common.ports.metrics import CountedEvent, InstanceFacts, MetricFacts, MetricShares

logger = logging.getLogger(__name__)

MOST_EVENTS = 10_000
"""Per scrape. Of more, as when nobody asked for a week, the next scrapes count the rest."""

_BATCH = 500

TENANT = "tenant"

WAIT_BUCKETS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400)
START_BUCKETS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900)
RUN_BUCKETS = (1, 5, 15, 60, 300, 900, 1800, 3600, 7200, 14400, 43200, 86400)


class JobInstruments:
    """What is counted of jobs. `tenant` is dropped where it is not to be told."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._submitted = Counter(
            "ci_jobs_submitted", "Jobs accepted.", [TENANT], registry=registry
        )
        self._finished = Counter(
            "ci_jobs_finished",
            "Jobs ended.",
            ["status", "reason", "success", TENANT],
            registry=registry,
        )
        self._retried = Counter(
            "ci_job_retries", "Attempts after one that was lost.", registry=registry
        )
        self._log_bytes = Counter(
            "ci_job_log_bytes", "Bytes in the logs of ended jobs.", registry=registry
        )
        self._artifact_bytes = Counter(
            "ci_job_artifact_bytes", "Bytes in the artifacts of ended jobs.", registry=registry
        )
        self._wait = Histogram(
            "ci_job_queue_wait_seconds",
            "From a job's submission until the controller takes it.",
            buckets=WAIT_BUCKETS,
            registry=registry,
        )
        self._start = Histogram(
            "ci_job_start_latency_seconds",
            "From there until its command starts: image, requirements, container.",
            buckets=START_BUCKETS,
            registry=registry,
        )
        self._run = Histogram(
            "ci_job_run_seconds",
            "From the start of the command until the job's end.",
            ["status"],
            buckets=RUN_BUCKETS,
            registry=registry,
        )

    def count(self, event: CountedEvent) -> None:
        """Count one."""
        match event.kind:
            case JobEventKind.SUBMITTED:
                self._submitted.labels(event.tenant).inc()
            case JobEventKind.CLAIMED if event.attempt == 1:
                _observe(self._wait, event.created_at, event.at)
            case JobEventKind.STARTED:
                _observe(self._start, event.claimed_at, event.at)
            case JobEventKind.RETRIED:
                self._retried.inc()
            case JobEventKind.FINISHED:
                status = event.status or ""
                success = "true" if _succeeded(event) else "false"
                self._finished.labels(status, event.reason or "", success, event.tenant).inc()
                self._log_bytes.inc(event.log_size)
                self._artifact_bytes.inc(event.artifacts_size)
                _observe(self._run.labels(status), event.started_at, event.at)


@dataclass(frozen=True, slots=True)
class JobTotals:
    """What was counted."""

    metrics: list[Metric]
    stream: str
    seq: int
    """Of the last event that is counted."""


class JobTotalsCounter:
    """Counts for all processes of the instance."""

    def __init__(self, facts: MetricFacts, shares: MetricShares) -> None:
        self._facts = facts
        self._shares = shares

    async def count_on(self, now: InstanceFacts) -> JobTotals:
        """Count what has happened since, and keep that; to be called while `scraping`, on the
        event loop. Raises StorageUnavailableError.
        """
        before = _read(self._shares.totals())
        if before is None or before.stream != now.stream or before.seq > now.last_event:
            # Nobody has counted here, or a backup was restored: what happened before is unknown.
            metrics = [] if before is None else before.metrics
            fresh = added_up([metrics, JobInstruments().registry.collect()])
            return self._keep(JobTotals(fresh, now.stream, now.last_event))
        instruments, seq, left = JobInstruments(), before.seq, MOST_EVENTS
        while left > 0 and seq < now.last_event:
            events = await self._facts.events(seq, min(_BATCH, left))
            for event in events:
                instruments.count(event)
            left -= _BATCH
            seq = events[-1].seq if events else now.last_event
        metrics = added_up([before.metrics, instruments.registry.collect()])
        return self._keep(JobTotals(metrics, now.stream, seq))

    def _keep(self, totals: JobTotals) -> JobTotals:
        about = {"stream": totals.stream, "seq": totals.seq}
        content = json.dumps({**about, "counted": dumps(totals.metrics).decode()})
        try:
            self._shares.keep_totals(content.encode())
        except OSError as error:  # such as a full disk: the next one counts the same again
            logger.debug("the counts of jobs cannot be kept: %s", error)
        return totals


def _read(content: bytes | None) -> JobTotals | None:
    if content is None:
        return None
    try:
        kept = json.loads(content)
        metrics = loads(kept["counted"].encode())
        return JobTotals(metrics, str(kept["stream"]), int(kept["seq"]))
    except (ValueError, KeyError, TypeError, AttributeError):
        logger.warning("the counts of jobs are damaged, and begin anew")
        return None


def _succeeded(event: CountedEvent) -> bool:
    return event.status == JobStatus.COMPLETED and event.exit_code == 0


def _observe(histogram: Histogram, since: datetime | None, until: datetime) -> None:
    """The time between; none when the wall clock was set back."""
    if since is not None:
        histogram.observe(max((until - since).total_seconds(), 0.0))
