"""What we use of uvicorn beyond its documented interface, and whether the installed one has it.

`protocol` and `websocket` extend uvicorn's connection classes, because nothing that uvicorn
documents bounds a connection (docs/decisions/0024, 0035). This table is all of it; a test compares
it with the code, and another one the source of what is named here with that of the versions that
were read.
"""

import importlib
import inspect
from importlib.metadata import version
from types import ModuleType
from typing import Any

from ci_common.errors import UnknownLibraryError

TESTED = ">=0.53,<0.55"
"""As in pyproject.toml."""

_HTTP = "uvicorn.protocols.http.httptools_impl"
_FLOW = "uvicorn.protocols.http.flow_control"
_WEBSOCKETS = "uvicorn.protocols.websockets.websockets_sansio_impl"

PROTOCOL, CYCLE = (_HTTP, "HttpToolsProtocol"), (_HTTP, "RequestResponseCycle")
FLOW = (_FLOW, "FlowControl")
WEBSOCKET = (_WEBSOCKETS, "WebSocketsSansIOProtocol")

Class = tuple[str, str]
"""Its module, and its name."""

METHODS: dict[Class, dict[str, str]] = {
    PROTOCOL: {
        "__init__": "config server_state app_state _loop",
        "connection_made": "transport",
        "connection_lost": "exc",
        "data_received": "data",
        "shutdown": "",
        "on_message_begin": "",
        "on_header": "name value",
        "on_headers_complete": "",
        "on_body": "body",
        "on_message_complete": "",
        "on_response_complete": "",
        "send_400_response": "msg",
        "_should_upgrade": "",
    },
    CYCLE: {"run_asgi": "app", "send": "message", "receive": ""},
    FLOW: {"__init__": "transport", "pause_reading": "", "resume_reading": ""},
    WEBSOCKET: {
        "__init__": "config server_state app_state _loop",
        "connection_lost": "exc",
        "data_received": "data",
        "handle_cont": "event",
        "handle_ping": "",
        "handle_parser_exception": "",
        "keepalive_timeout": "",
        "pause_writing": "",
        "receive": "",
        "resume_writing": "",
        "send": "message",
        "send_500_response": "",
        "send_receive_event_to_app": "",
        "shutdown": "",
        "stop_keepalive": "",
    },
}
"""Methods that are overridden or called, and their parameters after `self`."""

ATTRIBUTES: dict[tuple[Class, str], str] = {
    (PROTOCOL, "__init__"): "client cycle flow headers loop parser transport ws_protocol_class",
    (PROTOCOL, "on_message_begin"): "url headers",
    (CYCLE, "__init__"): (
        "disconnected message_event response_started transport waiting_for_100_continue"
    ),
    (FLOW, "__init__"): "read_paused",
    (WEBSOCKET, "__init__"): (
        "client close_sent close_timer conn curr_msg_data_type disconnected frames "
        "handshake_complete handshake_initiated initial_response loop ping_interval ping_timeout "
        "pong_timer queue read_paused transport writable"
    ),
    (WEBSOCKET, "handle_connect"): "scope",
}
"""Attributes that are read or set, and the method in which uvicorn sets them first.

`stalled_readers` and `auth.addresses` reach the connection by `transport` of the object whose
method ASGI's `send` is.
"""


def check() -> None:
    """Raises UnknownLibraryError when the installed uvicorn is not one that we know how to use."""
    if problems := misfits():
        raise UnknownLibraryError(
            f"uvicorn {version('uvicorn')} does not fit this server: {'; '.join(problems)}. The "
            "server extends parts of uvicorn that may change in any release. Install a version "
            f"that it was tested with: pip install 'uvicorn[standard]{TESTED}'"
        )


def misfits() -> list[str]:
    """What is missing, or has other parameters."""
    problems = []
    for place, methods in METHODS.items():
        found = _class(place)
        if found is None:
            problems.append(f"there is no {'.'.join(place)}")
            continue
        for name, wanted in methods.items():
            problems += _misfits_of(found, name, wanted)
    for (place, method), names in ATTRIBUTES.items():
        code = getattr(getattr(_class(place), method, None), "__code__", None)
        known = code.co_names if code else ()
        missing = sorted(set(names.split()) - set(known))
        problems += [f"{place[1]} has no attribute {name}" for name in missing]
    return problems


def _misfits_of(found: type, name: str, wanted: str) -> list[str]:
    function = getattr(found, name, None)
    if function is None:
        return [f"{found.__name__} has no method {name}"]
    parameters = " ".join(list(inspect.signature(function).parameters)[1:])
    if parameters != wanted:
        return [f"{found.__name__}.{name} takes ({parameters}) and not ({wanted})"]
    return []


def _class(place: Class) -> Any:
    module, name = place
    return getattr(_module(module), name, None)


def _module(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None
