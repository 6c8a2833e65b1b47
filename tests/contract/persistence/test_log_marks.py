"""The marks beside a log (port LogMarks): lines exactly, times where they are known, whatever
becomes of the files that they are in.
"""

import errno
import logging
import os
from contextlib import ExitStack
from itertools import zip_longest
from unittest import mock

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ci_common.ports.logs import MARK_BYTES, MARK_SECONDS
from ci_common.ports.workloads import OutputEnd
from ci_controller.output.log_cap import CappedLog
from ci_persistence.logs import mark_index, mark_writer
from ci_persistence.logs.store import FileLogStore
from ci_persistence.signals.in_process import ProcessJobSignals

JOB = "4be0643f-1d98-473b-97cd-ca98a65347dd"
START = 1_790_000_000.0


class Clock:
    def __init__(self):
        self.time = START

    def __call__(self):
        return self.time


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(tmp_path, clock):
    return FileLogStore(tmp_path, ProcessJobSignals(), now=clock)


def mark_files(tmp_path):
    return sorted(tmp_path.rglob("*.marks"))


def check(store, content, distance=MARK_BYTES):
    """What holds of all marks, from every offset on."""
    marks = store.marks(JOB)
    assert [mark.offset for mark in marks][:1] == ([0] if content else [])
    for mark, following in zip_longest(marks, marks[1:]):
        end = len(content) if following is None else following.offset
        assert 0 < end - mark.offset <= distance
        assert mark.lines == content[: mark.offset].count(b"\n")
    for offset in range(0, len(content) + 5, max(len(content) // 10, 1)):
        last = [mark.offset for mark in marks if mark.offset <= offset][-1:]
        assert store.marks(JOB, offset) == [m for m in marks if m.offset >= (last or [0])[0]]
    return marks


def test_a_log_that_is_not_there_or_empty_has_no_marks(store):
    assert store.marks(JOB) == store.marks(JOB, 7) == []
    store.open(JOB, 1).close()
    assert store.marks(JOB) == []


def test_a_mark_tells_when_what_follows_was_received(store, clock):
    log = store.open(JOB, 1)
    written = b""
    for seconds, line in (
        (0, b"a\n"),
        (0.75, b"bb\n"),
        (0.5, b"c\n"),
        (3600, b"late"),
        (0.5, b"\n"),
    ):
        clock.time += seconds
        log.append(line)
        written += line
    expected = [(0, 0, START), (5, 2, START + 1.25), (7, 3, START + 3601.25)]
    assert check(store, written) == expected
    store.compress(JOB, len(written))
    assert check(store, written) == expected


def test_a_large_piece_has_a_mark_for_each_64_kib(store, clock):
    content = b"x\n" * 500_000
    store.open(JOB, 1).append(content)
    assert len(check(store, content)) == -(-len(content) // MARK_BYTES)
    assert {mark.received_at for mark in store.marks(JOB)} == {START}


def test_readers_see_a_mark_no_later_than_its_bytes(store, clock):
    log, seen, real = store.open(JOB, 1), [], os.write

    def write(descriptor, content):
        seen.append(os.readlink(f"/proc/self/fd/{descriptor}").rpartition(".")[2])
        return real(descriptor, content)

    with mock.patch.object(os, "write", write):
        log.append(b"a")
        log.append(b"b")
    assert seen == ["marks", "marks", "log", "log"]


def test_what_a_former_controller_marks_late_does_not_count(store, clock):
    old = store.open(JOB, 4)
    old.append(b"one\n")
    new = store.open(JOB, 5)
    clock.time += 10
    old.append(b"LATE\n" * 9)
    clock.time += 10
    new.append(b"two\nthree\n")
    old.append(b"LATER\n" * 9)
    content = b"one\ntwo\nthree\n"
    assert check(store, content) == [(0, 0, START), (4, 1, START + 20)]
    store.compress(JOB, len(content))
    assert check(store, content) == [(0, 0, START), (4, 1, START + 20)]


def test_a_log_of_an_older_version_has_marks_without_times(store, tmp_path):
    content = b"of the first version\n" * 10_000
    single = tmp_path / "logs" / JOB[:2] / f"{JOB}.log"
    single.parent.mkdir()
    single.write_bytes(content)
    assert {mark.received_at for mark in check(store, content)} == {None}
    store.open(JOB, 1).append(b"new\n")
    marks = check(store, content + b"new\n")
    assert marks[-1] == (len(content), 10_000, START)
    assert {mark.received_at for mark in marks[:-1]} == {None}


def test_an_archive_without_marks_is_read_once(store, tmp_path):
    content = b"line\n" * 100_000
    store.open(JOB, 1).append(content)
    store.compress(JOB, len(content))
    for path in mark_files(tmp_path):
        path.unlink()
    assert {mark.received_at for mark in check(store, content)} == {None}
    with mock.patch.object(store._archives, "read", side_effect=AssertionError):
        assert store.marks(JOB, 300_000)[0].offset <= 300_000


@pytest.mark.parametrize(
    "damage", [b"", b"\0" * 400, b"CIMARK99" + b"\0" * 392, b"CIMARKZ1" + b"\0" * 392]
)
@pytest.mark.parametrize("compressed", [False, True])
def test_damaged_marks_are_ignored(store, tmp_path, damage, compressed):
    content = b"line\n" * 50_000
    store.open(JOB, 1).append(content)
    if compressed:
        store.compress(JOB, len(content))
    (path,) = mark_files(tmp_path)
    path.write_bytes(damage)
    assert {mark.received_at for mark in check(store, content)} == {None}


def test_a_disk_that_takes_no_marks_takes_the_log(store, tmp_path, caplog):
    log, real = store.open(JOB, 1), os.write

    def write(descriptor, content):
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith(".marks"):
            raise OSError(errno.ENOSPC, "no space")
        return real(descriptor, content)

    with mock.patch.object(os, "write", write), caplog.at_level(logging.WARNING):
        log.append(b"one\n")
        log.append(b"two\n")
    log.append(b"three\n")
    assert len(caplog.records) == 1
    assert check(store, b"one\ntwo\nthree\n") == [(0, 0, None)]


def test_the_tail_of_a_log_beyond_its_limit_has_the_times_of_its_receipt(store, clock):
    log = store.open(JOB, 1)
    capped = CappedLog(log, 0, 1 << 20, now=clock)
    for number in range(200):
        capped.append(b"%05d\n" % number * 2000)
        clock.time += 10
    clock.time += 1000
    capped.finish(OutputEnd(200 * 2000 * 6))
    content = store.read(JOB, 0, 1 << 30)
    tail_start = content.index(b"bytes left out")
    in_tail = [mark for mark in check(store, content) if mark.offset > tail_start + 100]
    assert len(in_tail) > 20
    for mark in in_tail:
        end = content.index(b"\n", mark.offset)
        assert mark.received_at == START + 10 * int(content[end - 5 : end])


# ------------------------------------------------------------------- whatever happens


pieces = st.lists(st.sampled_from([b"\n", b"a", b"bcd\n", b"\r\n", b"0123456789"])).map(b"".join)
steps = st.one_of(
    st.tuples(st.just("append"), pieces, st.sampled_from([0, 0.3, 1.0, 7.5])),
    st.tuples(st.just("fail"), pieces, st.integers(0, 20)),
    st.tuples(st.just("reopen")),
    st.tuples(st.just("kill")),
    st.tuples(st.just("successor"), pieces),
    st.tuples(st.just("tear"), st.integers(0, 60)),
    st.tuples(st.just("flip"), st.integers(0, 10_000)),
    st.tuples(st.just("truncate"), st.integers(0, 30)),
)


class Writers:
    """Whatever may happen to a log and to its marks, and what the log is then."""

    def __init__(self, store, clock, path):
        self.store, self.clock, self.path = store, clock, path
        self.epoch, self.content, self.times = 1, b"", []
        self.damaged = False
        self.log = store.open(JOB, 1)

    def append(self, content, seconds):
        self.clock.time += seconds
        self.log.append(content)
        self._added(content)

    def fail(self, content, room):
        """The disk takes a part of it."""
        real = os.write

        def write(descriptor, piece):
            if os.readlink(f"/proc/self/fd/{descriptor}").endswith(".marks"):
                return real(descriptor, piece)
            if not room:
                raise OSError(errno.ENOSPC, "no space")
            return real(descriptor, piece[:room])

        with mock.patch.object(os, "write", write):
            try:
                self.log.append(content)
            except OSError:
                content = content[: self.log.size - len(self.content)]
        self._added(content)

    def reopen(self):
        self.log.close()
        self.log = self.store.open(JOB, self.epoch)

    def kill(self):
        """Without an end; the next controller goes on."""
        self.epoch += 1
        self.log = self.store.open(JOB, self.epoch)

    def successor(self, late):
        old = self.log
        self.kill()
        self.clock.time += 2
        old.append(late)

    def tear(self, size):
        self.damaged = True
        self.log.close()
        for path in mark_files(self.path):
            os.truncate(path, max(path.stat().st_size - size, 0))
        self.log = self.store.open(JOB, self.epoch)

    def flip(self, place):
        self.damaged = True
        self.log.close()
        for path in mark_files(self.path):
            content = bytearray(path.read_bytes())
            if content:
                content[place % len(content)] ^= 0x41
            path.write_bytes(content)
        self.log = self.store.open(JOB, self.epoch)

    def truncate(self, back):
        size = max(len(self.content) - back, 0)
        self.log.truncate(size)
        self.content, self.times = self.content[:size], self.times[:size]

    def _added(self, content):
        self.content += content
        self.times += [self.clock.time] * len(content)

    def check(self):
        assert self.store.read(JOB, 0, 1 << 20) == self.content
        marks = check(self.store, self.content, 16)
        if self.damaged:
            return
        for at, time in enumerate(self.times):
            mark = [one for one in marks if one.offset <= at][-1]
            assert mark.received_at <= time + 0.001
            assert time < mark.received_at + MARK_SECONDS + 0.001


@settings(max_examples=60, deadline=None)
@given(st.lists(steps, max_size=20))
@example([("append", b"\n" * 17, 0), ("tear", 1), ("append", b"\n", 0)])
def test_lines_are_exact_and_times_within_a_second(tmp_path_factory, taken):
    path, clock = tmp_path_factory.mktemp("data"), Clock()
    with ExitStack() as stack:
        for module in (mark_writer, mark_index):
            stack.enter_context(mock.patch.object(module, "MARK_BYTES", 16))
        store = FileLogStore(path, ProcessJobSignals(), now=clock)
        writers = Writers(store, clock, path)
        for name, *arguments in taken:
            getattr(writers, name)(*arguments)
        writers.check()
        store.compress(JOB, len(writers.content))
        writers.check()
