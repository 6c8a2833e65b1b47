"""Sends messages as webhooks: signed requests to addresses that were checked."""

import asyncio
import json
import logging
import ssl
from collections.abc import Callable
from datetime import datetime

import httpx
from typing_extensions import override

from ci_common.addresses import Address
from ci_common.deliveries import OF_JOBS, Attempt, Message
from ci_common.errors import SecretKeyError
from ci_common.notify_targets import NotifyPolicy, webhook_target
from ci_common.ports.delivery import DeliveryQueue
from ci_common.webhook_addresses import NotReachableError
from ci_common.webhook_signing import signed_headers
from ci_controller.delivery.reachable import NameNotFoundError, Reachable
from ci_controller.delivery.sender import Sender

_SECONDS = 15.0
"""For everything: to resolve, connect, send, and read the answer."""
_CONNECT_SECONDS = 5.0
_MOST_BYTES = 4096
"""Of an answer; the rest is not read."""
_SHOWN_CHARACTERS = 200
_GONE = 410

_DEFAULT_PORTS = {"https": 443, "http": 80}


class WebhookSender(Sender):
    """One request for each attempt, on a connection of its own. Redirects are not followed."""

    def __init__(
        self,
        queue: DeliveryQueue,
        reachable: Reachable,
        policy: NotifyPolicy,
        now: Callable[[], datetime],
        certificates: ssl.SSLContext | None = None,
    ) -> None:
        self._queue = queue
        self._reachable = reachable
        self._policy = policy
        self._now = now
        self._certificates = certificates
        for library in ("httpx", "httpcore"):  # they log URLs, which may be secrets
            logging.getLogger(library).setLevel(logging.WARNING)

    @override
    async def send(self, message: Message) -> Attempt:
        try:
            async with asyncio.timeout(_SECONDS):
                return await self._send(message)
        except TimeoutError:
            return Attempt(False, error=f"no complete answer within {_SECONDS:g} s")
        except NotReachableError as error:
            return Attempt(False, error=str(error), final=True)
        except (NameNotFoundError, SecretKeyError) as error:
            return Attempt(False, error=str(error))
        except httpx.HTTPError as error:
            return Attempt(False, error=f"the connection failed: {_told(error)}")

    async def _send(self, message: Message) -> Attempt:
        target = webhook_target(message.address)
        of_job = message.owner == OF_JOBS
        if of_job and (refusal := self._policy.refusal(target)):
            raise NotReachableError(refusal)
        url = httpx.URL(message.address)
        port = url.port or _DEFAULT_PORTS[url.scheme]
        addresses = await self._reachable.addresses(
            target.host,
            port,
            encrypted=url.scheme == "https",
            only_public=of_job and not self._policy.names(target),
        )
        body = json.dumps(message.payload).encode()
        keys = await self._queue.signing_keys(message, self._now())
        headers = {
            "content-type": "application/json",
            "user-agent": "ci-runner-webhooks",
            "accept-encoding": "identity",
            "host": url.netloc.decode("ascii"),
            **signed_headers(message.message_id, self._now(), body, keys),
        }
        return await self._post(url, target.host, addresses, headers, body, message.owner)

    async def _post(
        self,
        url: httpx.URL,
        host: str,
        addresses: list[Address],
        headers: dict[str, str],
        body: bytes,
        owner: str,
    ) -> Attempt:
        """To the first address that takes the connection."""
        if self._certificates is None:  # on a thread: it reads hundreds of them
            self._certificates = await asyncio.to_thread(httpx.create_ssl_context)
        for address in addresses:
            try:
                # The pool would share connections by address, whatever name was verified.
                async with (
                    httpx.AsyncClient(
                        verify=self._certificates,
                        trust_env=False,
                        timeout=httpx.Timeout(_SECONDS, connect=_CONNECT_SECONDS),
                        limits=httpx.Limits(max_keepalive_connections=0),
                    ) as client,
                    client.stream(
                        "POST",
                        url.copy_with(host=str(address)),
                        headers=headers,
                        content=body,
                        extensions={"sni_hostname": host},
                    ) as response,
                ):
                    return await _judged(response, owner)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                if address == addresses[-1]:
                    raise
        raise AssertionError("there is an address")


async def _judged(response: httpx.Response, owner: str) -> Attempt:
    status = response.status_code
    if response.is_success:
        return Attempt(True, status)
    if response.is_redirect:
        return Attempt(
            False, status, f"answered {status}: redirects are not followed; use the target's URL"
        )
    told = f"answered {status}{await _excerpt(response)}"
    if status == _GONE:
        return Attempt(False, status, f"{told} (Gone)", final=True, disable=owner != OF_JOBS)
    return Attempt(False, status, told)


async def _excerpt(response: httpx.Response) -> str:
    """The beginning of an answer, for people."""
    content = b""
    async for piece in response.aiter_raw(_MOST_BYTES):
        content += piece
        if len(content) >= _MOST_BYTES:
            break
    words = " ".join(content[:_MOST_BYTES].decode(errors="replace").split())
    text = "".join(one if one.isprintable() else "\ufffd" for one in words)[:_SHOWN_CHARACTERS]
    return f": {text}" if text else ""


def _told(error: httpx.HTTPError) -> str:
    return str(error) or type(error).__name__
