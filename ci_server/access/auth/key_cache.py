"""Cache of the issuer's public keys."""

import asyncio
import logging
import time
from collections.abc import Callable

from ci_common.errors import NotReadyError
from ci_server.access.auth.jwt_keys import VerificationKey, parse_key_set
from ci_server.access.auth.key_fetch import KeySetFetcher, KeySetUnavailableError

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 10.0
"""Between two fetches, whatever strangers send."""

REFRESH_SECONDS = 600.0
"""Keys of this age are fetched anew, so that a withdrawn one is not honoured for long."""

STALE_SECONDS = 7 * 86_400.0
"""For so long keys are honoured while they cannot be fetched anew."""


class KeyCache:
    """Keys of one issuer. Requests wait for a fetch only when they cannot do without it."""

    def __init__(
        self, fetcher: KeySetFetcher, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._fetcher = fetcher
        self._monotonic = monotonic
        self._keys: tuple[VerificationKey, ...] = ()
        self._fetched_at = float("-inf")
        self._asked_at = float("-inf")
        self.is_failing = False
        """Whether the last fetch brought nothing."""
        self._flight: asyncio.Task[None] | None = None

    async def keys(self) -> tuple[VerificationKey, ...]:
        """All keys. Raises NotReadyError when there are none, or none young enough."""
        age = self._age()
        if age > STALE_SECONDS:
            await self.refresh()
        elif age > REFRESH_SECONDS:
            self._start()  # whoever asks now is served from what is here
        if self._age() > STALE_SECONDS:
            raise self.not_ready()
        return self._keys

    def not_ready(self) -> NotReadyError:
        """To raise for a token that cannot be checked; it tells when the keys are fetched again."""
        return NotReadyError(
            "tokens cannot be verified now: the server cannot fetch the keys of their issuer; "
            "try again in a minute, or tell an administrator",
            max(1.0, self._asked_at + PAUSE_SECONDS - self._monotonic()),
        )

    async def refresh(self) -> bool:
        """Fetch now, unless that was done a moment ago; whether it was done."""
        flight = self._start()
        if flight is None:
            return False
        await asyncio.shield(flight)
        return True

    def _age(self) -> float:
        return self._monotonic() - self._fetched_at

    def _start(self) -> "asyncio.Task[None] | None":
        """The one fetch under way, or a new one; `None` when it is too soon for another."""
        if self._flight is None and self._monotonic() - self._asked_at >= PAUSE_SECONDS:
            self._asked_at = self._monotonic()
            self._flight = asyncio.create_task(self._fetch(), name="issuer-keys")
            self._flight.add_done_callback(self._landed)
        return self._flight

    def _landed(self, flight: "asyncio.Task[None]") -> None:
        self._flight = None
        if not flight.cancelled() and (error := flight.exception()) is not None:
            logger.error("bug while fetching the keys of %s", self._fetcher.url, exc_info=error)

    async def _fetch(self) -> None:
        try:
            keys, ignored = parse_key_set(await self._fetcher.fetch())
            if not keys:
                raise ValueError("it has no usable key")
        except (KeySetUnavailableError, ValueError) as error:
            then = "the cached keys stay in use" if self._keys else "no token can be verified"
            self.is_failing = True
            logger.warning("no keys from %s (%s): %s", self._fetcher.url, error, then)
            return
        for reason in ignored:
            logger.info("keys of %s: ignored %s", self._fetcher.url, reason)
        self._keys, self._fetched_at, self.is_failing = keys, self._monotonic(), False
        logger.info("keys of %s: %d in use", self._fetcher.url, len(keys))

    async def close(self) -> None:
        """End the fetch under way, and let go of connections."""
        if self._flight is not None:
            self._flight.cancel()
            await asyncio.wait([self._flight])
        await self._fetcher.close()
