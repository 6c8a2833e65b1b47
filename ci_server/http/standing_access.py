"""Cuts off open streams whose API key or browser session has been revoked or has expired."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.types import Scope

from ci_common.errors import ForbiddenError, RunnerError, UnauthenticatedError
from ci_common.principal import Principal
from ci_server.access.auth.authenticator import Authenticator
from ci_server.access.auth.credentials import Credentials

logger = logging.getLogger(__name__)

CHECK_SECONDS = (10.0, 15.0)
"""Between two checks, at random: a thousand streams that begin together must not check together."""

_KEY = "ci_server.http.standing_access"


@dataclass(frozen=True, slots=True)
class StandingAccess:
    """The credentials that a stream was opened with."""

    authenticator: Authenticator
    credentials: Credentials
    principal: Principal

    async def ends(self) -> None:
        """Return when the credentials are not those of this caller any more, with this role."""
        holds = True
        while holds:
            await asyncio.sleep(random.uniform(*CHECK_SECONDS))  # noqa: S311
            holds = await self._holds()

    async def _holds(self) -> bool:
        try:
            found = await self.authenticator.authenticate(self.credentials)
        except (UnauthenticatedError, ForbiddenError):
            return False
        except RunnerError as error:
            # That cannot be told now, so nothing changes.
            logger.warning("the credentials of a stream could not be checked: %s", error)
            return True
        return found == self.principal


def remember_access(
    scope: Scope, authenticator: Authenticator, credentials: Credentials, principal: Principal
) -> None:
    """Have this request's stream cut off when the caller's API key or browser session ends.

    Tokens are checked only when a stream is opened: they are short-lived on purpose.
    """
    if principal.key is not None or principal.session is not None:
        scope[_KEY] = StandingAccess(authenticator, credentials, principal)


def standing_access(scope: Scope) -> StandingAccess | None:
    """That of the request; `None` if it cannot be revoked while the stream is open."""
    access: StandingAccess | None = scope.get(_KEY)
    return access


@asynccontextmanager
async def while_access_lasts(scope: Scope) -> AsyncIterator[None]:
    """Cancel the block when the access ends, and continue after it."""
    access = standing_access(scope)
    if access is None:
        yield
        return
    limit = asyncio.timeout(None)
    watching = asyncio.create_task(_watch(access, limit))
    try:
        async with limit:
            yield
    except TimeoutError:
        if not limit.expired():
            raise
        logger.info(
            "%r: disconnected, because the caller's API key or session is no longer valid",
            scope["path"],
        )
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def _watch(access: StandingAccess, limit: asyncio.Timeout) -> None:
    try:
        await access.ends()
    except Exception:
        logger.exception("checking the credentials of a stream failed; it is cut off")
    limit.reschedule(asyncio.get_running_loop().time())
