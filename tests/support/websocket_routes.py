"""An application's WebSockets; OpenAPI has no word for them."""

from fastapi.routing import APIWebSocketRoute, iter_route_contexts


def websockets_of(app):
    """Every one of them, however it was added."""
    for route in iter_route_contexts(app.routes):
        if isinstance(route.original_route, APIWebSocketRoute):
            yield route
