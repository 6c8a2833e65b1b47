"""Who is asking, for routes: each says by its parameter what it lets people do.

A route without one of these is a defect, and a test over all routes finds it.
"""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from ci_common.policy import Action, Policy
from ci_common.principal import Principal
from ci_server.auth.authenticator import Authenticator
from ci_server.auth.credentials import Credentials

TOKEN_PARAMETER = "token"  # noqa: S105 - its name


@dataclass(frozen=True, slots=True)
class AccessControl:
    """What routes ask, from the application's state."""

    authenticator: Authenticator
    policy: Policy


class Access:
    """A route's dependency: who asks, when their role lets them do this at all.

    To which jobs is for the job service to say, which knows them.
    """

    def __init__(self, action: Action) -> None:
        self.action = action

    async def __call__(self, request: Request) -> Principal:
        """Raises UnauthenticatedError, InvalidCredentialsError, ForbiddenError."""
        control: AccessControl = request.app.state.access
        principal = await control.authenticator.authenticate(credentials_of(request))
        control.policy.scope(principal, self.action)
        return principal


async def anyone() -> None:
    """The dependency of routes that need no identity."""


def credentials_of(request: Request) -> Credentials:
    """What the request carries."""
    server = request.scope.get("server")
    return Credentials(
        headers=dict(request.headers),
        peer=request.client.host if request.client else None,
        local=server[0] if server and server[1] is not None else None,
        token=request.query_params.get(TOKEN_PARAMETER),
    )


Submitter = Annotated[Principal, Depends(Access(Action.SUBMIT))]
Lister = Annotated[Principal, Depends(Access(Action.LIST))]
Reader = Annotated[Principal, Depends(Access(Action.READ))]
Canceller = Annotated[Principal, Depends(Access(Action.CANCEL))]
