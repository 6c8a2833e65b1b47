"""Samples of a job of any length: bounded, evenly apart, with the peak and the exact average."""

import pytest

from ci_common.resources import MOST_SAMPLES, ResourceSeries, ResourceUsage


def sampled(seconds, step=2.0, memory=lambda at: 100):
    """What a controller that ticks so often takes of a job that uses half a core."""
    series, tick = ResourceSeries(1), 1
    while tick * step <= seconds:
        if series.is_due(tick * step):
            usage = ResourceUsage(tick * step / 2, memory(tick * step))
            series = series.with_usage(tick * step, usage)
        tick += 1
    return series


@pytest.mark.parametrize("seconds", [10, 479, 481, 3600, 86_400])
def test_a_job_of_any_length(seconds):
    series = sampled(seconds, memory=lambda at: 10**9 if 0 < at - seconds / 2 < 12 else 100)
    series = series.ended()
    assert len(series.samples) <= MOST_SAMPLES
    assert len(series.samples) >= min(seconds / 2 // 1, MOST_SAMPLES / 2) - 1
    assert series.peak_memory_bytes == 10**9
    assert all(abs(one - 0.5) < 0.001 for one in series.cores())
    apart = [
        later.seconds - earlier.seconds
        for earlier, later in zip(series.samples, series.samples[1:], strict=False)
    ]
    assert max(apart, default=2) <= 2 * series.interval_seconds


def test_cpu_time_is_never_given_back():
    series = ResourceSeries(1).with_usage(2, ResourceUsage(4, 1)).with_usage(4, ResourceUsage(1, 1))
    assert series.cores() == [2, 0]


def test_a_start_is_no_sample():
    assert not ResourceSeries(1).is_due(0.1)
    assert ResourceSeries(1).is_due(0.6)
