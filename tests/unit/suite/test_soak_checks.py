"""What a soak compares with: its plans, and its own idea of masking, of the cap, and of events."""

import pytest

from support.soak import Level, Options, Report, check_levels, rounds
from support.soak_jobs import SoakJob, check_capped, masked
from support.soak_readers import EventParser
from support.soak_shapes import SHAPES, plan


@pytest.mark.parametrize("shape", SHAPES)
def test_a_plan_is_a_function_of_its_seed(shape):
    assert plan(shape, "1.2") == plan(shape, "1.2")


def test_each_round_has_every_shape():
    first, second = rounds(Options(jobs=len(SHAPES) + 3))
    assert {job.shape for job in first} == set(SHAPES)
    assert [job.number for job in first + second] == list(range(len(SHAPES) + 3))


def test_masking():
    secret = b"first line\nsecond one"
    content = b"<first line>\nsecond one second on 66697273"
    assert masked(content, [secret]) == b"<**********>\n********** second on 66697273"
    assert masked(b"x" + secret + b"x", [secret]) == b"x**********\n**********x"


def test_the_cap():
    output = b"".join(b"%07d\n" % number for number in range(1 << 18))
    head, tail = 3 << 18, 1 << 18
    dropped = len(output) - head - tail + 8
    log = output[:head] + b"\n[... %d bytes are not here]\n" % dropped + output[8 - tail :]
    assert check_capped(log, output, 1 << 20) == dropped
    with pytest.raises(AssertionError, match="differs"):
        check_capped(log[:-1], output, 1 << 20)
    with pytest.raises(AssertionError, match="no line says"):
        check_capped(output, output, 1 << 20)


def test_events_come_in_any_pieces():
    stream = b': hello\nretry: 1\n\nid: 3\ndata: {"type":"log","data":"a\\r\\n"}\n\ndata: {}\n\n'
    parser = EventParser()
    found = [event for byte in stream for event in parser.feed(bytes([byte]))]
    assert found == [(b"3", {"type": "log", "data": "a\r\n"}), (None, {})]


def test_a_job_that_ended_otherwise_is_found_out():
    job = SoakJob(0, "silent", "1")
    row = {"status": "completed", "success": job.plan.code == 0, "exit_code": job.plan.code}
    row |= {"reason": "exit", "log_size": 0, "log_dropped": 0, "attempt": 1, "secrets": []}
    job.check(row, b"")
    for change in ({"exit_code": job.plan.code + 1}, {"reason": "lost"}, {"attempt": 2}):
        with pytest.raises(AssertionError, match="the row says"):
            job.check({**row, **change, "message": ""}, b"")


def test_a_server_that_grows_is_found_out():
    levels = [Level(100, 24, 9), Level(110, 25, 9), Level(190, 25, 9)]
    with pytest.raises(AssertionError, match="memory grew"):
        check_levels(Report(levels=levels))
    check_levels(Report(levels=levels), restarted=True)
    with pytest.raises(AssertionError, match="descriptors"):
        check_levels(Report(levels=[*levels, Level(100, 40, 9)]))
