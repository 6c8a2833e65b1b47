"""What a log holds back on disk for its end: whole after any restart, and fenced by epochs."""

import random

import pytest

from ci_common.ports.logs import HELD_BYTES
from ci_common.ports.workloads import OutputEnd
from ci_controller.output.log_cap import CappedLog, cut_off
from ci_persistence.logs.store import FileLogStore
from ci_persistence.signals.in_process import ProcessJobSignals

JOB = "11111111-0000-4000-8000-000000000000"
CAP = 40 << 20
HEAD = CAP - HELD_BYTES


@pytest.fixture
def store(tmp_path):
    return FileLogStore(tmp_path, ProcessJobSignals())


def held_files(tmp_path):
    return sorted(path.name for path in tmp_path.rglob("*.held"))


def content(size, seed=0):
    return random.Random(seed).randbytes(size)


def test_what_is_held_is_there_for_the_next_controller(store):
    first = store.open(JOB, 1)
    first.hold(100, b"abc")
    first.hold(103, b"def")
    first.sync()
    second = store.open(JOB, 2)
    assert second.held(1) == (100, b"abcdef")
    second.hold(106, b"ghi")
    assert store.open(JOB, 3).held(1) == (100, b"abcdefghi")
    assert store.open(JOB, 4).held(2) == (106, b"ghi"), "what was held before does not count"


def test_nothing_is_held_at_first(store):
    assert store.open(JOB, 1).held(0) == (0, b"")


@pytest.mark.parametrize("piece", [1 << 20, 3_000_001, HELD_BYTES, HELD_BYTES + 7])
def test_only_the_newest_bytes_stay_on_disk(store, tmp_path, piece):
    log, output = store.open(JOB, 1), content(40 << 20)
    for at in range(0, len(output), piece):
        log.hold(1000 + at, output[at : at + piece])
    start, held = store.open(JOB, 2).held(1)
    assert held == output[-HELD_BYTES:]
    assert start == 1000 + len(output) - HELD_BYTES
    stored = sum(path.stat().st_size for path in tmp_path.rglob("*.held"))
    assert stored <= 3 * HELD_BYTES + piece


def test_a_controller_without_the_lease_cannot_remove_what_its_successor_holds(store, tmp_path):
    old, new = store.open(JOB, 1), store.open(JOB, 2)
    old.hold(0, b"old")
    new.hold(3, b"new")
    new.sync()
    old.drop_held()
    assert new.held(2) == (3, b"new")
    for at in range(0, 5 * HELD_BYTES, HELD_BYTES):
        old.hold(100 + at, bytes(HELD_BYTES))  # and prunes
    assert "2-3.held" in held_files(tmp_path)
    new.drop_held()
    assert held_files(tmp_path) == []


def test_a_file_that_is_pruned_meanwhile_is_left_out(store, monkeypatch, tmp_path):
    log = store.open(JOB, 1)
    log.hold(0, b"one")
    found = log._held._files()
    monkeypatch.setattr(log._held, "_files", lambda: [*found, (2, 3, tmp_path / "2-3.held")])
    assert log.held(1) == (0, b"one")


@pytest.mark.parametrize("restarts", [0, 1, 5])
def test_a_capped_log_is_the_same_however_often_its_writer_is_replaced(store, restarts):
    output, at = content(70 << 20, restarts), 0
    dice = random.Random(restarts)
    stops = sorted(dice.randrange(HEAD, len(output)) for _ in range(restarts))
    for epoch, stop in enumerate([*stops, len(output)], start=1):
        log = store.open(JOB, epoch)
        capped = CappedLog(log, 0, CAP, since_epoch=1)
        assert capped.skip == at, "nothing is asked for again"
        while at < stop:
            piece = output[at : min(at + 300_000, stop)]
            capped.append(piece)
            at += len(piece)
        capped.sync()
    dropped = capped.finish(OutputEnd(len(output)))
    stored = store.read(JOB, 0, 1 << 30)
    assert stored[:HEAD] == output[:HEAD]
    marker, _, tail = stored[HEAD + 1 :].partition(b"\n")
    assert marker == b"[... %d bytes left out: the log is larger than its limit ...]" % dropped
    assert output.endswith(tail)
    assert HEAD + dropped + len(tail) == len(output)


def test_what_is_held_is_not_lost_with_the_workload(store):
    output = content(50 << 20)
    log = store.open(JOB, 1)
    log.append(b"setup")
    capped = CappedLog(log, 5, CAP, since_epoch=1)
    capped.append(output)
    log = store.open(JOB, 2)
    for _ in range(2):
        cut_off(log, 5 + HEAD, CAP, "it is gone")
    stored = store.read(JOB, 0, 1 << 30)
    head, _, ending = stored.rpartition(b"\n[... output may be missing here: ")
    assert ending == b"it is gone ...]\n"
    assert head.endswith(output[-100_000:])


def test_a_loss_is_told_once(store):
    log = store.open(JOB, 1)
    log.append(b"half a line")
    for _ in range(2):
        cut_off(log, len(b"half a line"), CAP, "it is gone")
    assert (
        store.read(JOB, 0, 100)
        == b"half a line\n[... output may be missing here: it is gone ...]\n"
    )
