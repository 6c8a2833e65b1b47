"""Metrics that processes share: each is counted once, however processes end."""

import asyncio
import errno
import json
import threading
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge

from ci_common.errors import DataDirectoryUnavailableError, NotReadyError
from ci_common.metrics import ProcessMetrics, added_up, dumps, lasting, loads
from ci_persistence.files import metric_files
from ci_persistence.files.metric_files import MetricFiles
from support.waiting import until


class Process:
    """A process of the instance, as far as its metrics go."""

    def __init__(self, data):
        self.files = MetricFiles(data, lasting)
        self.registry = CollectorRegistry()
        self.jobs = Counter("jobs", "Jobs.", ["kind"], registry=self.registry)
        self.open = Gauge("open", "Open.", registry=self.registry)

    def count(self, number, kind="a"):
        self.jobs.labels(kind).inc(number)
        self.open.set(number)
        self.files.publish(dumps(self.registry.collect()))

    def die(self):
        self.files.close()


def told(scraper):
    """What a scraper that has counted nothing itself adds up."""
    shares = scraper.files.others()
    found = added_up([*map(loads, shares.live), loads(shares.ended)])
    return {
        (sample.name, *sample.labels.values()): sample.value
        for metric in found
        for sample in metric.samples
    }


def test_counts_of_the_dead_stay_and_their_gauges_go(tmp_path):
    one, two, scraper = Process(tmp_path), Process(tmp_path), Process(tmp_path)
    scraper.files.publish(b"[]")
    one.count(3)
    two.count(4, "b")
    assert told(scraper) == {("jobs_total", "a"): 3, ("jobs_total", "b"): 4, ("open",): 7}
    one.die()
    assert told(scraper) == {("jobs_total", "a"): 3, ("jobs_total", "b"): 4, ("open",): 4}
    two.die()
    third = Process(tmp_path)
    third.count(1)
    for _ in range(2):  # also in one that finds them added up already
        assert told(scraper) == {("jobs_total", "a"): 4, ("jobs_total", "b"): 4, ("open",): 1}
    directory = tmp_path / "metrics"
    assert len(list(directory.glob("*.json"))) == len(list(directory.glob("*.lock"))) == 2


def test_a_crash_between_adding_up_and_removing_counts_nobody_twice(tmp_path, monkeypatch):
    dead, scraper = Process(tmp_path), Process(tmp_path)
    dead.count(3)
    dead.die()

    def crash(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", crash)
        with pytest.raises(KeyboardInterrupt):
            scraper.files.others()
    assert list((tmp_path / "metrics").glob("*.json"))
    for _ in range(2):
        assert told(Process(tmp_path)) == {("jobs_total", "a"): 3}


def test_what_a_power_cut_left_of_a_file_is_left_out(tmp_path, caplog):
    one, scraper = Process(tmp_path), Process(tmp_path)
    one.count(3)
    (path,) = (tmp_path / "metrics").glob("*.json")
    for damaged in (b"", b"[", b'[["jobs"]]', b"{}", b"\x00" * 40):
        path.write_bytes(damaged)
        assert told(scraper) == {}
    one.die()
    assert told(scraper) == {}
    (tmp_path / "metrics" / "ended").write_text(json.dumps({"included": 3}))
    assert told(scraper) == {}
    assert "damaged" in caplog.text


def test_a_full_disk_is_no_reason_to_fail(tmp_path, monkeypatch, caplog):
    files = MetricFiles(tmp_path, lasting)
    process = ProcessMetrics(files, "server")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        for _ in range(3):
            assert b"ci_processes" in process.publish()
    assert caplog.text.count("cannot leave the metrics") == 1
    assert not list((tmp_path / "metrics").glob("*.part"))
    process.publish()
    assert loads(next(iter(MetricFiles(tmp_path, lasting).others().live)))


def test_nothing_is_written_where_a_disk_is_not_mounted(tmp_path):
    def gone():
        raise DataDirectoryUnavailableError

    files = MetricFiles(tmp_path, lasting, gone)
    with pytest.raises(DataDirectoryUnavailableError):
        files.publish(b"[]")
    assert not list(tmp_path.iterdir())


@pytest.mark.anyio
async def test_one_scrape_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(metric_files, "_WAIT_SECONDS", 0.1)
    one, two = MetricFiles(tmp_path, lasting), MetricFiles(tmp_path, lasting)
    async with one.scraping():
        with pytest.raises(NotReadyError, match="another request is still reading"):
            async with two.scraping():
                pass
    async with two.scraping():
        pass


class SlowFiles(MetricFiles):
    """On a disk on which the first write takes as long as the test wants."""

    def __init__(self, data):
        super().__init__(data, lasting)
        self.reached, self.go_on = threading.Event(), threading.Event()

    def publish(self, content):
        if not self.reached.is_set():
            self.reached.set()
            assert self.go_on.wait(60)
        super().publish(content)


@pytest.mark.anyio
async def test_a_process_that_ends_while_it_publishes_is_counted_once(tmp_path):
    files = SlowFiles(tmp_path)
    metrics = ProcessMetrics(files, "server")
    Counter("jobs", "Jobs.", registry=metrics.registry).inc(3)
    sharing = asyncio.create_task(metrics.run())
    await until(files.reached.is_set, what="the first write")
    sharing.cancel()
    await asyncio.wait([sharing], timeout=0)
    files.go_on.set()
    await asyncio.wait([sharing])
    await asyncio.get_running_loop().shutdown_default_executor()  # whatever a thread still does
    metrics.publish()  # by a scrape that is answered at the end
    scraper = Process(tmp_path)
    scraper.files.publish(b"[]")
    assert told(scraper)[("jobs_total",)] == 3


def test_a_scrape_publishes_while_the_process_does(tmp_path, monkeypatch):
    """One after the other: both write the same file, and the newest counts are to stay."""
    metrics = ProcessMetrics(MetricFiles(tmp_path, lasting), "server")
    jobs = Counter("jobs", "Jobs.", registry=metrics.registry)
    scraper = Process(tmp_path)
    scraper.files.publish(b"[]")
    written = threading.Event()

    def scrape():
        jobs.inc()
        metrics.publish()
        written.set()

    second = threading.Thread(target=scrape)
    rename = Path.rename

    def slow_rename(path, target):
        if not second.ident:
            second.start()
            assert not written.wait(0.1), "both write at once"
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", slow_rename)
    metrics.publish()
    second.join()
    assert told(scraper)[("jobs_total",)] == 1
