"""The metrics of one process, in a form that those of several can be added up in.

prometheus-client counts; its own way to share between processes is not used: it maps files into
memory, and a full disk would kill whoever counts there. Here each process leaves a copy of what it
has counted, and whoever is asked for the metrics adds them up (decision 51).
"""

import asyncio
import json
import logging
import threading
from collections.abc import Iterable, Sequence
from typing import NoReturn

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.metrics_core import Metric
from prometheus_client.samples import Sample

from ci_common.completion import on_thread
from ci_common.errors import StorageUnavailableError
from ci_common.ports.metrics import MetricShares

logger = logging.getLogger(__name__)

PUBLISH_SECONDS = 5.0

_GAUGE = "gauge"
_CREATED = "_created"


class ProcessMetrics:
    """What this process counts. Instruments are made on `registry`."""

    def __init__(self, shares: MetricShares, role: str) -> None:
        """`role` is what the process does, such as `server`."""
        self.registry = CollectorRegistry()
        self._shares = shares
        self._publishing = threading.Lock()
        self._has_ended = False
        self._told = False
        processes = Gauge("ci_processes", "Processes.", ["role"], registry=self.registry)
        processes.labels(role).set(1)

    def publish(self) -> bytes:
        """Leave them for the other processes; what was left. For any thread. A disk on which this
        is not possible does not keep anybody from counting.
        """
        with self._publishing:  # a scrape does so beside `run`; the newest counts are to stay
            content = dumps(self.registry.collect())
            if self._has_ended:  # its last counts are kept, and would be counted twice
                return content
            try:
                self._shares.publish(content)
                self._told = False
            except (OSError, StorageUnavailableError) as error:
                if not self._told:
                    logger.warning("cannot leave the metrics of this process for others: %s", error)
                self._told = True
        return content

    async def run(self) -> NoReturn:
        """Publish now and then, and at the end."""
        try:
            while True:
                # To completion: publishing after `close` would begin a new share.
                await on_thread(self.publish)
                await asyncio.sleep(PUBLISH_SECONDS)
        finally:
            self.publish()
            with self._publishing:
                self._has_ended = True
                self._shares.close()


def dumps(metrics: Iterable[Metric]) -> bytes:
    """As bytes."""
    found = [
        [
            metric.name,
            metric.type,
            metric.documentation,
            [[sample.name, sample.labels, sample.value] for sample in _summable(metric)],
        ]
        for metric in metrics
    ]
    return json.dumps(found).encode()


def loads(content: bytes | None) -> list[Metric]:
    """Read what `dumps` wrote; nothing of what is damaged, as after a power cut."""
    if content is None:
        return []
    found = []
    try:
        for name, kind, documentation, samples in json.loads(content):
            metric = Metric(name, documentation, kind)
            for sample, labels, value in samples:
                metric.add_sample(sample, labels, float(value))
            found.append(metric)
    except (ValueError, TypeError, AttributeError):
        logger.warning("metrics of another process are damaged, and left out")
        return []
    return found


def added_up(sources: Iterable[Iterable[Metric]], drop: Sequence[str] = ()) -> list[Metric]:
    """The sums of all samples of one name and the same labels, without those labels to `drop`, and
    without the times at which counters were made, which have no sum.
    """
    metrics: dict[str, Metric] = {}
    sums: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], float]] = {}
    for metric in (metric for source in sources for metric in source):
        metrics.setdefault(metric.name, Metric(metric.name, metric.documentation, metric.type))
        own = sums.setdefault(metric.name, {})
        for sample in _summable(metric):
            labels = tuple((k, v) for k, v in sample.labels.items() if k not in drop)
            key = (sample.name, labels)
            own[key] = own.get(key, 0.0) + sample.value
    for name, metric in metrics.items():
        for (sample_name, labels), value in sums[name].items():
            metric.add_sample(sample_name, dict(labels), value)
    return list(metrics.values())


def _summable(metric: Metric) -> list[Sample]:
    return [sample for sample in metric.samples if not sample.name.endswith(_CREATED)]


def lasting(contents: Sequence[bytes]) -> bytes:
    """What counts for ever of processes that have ended: all but what was true then only."""
    found = added_up(map(loads, contents))
    return dumps(metric for metric in found if metric.type != _GAUGE)
