"""Every route says what it lets people do, or that it is for everybody."""

import pytest

from ci_common.policy import Action
from ci_server.apis.access import anyone
from ci_server.apis.openapi import access_of, routes_of
from ci_server.app import create_app

FOR_EVERYBODY = {"/health", "/ready"}

ROUTES = list(routes_of(create_app()))


def declared(route):
    return [dependency.call for dependency in route.dependant.dependencies]


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.methods} {route.path}")
def test_a_route_says_who_may_use_it(route):
    access = access_of(route)
    if route.path in FOR_EVERYBODY:
        assert access is None
        assert anyone in declared(route)
    else:
        assert access is not None, (
            f"{route.path} asks nobody who they are: see ci_server.apis.access"
        )
        assert anyone not in declared(route)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.methods} {route.path}")
def test_what_changes_something_is_not_called_reading(route):
    access = access_of(route)
    if access is not None and route.methods & {"POST", "PUT", "PATCH", "DELETE"}:
        assert access.action not in (Action.READ, Action.LIST)


def test_nothing_is_served_beside_the_routes():
    """Such as a page that loads scripts from elsewhere."""
    others = {route.path for route in create_app().routes if getattr(route, "path", None)}
    assert others == {"/openapi.json"}
