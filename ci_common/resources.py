"""CPU and memory of a running job over time, in a bounded number of samples."""

from dataclasses import dataclass, field, replace

MOST_SAMPLES = 240
"""Of a job. When there are so many, every two become one, and from then on they are taken half as
often: so a job of any length has at least half as many, all equally far apart."""

FIRST_INTERVAL_SECONDS = 2.0
_FIRST_SECONDS = 0.5
"""Sooner, the work of the start itself would look like that of many cores."""

LOOK_SECONDS = 10.0
"""Memory is looked at at least so often, however far apart samples are: peaks are short."""

_EARLY = 0.75
"""A sample may be so much of an interval after the last one: ticks are not exact."""


@dataclass(frozen=True, slots=True)
class ResourceUsage:
    """What a workload uses, as its executor sees it."""

    cpu_seconds: float
    """Of all its processes, of all cores, since its start."""
    memory_bytes: int
    """Now, without files that are only cached."""


@dataclass(frozen=True, slots=True)
class ResourceSample:
    """What a job had used at one moment."""

    seconds: float
    """Since its command started."""
    cpu_seconds: float
    """Since then."""
    memory_bytes: int
    """The most since the sample before."""


@dataclass(frozen=True, slots=True)
class ResourceSeries:
    """The samples of one attempt of a job, in order."""

    attempt: int
    interval_seconds: float = FIRST_INTERVAL_SECONDS
    samples: tuple[ResourceSample, ...] = ()
    looked_seconds: float = field(default=0.0, compare=False)
    """After the start: when its usage was looked at last."""
    between_bytes: int = field(default=0, compare=False)
    """The most memory that was seen since the last sample."""

    def is_due(self, seconds: float) -> bool:
        """Whether to look now, so long after the start."""
        if not self.samples:
            return seconds >= _FIRST_SECONDS
        pause = min(self.interval_seconds, LOOK_SECONDS)
        return seconds - max(self.looked_seconds, self.samples[-1].seconds) >= _EARLY * pause

    def with_usage(self, seconds: float, usage: ResourceUsage) -> "ResourceSeries":
        """With what was seen now: one more sample, or memory between two. Processes that end unseen
        may take their CPU time with them, which would look like time given back.
        """
        memory = max(usage.memory_bytes, self.between_bytes)
        since = seconds - self.samples[-1].seconds if self.samples else self.interval_seconds
        if since < _EARLY * self.interval_seconds:
            return replace(self, looked_seconds=seconds, between_bytes=memory)
        before = self.samples[-1].cpu_seconds if self.samples else 0.0
        cpu_seconds = max(usage.cpu_seconds, before)
        sample = ResourceSample(round(seconds, 2), round(cpu_seconds, 3), memory)
        samples = (*self.samples, sample)
        longer = ResourceSeries(self.attempt, self.interval_seconds, samples, seconds)
        return longer._halved() if len(longer.samples) > MOST_SAMPLES else longer

    def ended(self) -> "ResourceSeries":
        """With the memory that was seen since the last sample in that."""
        if not self.samples:
            return self
        *others, last = self.samples
        last = replace(last, memory_bytes=max(last.memory_bytes, self.between_bytes))
        return ResourceSeries(self.attempt, self.interval_seconds, (*others, last))

    @property
    def peak_memory_bytes(self) -> int | None:
        """The most that was seen; `None` without samples."""
        return max((sample.memory_bytes for sample in self.samples), default=None)

    @property
    def cpu_seconds(self) -> float | None:
        """Of all cores, up to the last sample; `None` without samples."""
        return self.samples[-1].cpu_seconds if self.samples else None

    def cores(self) -> list[float]:
        """How many cores were in use, on average, before each sample since the one before."""
        found, at, used = [], 0.0, 0.0
        for sample in self.samples:
            elapsed = sample.seconds - at
            found.append((sample.cpu_seconds - used) / elapsed if elapsed > 0 else 0.0)
            at, used = sample.seconds, sample.cpu_seconds
        return found

    def _halved(self) -> "ResourceSeries":
        pairs = zip(self.samples[::2], self.samples[1::2], strict=False)
        kept = [
            replace(later, memory_bytes=max(earlier.memory_bytes, later.memory_bytes))
            for earlier, later in pairs
        ]
        if len(self.samples) % 2:
            kept.append(self.samples[-1])
        return replace(self, interval_seconds=2 * self.interval_seconds, samples=tuple(kept))
