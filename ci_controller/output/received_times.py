"""When the bytes were received that are held back from a log."""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from itertools import pairwise

from ci_common.ports.logs import MARK_SECONDS


class ReceivedTimes:
    """Times of the places of an output, as exact as the log's own marks tell them."""

    def __init__(self) -> None:
        self._times: deque[tuple[int, float]] = deque()

    def note(self, place: int, received_at: float) -> None:
        """What is from this place on was received then."""
        if not self._times or not 0 <= received_at - self._times[-1][1] < MARK_SECONDS:
            self._times.append((place, received_at))

    def forget_before(self, place: int) -> None:
        """Nobody asks any more about what is before this place."""
        while len(self._times) > 1 and self._times[1][0] <= place:
            self._times.popleft()

    def pieces(self, start: int, end: int) -> Iterator[tuple[int, int, float | None]]:
        """What is between two places, cut where the time changes: begin, end, and time of each.
        Something must have been noted of it.
        """
        if start >= end:
            return
        times = list(self._times)
        first = max(bisect_right(times, start, key=lambda one: one[0]) - 1, 0)
        changes: list[tuple[int, float | None]] = [
            (max(place, start), received_at) for place, received_at in times[first:] if place < end
        ]
        for (place, received_at), (following, _) in pairwise([*changes, (end, None)]):
            yield place, following, received_at
