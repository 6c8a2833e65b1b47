"""The time, for whom it would cost too much to believe a clock that was set by mistake."""

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta

logger = logging.getLogger(__name__)

_SLACK_SECONDS = 60.0
"""Corrections up to so much are believed at once."""

_SETTLE_SECONDS = 3600.0


class SettledClock:
    """The wall clock, but when that jumps ahead, the time goes on as before until the clock has
    stood by what it says for an hour. A jump back is believed at once: it makes nothing old.

    What elapsed is measured by `clock`, the monotonic one. At the start of the process the wall
    clock is believed: there is nothing to compare it with.
    """

    def __init__(
        self, wall: Callable[[], datetime], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._wall = wall
        self._clock = clock
        self._anchor = (wall(), clock())
        self._ahead: tuple[float, float] | None = None
        """By how many seconds the wall clock is ahead, and since when."""

    def __call__(self) -> datetime:
        """The time. To be asked now and then, so that small corrections do not add up."""
        wall, at = self._wall(), self._clock()
        expected = self._anchor[0] + timedelta(seconds=at - self._anchor[1])
        ahead = (wall - expected).total_seconds()
        if ahead > _SLACK_SECONDS and not self._has_settled(ahead, at):
            return expected
        self._anchor, self._ahead = (wall, at), None
        return wall

    def _has_settled(self, ahead: float, at: float) -> bool:
        if self._ahead is None or abs(ahead - self._ahead[0]) > _SLACK_SECONDS:
            logger.warning(
                "the clock was set ahead by %.0f s (or the machine slept); retention ignores the "
                "new time until it has stayed so for %.0f s",
                ahead,
                _SETTLE_SECONDS,
            )
            self._ahead = (ahead, at)
        return at - self._ahead[1] >= _SETTLE_SECONDS
