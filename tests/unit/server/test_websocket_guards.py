"""Guards of WebSockets are those of requests: the same credentials, rates and stream slots."""

import httpx
import pytest
from fastapi import Depends, WebSocket
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute

from ci_common.errors import InvalidCredentialsError, LogCorruptError
from ci_common.policy import Action, Policy
from ci_common.principal import Principal, Role
from ci_server.access.audit_trail import AuditTrail
from ci_server.access.auth.authenticator import Authenticator
from ci_server.access.auth.local import LocalIdentity
from ci_server.access.limits.failed_logins import FailureLimits, ThrottledAuthenticator
from ci_server.access.limits.traffic import Traffic, TrafficLimits
from ci_server.http.cleanup import RequestEnd
from ci_server.http.errors import install_error_handlers
from ci_server.http.guards import (
    Access,
    AccessControl,
    Canceller,
    Reader,
    public,
    rate_limited,
    stream_slot,
)
from ci_server.http.query import strict_query
from ci_server.http.stream_response import CuttingApplication
from support.asgi_socket import CLIENT, connected
from support.jobs import NOON

pytestmark = pytest.mark.anyio

LISTED = "https://listed.example"
EVIL = "https://evil.example"
VIEWER = Principal("acme", "vic", Role.VIEWER, "key 1")


class Known:
    """One viewer, by one bearer token."""

    async def is_configured(self):
        return True

    def evidence(self, credentials):
        return credentials.bearer

    async def identify(self, credentials):
        if credentials.bearer is None:
            return None
        if credentials.bearer != "known":
            raise InvalidCredentialsError
        return VIEWER


class Ambient:
    """The same viewer, by what a proxy makes of a cookie, which browsers add by themselves."""

    async def is_configured(self):
        return True

    def evidence(self, credentials):
        return credentials.headers.get("x-user")

    async def identify(self, credentials):
        return VIEWER if "x-user" in credentials.headers else None


class MemoryAudit:
    """Port AuditLog."""

    def __init__(self):
        self.entries = []

    async def record(self, entry):
        self.entries.append(entry)


def access_control(log, **limits):
    authenticator = Authenticator([Known(), Ambient()], LocalIdentity(insecure=False))
    return AccessControl(
        ThrottledAuthenticator(authenticator, FailureLimits()),
        Policy(),
        AuditTrail(log, lambda: NOON),
        Traffic(TrafficLimits(**limits)),
        origins=(LISTED,),
    )


async def echo(socket, principal):
    await socket.accept()
    await socket.send_json({"user": principal.user, "address": principal.origin.address})
    await socket.receive_text()
    await socket.close()


async def watch(socket: WebSocket):
    """As a door writes it that uses Starlette only."""
    principal = await Access(Action.READ)(socket)
    stream_slot(socket, principal)
    await echo(socket, principal)


async def watch_as_request(request):
    principal = await Access(Action.READ)(request)
    stream_slot(request, principal)
    return JSONResponse({"user": principal.user})


async def broken(socket: WebSocket):
    raise LogCorruptError("/srv/secret/place.log is damaged")


def starlette_app():
    app = Starlette(
        routes=[
            WebSocketRoute("/watch", watch),
            WebSocketRoute("/broken", broken),
            Route("/watch", watch_as_request),
        ],
        middleware=[Middleware(RequestEnd)],
    )
    install_error_handlers(app)
    return app


def fastapi_app():
    """As a door writes it that declares its guards."""
    app = CuttingApplication(dependencies=[Depends(strict_query)])
    install_error_handlers(app)
    app.add_middleware(RequestEnd)

    @app.websocket("/watch")
    async def declared(socket: WebSocket, principal: Reader):
        stream_slot(socket, principal)
        await echo(socket, principal)

    @app.websocket("/counted")
    async def counted(socket: WebSocket, principal: Reader, count: int):
        await echo(socket, principal)

    @app.websocket("/cancel")
    async def cancel(socket: WebSocket, principal: Canceller):
        await echo(socket, principal)

    @app.websocket("/public", dependencies=[Depends(public), Depends(rate_limited)])
    async def for_everybody(socket: WebSocket):
        await socket.accept()
        await socket.close()

    return app


@pytest.fixture
def log():
    return MemoryAudit()


@pytest.fixture
def app(request, log):
    """`param`: which application, and its limits."""
    make, limits = getattr(request, "param", (starlette_app, {}))
    made = make()
    made.state.access = access_control(log, limit_local=True, **limits)
    return made


def bearer(token="known"):
    return {"Authorization": f"Bearer {token}"}


def both(**limits):
    applications = [(starlette_app, limits), (fastapi_app, limits)]
    return pytest.mark.parametrize("app", applications, ids=["starlette", "fastapi"], indirect=True)


def declared(**limits):
    return pytest.mark.parametrize("app", [(fastapi_app, limits)], ids=["fastapi"], indirect=True)


async def get(app, path, headers):
    transport = httpx.ASGITransport(app, client=CLIENT)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.get(path, headers=headers)


@both()
async def test_the_principal_of_a_websocket(app):
    async with connected(app, "/watch", bearer()) as socket:
        assert await socket.receive_json() == {"user": "vic", "address": CLIENT[0]}
        socket.send_text("enough")


@both()
async def test_a_refused_websocket_is_answered_as_a_request_is(app, log):
    async with connected(app, "/watch") as refused:
        assert refused.code == (401, "unauthenticated")
    async with connected(app, "/watch", bearer("wrong")) as refused:
        assert refused.code == (401, "invalid_credentials")
        assert refused.headers["www-authenticate"] == "Bearer"
    (entry,) = log.entries
    assert (entry.action, entry.outcome.value) == ("authenticate", "denied")
    assert entry.address == CLIENT[0]


@declared()
async def test_what_the_role_does_not_allow_is_refused_and_recorded(app, log):
    async with connected(app, "/cancel", bearer()) as refused:
        assert refused.code == (403, "forbidden")
        assert refused.headers["x-request-id"] == refused.body["error"]["request_id"]
    (entry,) = log.entries
    assert (entry.user, entry.action, entry.outcome.value) == ("vic", "cancel", "denied")


@both()
@pytest.mark.parametrize("origin", [EVIL, "null", "", "https://ci.example.evil.example"])
async def test_a_page_of_another_origin_cannot_use_what_browsers_add(app, log, origin):
    headers = {"X-User": "vic", "Host": "ci.example", "Origin": origin}
    async with connected(app, "/watch", headers) as refused:
        assert refused.code == (403, "forbidden")
        assert "CI_CORS_ORIGINS" in refused.body["error"]["message"]
    (entry,) = log.entries
    assert (entry.user, entry.action, entry.outcome.value) == ("vic", "read", "denied")


@both()
@pytest.mark.parametrize(
    "headers",
    [
        {"X-User": "vic"},
        {"X-User": "vic", "Host": "ci.example", "Origin": "https://ci.example"},
        {"X-User": "vic", "Host": "ci.example", "Origin": LISTED},
        {**bearer(), "Origin": EVIL},
    ],
    ids=["a program", "our own page", "a listed page", "any page that has a token"],
)
async def test_others_may_open_websockets(app, headers):
    async with connected(app, "/watch", headers) as socket:
        assert (await socket.receive_json())["user"] == "vic"
        socket.send_text("enough")


async def test_requests_of_pages_are_left_to_cors(app):
    headers = {"X-User": "vic", "Host": "ci.example", "Origin": EVIL}
    assert (await get(app, "/watch", headers)).status_code == 200


@both()
async def test_where_there_is_no_websocket_says_so(app):
    async with connected(app, "/elsewhere") as refused:
        assert refused.code == (404, "not_found")


@declared()
async def test_a_parameter_of_the_wrong_type_is_refused(app):
    async with connected(app, "/counted", bearer(), query="count=x") as refused:
        assert refused.code == (400, "invalid_request")


@both(requests_per_second_per_user=0.001, burst_seconds=1000)
async def test_websockets_are_rate_limited_by_user(app):
    async with connected(app, "/watch", bearer()) as socket:
        socket.send_text("enough")
    async with connected(app, "/watch", bearer()) as refused:
        assert refused.code == (429, "rate_limited")
        assert int(refused.headers["retry-after"]) > 1


@declared(requests_per_second_per_address=0.001, burst_seconds=1000)
async def test_public_websockets_are_rate_limited_by_address(app):
    async with connected(app, "/public"):
        pass
    async with connected(app, "/public") as refused:
        assert refused.code == (429, "rate_limited")


@pytest.mark.parametrize("app", [(starlette_app, {"streams_per_user": 1})], indirect=True)
async def test_websockets_and_requests_share_stream_slots(app):
    for _ in range(2):
        async with connected(app, "/watch", bearer()) as socket:
            await socket.receive_json()
            async with connected(app, "/watch", bearer()) as refused:
                assert refused.code == (429, "too_many_streams")
            assert (await get(app, "/watch", bearer())).status_code == 429
            socket.send_text("enough")
        assert (await get(app, "/watch", bearer())).json() == {"user": "vic"}


@declared()
async def test_a_repeated_query_parameter_is_refused(app):
    async with connected(app, "/watch", bearer(), query="token=a&token=b") as refused:
        assert refused.code == (400, "invalid_request")


async def test_defects_are_told_to_the_log_only(app, caplog):
    async with connected(app, "/broken") as refused:
        assert refused.code == (500, "log_corrupt")
        assert "secret" not in str(refused.body)
    assert "websocket '/broken' failed" in caplog.text
