"""Every route says what it lets people do, or that it is for everybody.

What each of them then answers to whom is tried in tests/integration/test_access_matrix.py.
"""

from typing import Annotated

import pytest
from fastapi import APIRouter, Depends, FastAPI
from fastapi.routing import APIRoute, APIWebSocketRoute, iter_route_contexts
from starlette.routing import WebSocketRoute

from ci_common.policy import Action
from ci_server.apis.native.openapi import access_of, routes_of
from ci_server.app import create_app
from ci_server.dashboard.pages import MISSING, PAGES, UI_PATH
from ci_server.http.guards import Access, Lister, Reader, public
from ci_server.http.query import strict_query
from support.websocket_routes import websockets_of

FOR_EVERYBODY = {
    "/artifacts/{job_id}/{path:artifact_path}",  # asks for a signature instead
    "/preview/{grant}/{path:artifact_path}",  # the path has a signature
    "/health",
    "/ready",
    "/api/v1/health",
    "/api/v1/health/ready",
    "/",
    "/docs",
    "/docs/assets/{path}",
    "/session",  # asks on its own who it is, and is for those who are nobody yet
    "/session/oidc/start",
    "/session/oidc/callback",  # asks the issuer
    UI_PATH,
    UI_PATH + "/assets/{path:path}",
    *(UI_PATH + page.path for page in (*PAGES, MISSING)),
}
READ_BY_POST = {"/graphql"}
"""Their bodies are questions."""
BESIDE = {"/openapi.json"}

ROUTES = list(routes_of(create_app()))
WEBSOCKETS = list(websockets_of(create_app()))


def declared(route):
    return [dependency.call for dependency in route.dependant.dependencies]


def check_who_may_use(route):
    access = access_of(route)
    if route.path in FOR_EVERYBODY:
        assert access is None
        assert public in declared(route)
    else:
        assert access is not None, (
            f"{route.path} asks nobody who they are: see ci_server.http.guards"
        )
        assert public not in declared(route), f"{route.path} is for everybody, and is not"


def check_what_it_is_called(route):
    access = access_of(route)
    if route.path in READ_BY_POST:
        return
    if access is not None and route.methods & {"POST", "PUT", "PATCH", "DELETE"}:
        assert access.action not in (Action.READ, Action.LIST), f"{route.path} changes something"


def check_nothing_beside(app):
    """Such as a page that loads scripts from elsewhere, or a WebSocket that asks nobody."""
    kinds = APIRoute, APIWebSocketRoute
    found = iter_route_contexts(app.routes)
    others = {route.path for route in found if not isinstance(route.original_route, kinds)}
    assert others == BESIDE, "routes_of does not see these, so nothing checks who may use them"


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{sorted(route.methods)} {route.path}")
def test_a_route_says_who_may_use_it(route):
    check_who_may_use(route)


@pytest.mark.parametrize("route", WEBSOCKETS, ids=lambda route: route.path)
def test_a_websocket_says_who_may_use_it(route):
    check_who_may_use(route)
    assert strict_query in declared(route)
    assert access_of(route).action is Action.READ, f"{route.path}: does it change something?"


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{sorted(route.methods)} {route.path}")
def test_what_changes_something_is_not_called_reading(route):
    check_what_it_is_called(route)


def test_nothing_is_served_beside_the_routes():
    check_nothing_beside(create_app())


# ------------------------------------------------------------------ the checks can fail


async def forgotten() -> None:
    """A route that names no action."""


async def muddled(principal: Reader) -> None:
    """One that names an action, and is added as one for everybody."""


async def misnamed(principal: Lister) -> None:
    """One that changes something, and says that it lists."""


async def behind(_: Annotated[None, Depends(muddled)]) -> None:
    """One whose action is hidden in a dependency of a dependency."""


async def raw(*_) -> None:
    """Whatever is called without FastAPI's dependencies."""


def with_route(endpoint, method="GET", **options):
    """The application with one more route, added as ours are; and that route."""
    before = {route.endpoint for route in ROUTES}
    app, router = create_app(), APIRouter()
    router.add_api_route("/jobs/{job_id}/new", endpoint, methods=[method], **options)
    app.include_router(router)
    (added,) = [route for route in routes_of(app) if route.endpoint not in before]
    return added


@pytest.mark.parametrize("endpoint", [forgotten, behind])
def test_a_new_route_that_names_no_action_is_found(endpoint):
    with pytest.raises(AssertionError, match="asks nobody who they are"):
        check_who_may_use(with_route(endpoint))


def test_a_new_route_for_everybody_is_found():
    with pytest.raises(AssertionError, match="asks nobody who they are"):
        check_who_may_use(with_route(forgotten, dependencies=[Depends(public)]))
    with pytest.raises(AssertionError, match="is for everybody, and is not"):
        check_who_may_use(with_route(muddled, dependencies=[Depends(public)]))


@pytest.mark.parametrize("included", [False, True])
def test_a_new_websocket_that_names_no_action_is_found(included):
    app, router = create_app(), APIRouter()
    (router if included else app).add_api_websocket_route("/new", forgotten)
    app.include_router(router)
    (added,) = [route for route in websockets_of(app) if route.endpoint is forgotten]
    with pytest.raises(AssertionError, match="asks nobody who they are"):
        check_who_may_use(added)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_new_route_that_changes_something_as_a_reader_is_found(method):
    with pytest.raises(AssertionError, match="changes something"):
        check_what_it_is_called(with_route(misnamed, method))


def test_a_new_route_that_names_its_action_passes():
    route = with_route(forgotten, "POST", dependencies=[Depends(Access(Action.CANCEL))])
    check_who_may_use(route)
    check_what_it_is_called(route)


@pytest.mark.parametrize("included", [False, True])
@pytest.mark.parametrize(
    "add",
    [
        lambda place: place.add_route("/new", raw),
        lambda place: place.routes.append(WebSocketRoute("/new", raw)),
        lambda place: place.mount("/new", FastAPI()),
    ],
)
def test_what_is_served_beside_the_routes_is_found(add, included):
    app, router = create_app(), APIRouter()
    add(router if included else app)
    app.include_router(router)
    with pytest.raises(AssertionError, match="nothing checks who may use them"):
        check_nothing_beside(app)
