"""Exchanging a code for tokens, within bounds of time and size."""

import asyncio
import base64
import logging
from urllib.parse import quote_plus

import httpx

from ci_common.errors import InvalidCredentialsError
from ci_common.strict_json import AmbiguousJsonError, strict_object
from ci_server.access.auth.key_fetch import KeySetUnavailableError, bounded_body, new_client
from ci_server.access.oidc.issuer import IssuerFacts, unavailable

logger = logging.getLogger(__name__)

_DEADLINE_SECONDS = 10.0
_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity"}


class TokenEndpoint:
    """The issuer's, asked as one client."""

    def __init__(self, client_id: str, client_secret: str | None) -> None:
        self._client_id = client_id
        self._client_secret = client_secret

    async def id_token(self, facts: IssuerFacts, code: str, verifier: str, redirect: str) -> str:
        """The ID token that the code stands for. Raises InvalidCredentialsError when the issuer
        refuses the code, NotReadyError when it cannot be asked.
        """
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect,
            "code_verifier": verifier,
            "client_id": self._client_id,
        }
        headers = dict(_HEADERS)
        if self._client_secret is not None and facts.takes_basic:
            headers["Authorization"] = self._basic(self._client_secret)
        elif self._client_secret is not None:
            form["client_secret"] = self._client_secret
        try:
            async with asyncio.timeout(_DEADLINE_SECONDS):
                status, content = await _post(facts.token_endpoint, form, headers)
            answer = strict_object(content)
        except (
            TimeoutError,
            httpx.HTTPError,
            httpx.InvalidURL,
            OSError,
            KeySetUnavailableError,
            AmbiguousJsonError,
        ) as error:
            logger.warning("OpenID Connect: %s: %r", facts.token_endpoint, error)
            raise unavailable() from None
        if status != httpx.codes.OK:
            return self._refused(facts, status, answer.get("error"))
        token = answer.get("id_token")
        if not isinstance(token, str) or token.count(".") != 2:
            logger.warning("OpenID Connect: %s gave no id_token", facts.token_endpoint)
            raise unavailable()
        return token

    def _refused(self, facts: IssuerFacts, status: int, error: object) -> str:
        logger.warning("OpenID Connect: %s answered %d, %.80r", facts.token_endpoint, status, error)
        if error == "invalid_grant":
            raise InvalidCredentialsError(
                "the identity provider refuses this code; it works only once: sign in again"
            )
        raise unavailable()

    def _basic(self, secret: str) -> str:
        """Both parts are encoded before they are joined (RFC 6749, 2.3.1)."""
        pair = f"{quote_plus(self._client_id)}:{quote_plus(secret)}"
        return f"Basic {base64.b64encode(pair.encode()).decode()}"


async def _post(url: str, form: dict[str, str], headers: dict[str, str]) -> tuple[int, bytes]:
    # Reads the certificates of all authorities: not on the event loop.
    client = await asyncio.to_thread(new_client, url, _DEADLINE_SECONDS)
    async with client, client.stream("POST", url, data=form, headers=headers) as answer:
        return answer.status_code, await bounded_body(answer)
