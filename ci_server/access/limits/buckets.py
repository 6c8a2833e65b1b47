"""Token buckets: an average rate per second, and a burst after a pause."""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

_MOST_CALLERS = 100_000
_LOOKED_AT = 2


class TokenBuckets:
    """A bucket for each caller. Those of callers who rested until theirs was full are forgotten;
    and never are there more than `most_callers`, so that those who did not call for longest
    begin anew.
    """

    def __init__(
        self,
        per_second: float,
        burst: float,
        clock: Callable[[], float] = time.monotonic,
        most_callers: int = _MOST_CALLERS,
    ) -> None:
        """`per_second` tokens come into a bucket, which holds `burst` (at least one)."""
        self.per_second = per_second
        self._burst = max(burst, 1.0)
        self._clock = clock
        self._most_callers = most_callers
        self._full_at: OrderedDict[Hashable, float] = OrderedDict()
        """When each bucket that is not full will be (the generic cell rate algorithm), in
        the order in which they were last used.
        """

    def __len__(self) -> int:
        return len(self._full_at)

    def wait(self, caller: Hashable) -> float:
        """Seconds until the caller's bucket has a token; 0 when it has one. Takes none."""
        full_at = self._full_at.get(caller)
        if full_at is None:
            return 0.0
        return max(0.0, full_at - self._clock() - (self._burst - 1) / self.per_second)

    def take(self, caller: Hashable) -> float:
        """Take a token: 0, or, when there is none, the seconds until there will be one."""
        wait = self.wait(caller)
        if wait > 0:
            return wait
        now = self._clock()
        full_at = max(now, self._full_at.get(caller, now)) + 1 / self.per_second
        self._full_at[caller] = full_at
        self._full_at.move_to_end(caller)
        self._forget(now)
        return 0.0

    def _forget(self, now: float) -> None:
        # More than one a call goes, as long as there is one to go: what rests does not pile up.
        for _ in range(_LOOKED_AT):
            oldest = next(iter(self._full_at))
            if self._full_at[oldest] > now and len(self._full_at) <= self._most_callers:
                return
            del self._full_at[oldest]
            if not self._full_at:
                return
