"""Getting an issuer's key set over HTTP, within bounds of time and size."""

import asyncio
from urllib.parse import urlsplit

import httpx

from ci_common.addresses import is_loopback

MOST_BYTES = 256 << 10
_DEADLINE_SECONDS = 5.0

_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity"}


class KeySetUnavailableError(Exception):
    """The key set could not be had; the message is for the server's log."""


class KeySetFetcher:
    """Fetches one URL. Redirects are not followed: the operator named the place of the keys."""

    def __init__(self, url: str, deadline_seconds: float = _DEADLINE_SECONDS) -> None:
        self.url = url
        self._deadline = deadline_seconds
        self._client: httpx.AsyncClient | None = None

    async def fetch(self) -> bytes:
        """The body of the answer. Raises KeySetUnavailableError."""
        try:
            async with asyncio.timeout(self._deadline):
                return await self._fetch()
        except TimeoutError:
            raise KeySetUnavailableError(f"no answer within {self._deadline:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise KeySetUnavailableError(f"{type(error).__name__}: {error}") from error

    async def _fetch(self) -> bytes:
        if self._client is None:
            # Reads the certificates of all authorities: not on the event loop.
            self._client = await asyncio.to_thread(new_client, self.url, self._deadline)
        async with self._client.stream("GET", self.url, headers=_HEADERS) as answer:
            if answer.status_code != httpx.codes.OK:
                raise KeySetUnavailableError(f"the answer has the status {answer.status_code}")
            if answer.headers.get("content-encoding", "identity") != "identity":
                raise KeySetUnavailableError("the answer is compressed, which was not asked for")
            return await bounded_body(answer)

    async def close(self) -> None:
        """Let go of connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None


def new_client(url: str, deadline_seconds: float) -> httpx.AsyncClient:
    """For requests to this URL."""
    # A proxy of the environment is for other machines.
    trust_env = not is_loopback(urlsplit(url).hostname or "")
    return httpx.AsyncClient(timeout=deadline_seconds, follow_redirects=False, trust_env=trust_env)


async def bounded_body(answer: httpx.Response) -> bytes:
    """All of it, as it was sent. Raises KeySetUnavailableError when it is too large."""
    body = bytearray()
    async for piece in answer.aiter_raw():
        body += piece
        if len(body) > MOST_BYTES:
            raise KeySetUnavailableError(f"the answer is larger than {MOST_BYTES >> 10} KiB")
    return bytes(body)
