"""What one user, and one address, may ask of this process at once and per second."""

import math
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from ci_common.errors import (
    LimitReachedError,
    RateLimitedError,
    TooManyStreamsError,
    TooManyUploadsError,
)
from ci_common.principal import LOCAL_PRINCIPAL, Principal
from ci_server.access.limits.address import is_this_machine, limited_as
from ci_server.access.limits.buckets import TokenBuckets
from ci_server.access.limits.slots import Slots

SLOT_RETRY_SECONDS = 5.0
"""Nobody knows when a stream or an upload of others ends; so long is polite."""

GiveBack = Callable[[], None]


@dataclass(frozen=True, slots=True)
class TrafficLimits:
    """0 means no limit."""

    requests_per_second_per_user: float = 0
    requests_per_second_per_address: float = 0
    burst_seconds: float = 10
    streams_per_user: int = 0
    streams_per_address: int = 0
    uploads_per_user: int = 0
    uploads_per_address: int = 0
    limit_local: bool = False
    """Whether loopback addresses and the single local user are limited, too."""


class Traffic:
    """Counts in this process: of several workers each has its own counts.

    A loopback address stands for everybody behind a proxy, or for this machine's own programs,
    so it is not limited; neither is the single user of a server without identities.
    """

    def __init__(self, limits: TrafficLimits, clock: Callable[[], float] = time.monotonic) -> None:
        burst = limits.burst_seconds
        self._limit_local = limits.limit_local
        self._requests_of_user = _buckets(limits.requests_per_second_per_user, burst, clock)
        self._requests_of_address = _buckets(limits.requests_per_second_per_address, burst, clock)
        self._streams = _Pair(
            Slots(limits.streams_per_user), Slots(limits.streams_per_address), "STREAMS"
        )
        self._uploads = _Pair(
            Slots(limits.uploads_per_user), Slots(limits.uploads_per_address), "UPLOADS"
        )

    def check_address(self, address: str | None) -> None:
        """Count a request from an address. Raises RateLimitedError."""
        buckets = self._requests_of_address
        if buckets is None or (key := self._address(address)) is None:
            return
        if wait := buckets.take(key):
            raise _too_fast("your address", "CI_REQUESTS_PER_SECOND_PER_ADDRESS", buckets, wait)

    def check_user(self, principal: Principal) -> None:
        """Count a request of a user. Raises RateLimitedError."""
        buckets = self._requests_of_user
        if buckets is None or (key := self._user(principal)) is None:
            return
        if wait := buckets.take(key):
            raise _too_fast("you", "CI_REQUESTS_PER_SECOND_PER_USER", buckets, wait)

    def begin_stream(self, principal: Principal | None, address: str | None) -> GiveBack:
        """Count a stream until what is returned is called, once; `None` is nobody that is known.
        Raises TooManyStreamsError.
        """
        return self._streams.begin(
            self._user(principal), self._address(address), TooManyStreamsError
        )

    def begin_upload(self, principal: Principal, address: str | None) -> GiveBack:
        """Count an upload until what is returned is called, once. Raises TooManyUploadsError."""
        return self._uploads.begin(
            self._user(principal), self._address(address), TooManyUploadsError
        )

    @property
    def streams(self) -> int:
        """Streams and downloads in progress."""
        return self._streams.taken

    @property
    def uploads(self) -> int:
        """Uploads in progress."""
        return self._uploads.taken

    def _user(self, principal: Principal | None) -> Hashable | None:
        if principal is None:
            return None
        if principal == LOCAL_PRINCIPAL and not self._limit_local:
            return None
        return (principal.tenant, principal.user)

    def _address(self, address: str | None) -> str | None:
        if is_this_machine(address) and not self._limit_local:
            return None
        return limited_as(address or "")


class _Pair:
    """Slots of users and of addresses for the same thing."""

    def __init__(self, of_user: Slots, of_address: Slots, what: str) -> None:
        self._of_user = of_user
        self._of_address = of_address
        self._what = what
        self.taken = 0
        """By whomever, those who are not limited included."""

    def begin(
        self, user: Hashable | None, address: str | None, error: type[LimitReachedError]
    ) -> GiveBack:
        wanted = (
            (self._of_user, user, "you have", "USER"),
            (self._of_address, address, "your address has", "ADDRESS"),
        )
        for slots, key, who_has, scope in wanted:
            if key is not None and not slots.has_room(key):
                raise error(self._refusal(slots, who_has, scope), SLOT_RETRY_SECONDS)
        taken = [slots.take(key) for slots, key, *_ in wanted if key is not None]
        self.taken += 1

        def give_back() -> None:
            self.taken -= 1
            for one in taken:
                one()

        return give_back

    def _refusal(self, slots: Slots, who_has: str, scope: str) -> str:
        things = "uploads" if self._what == "UPLOADS" else "streams and downloads"
        return (
            f"{who_has} {slots.most} {things} in progress, which is the limit "
            f"(CI_MAX_{self._what}_PER_{scope}); wait for one to finish"
        )


def _buckets(
    per_second: float, burst_seconds: float, clock: Callable[[], float]
) -> TokenBuckets | None:
    return TokenBuckets(per_second, per_second * burst_seconds, clock) if per_second else None


def _too_fast(who: str, setting: str, buckets: TokenBuckets, wait: float) -> RateLimitedError:
    return RateLimitedError(
        f"too many requests from {who}: {buckets.per_second:g} a second are allowed ({setting}); "
        f"try again in {math.ceil(wait)} s",
        wait,
    )
