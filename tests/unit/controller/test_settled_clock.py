"""A clock that is set ahead is not believed at once."""

from datetime import UTC, datetime, timedelta

import pytest

from ci_controller.housekeeping.settled_clock import SettledClock

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
HOUR, DAY = 3600.0, 86_400.0


class Time:
    """A wall clock and a monotonic one."""

    def __init__(self):
        self.set_by = self.passed = 0.0
        self.settled = SettledClock(
            lambda: NOON + timedelta(seconds=self.passed + self.set_by), lambda: self.passed
        )

    def seconds(self):
        return (self.settled() - NOON).total_seconds()


@pytest.fixture
def time():
    return Time()


def test_it_goes_with_the_wall_clock(time):
    for time.passed in (0.0, 5.0, HOUR, 100 * DAY):
        assert time.seconds() == time.passed


def test_small_corrections_are_believed_and_do_not_add_up(time):
    for _ in range(100):
        time.passed += HOUR
        time.set_by += 50.0
        assert time.seconds() == time.passed + time.set_by


def test_a_jump_ahead_is_believed_after_an_hour(time):
    time.set_by = 3 * DAY
    for time.passed in (0.0, 10.0, HOUR - 1):
        assert time.seconds() == time.passed
    time.passed = HOUR
    assert time.seconds() == HOUR + 3 * DAY
    time.passed += 1
    assert time.seconds() == time.passed + 3 * DAY


def test_a_jump_that_is_taken_back_leaves_nothing(time):
    time.set_by = 3 * DAY
    assert time.seconds() == 0
    time.set_by, time.passed = 0.0, 2 * HOUR
    assert time.seconds() == time.passed
    time.set_by = 3 * DAY
    assert time.seconds() == time.passed, "another one begins anew"


def test_a_second_jump_ahead_begins_anew(time):
    time.set_by = DAY
    assert time.seconds() == 0
    time.passed, time.set_by = HOUR - 1, 2 * DAY
    assert time.seconds() == time.passed
    time.passed = HOUR
    assert time.seconds() == time.passed
    time.passed = 2 * HOUR
    assert time.seconds() == time.passed + 2 * DAY


def test_a_jump_back_is_believed_at_once(time):
    time.passed, time.set_by = 10.0, -3 * DAY
    assert time.seconds() == 10.0 - 3 * DAY


def test_a_jump_is_told_once(time, caplog):
    time.set_by = DAY
    for time.passed in (1.0, 2.0, 3.0):
        time.seconds()
    assert len(caplog.records) == 1
    assert "86400 s" in caplog.text
