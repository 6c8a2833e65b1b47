"""The parts of uvicorn that are not documented, and that our connections extend."""

import ast
import hashlib
import importlib
import inspect
import os
import subprocess
import sys
import textwrap
import tomllib

import pytest
import uvicorn
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from ci_common.errors import UnknownLibraryError
from ci_server.connections import uvicorn_shape
from ci_server.connections.protocol import BoundedHttpProtocol
from ci_server.connections.uvicorn_shape import (
    ATTRIBUTES,
    CYCLE,
    FLOW,
    METHODS,
    PROTOCOL,
    TESTED,
    WEBSOCKET,
)
from ci_server.connections.websocket import BoundedWebSocketProtocol
from support.live_server import ROOT

OURS = {PROTOCOL: BoundedHttpProtocol, WEBSOCKET: BoundedWebSocketProtocol}

SERVER, STATE = ("uvicorn.server", "Server"), ("uvicorn.server", "ServerState")

READ = {
    PROTOCOL: {
        "__init__": {"ef1b7c9c785b"},
        "connection_made": {"52a70c678525"},
        "connection_lost": {"8a5a84898dab"},
        "eof_received": {"463e2d67aaf5"},
        "data_received": {"8583b7d501b5"},
        "send_400_response": {"659826341373"},
        "on_message_begin": {"4f7bac281585"},
        "on_url": {"381560766601"},
        "on_header": {"fa663d220912"},
        "on_headers_complete": {"f5d7f89383b9"},
        "on_body": {"04bff947c3d5"},
        "on_message_complete": {"4ce97e51d988"},
        "on_response_complete": {"3b835da51ff0"},
        "shutdown": {"7fa717a61d60"},
        "pause_writing": {"bb3cf97d6cdd"},
        "resume_writing": {"d90fd576be98"},
        "timeout_keep_alive_handler": {"a2da797910db"},
        "_get_upgrade": {"1c20b186bd78"},
        "_should_upgrade": {"3fde089b4def"},
        "_should_upgrade_to_ws": {"b8d70b454f8f"},
        "_start_asgi_task": {"bc55a6f44876"},
        "handle_websocket_upgrade": {"9f6222b9c807"},
    },
    CYCLE: {
        "__init__": {"6f7b16ad25ee"},
        "run_asgi": {"0295583c4f12"},
        "send_500_response": {"5cc4d5ec1c99"},
        "send": {"e4355b337add"},
        "receive": {"5c6d69bd5c2e"},
    },
    FLOW: {
        "__init__": {"64e2f516ad5e"},
        "pause_reading": {"ad0b8b78885c"},
        "resume_reading": {"73272cfeeda7"},
    },
    WEBSOCKET: {
        "__init__": {"53b3a32896c0"},
        "connection_made": {"9bdebe2ad109"},
        "connection_lost": {"e1043357c102"},
        "eof_received": {"463e2d67aaf5"},
        "pause_writing": {"f529a9c3095c"},
        "resume_writing": {"75c1f838a51c"},
        "shutdown": {"6b118962821c"},
        "data_received": {"a972f1243c72"},
        "handle_events": {"851d1ac45751"},
        "handle_connect": {"75654c0dbfbd"},
        "handle_cont": {"e822c6d377ab"},
        "handle_text": {"9bc90729917c"},
        "handle_bytes": {"2fcb0158bbc1"},
        "send_receive_event_to_app": {"bebf05067d56"},
        "handle_ping": {"c441fbc8acb6"},
        "handle_pong": {"fea1685a5b7c"},
        "start_keepalive": {"dce5487e3567"},
        "stop_keepalive": {"ea55e166117a"},
        "schedule_ping": {"d6dff78572e5"},
        "send_keepalive_ping": {"e3d629df9867"},
        "keepalive_timeout": {"d7bd5b521319"},
        "handle_close": {"e0187efe9339"},
        "handle_parser_exception": {"fcb5a2a7c5ca"},
        "on_task_complete": {"0a943d1e6683"},
        "run_asgi": {"a0718f85b2c4"},
        "send_500_response": {"59c60642c9ea"},
        "send": {"9e36d71d1c21"},
        "receive": {"5cbbc370ced6"},
    },
    SERVER: {"shutdown": {"6b5cbc9c494e"}},
    STATE: {"__init__": {"845d62a73c46"}},
}
"""Fingerprints of the methods that our classes were written against, whether it overrides them,
calls them, or only counts on what they do."""

WHAT_TO_DO = (
    "{name} of uvicorn {version} is none of the versions that ci_server/connections "
    "was written against. Compare its source with that of the last version in constraints.txt; see "
    "whether {ours} still does what it has to, in particular that every request is counted, "
    "bounded and answered once (tests/integration/http: test_http_bounds.py, "
    "test_full_server.py, test_websocket_bounds.py); "
    "then add the fingerprint {found!r} to READ, and set the versions in pyproject.toml and "
    "uvicorn_shape.TESTED"
)


def class_of(place):
    module, name = place
    return getattr(importlib.import_module(module), name)


def fingerprint(method):
    """Of a method's code, without comments, docstring and layout."""
    (function,) = ast.parse(textwrap.dedent(inspect.getsource(method))).body
    if ast.get_docstring(function) is not None:
        function.body = function.body[1:] or [ast.Pass()]
    return hashlib.sha256(ast.unparse(function).encode()).hexdigest()[:12]


@pytest.mark.parametrize(
    ("place", "name"), [(place, name) for place, methods in READ.items() for name in methods]
)
def test_uvicorn_is_as_it_was_read(place, name):
    found = fingerprint(getattr(class_of(place), name))
    extended = OURS.get(place)
    is_ours = extended is not None and name in vars(extended)
    ours = f"{extended.__name__}.{name}" if is_ours else "it"
    problem = WHAT_TO_DO.format(
        name=f"{place[1]}.{name}", version=uvicorn.__version__, ours=ours, found=found
    )
    assert found in READ[place][name], problem


# ------------------------------------------------------------------ the table is what is used


@pytest.mark.parametrize("place", OURS)
def test_the_table_has_every_method_that_is_overridden(place):
    inherited = {name for name, _ in inspect.getmembers(class_of(place), inspect.isfunction)}
    overridden = inherited & vars(OURS[place]).keys()
    assert overridden <= METHODS[place].keys()
    assert METHODS[place].keys() - overridden <= attributes_used(place)["self"], "nothing uses it"
    assert all(METHODS[place].keys() <= READ[place].keys() for place in METHODS)


def attributes_used(place):
    """Attributes of uvicorn's objects in the source of our class, by the object's name there."""
    used = {"self": set(), "cycle": set(), "flow": set()}
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(OURS[place])))):
        if isinstance(node, ast.Attribute):
            owner = ast.unparse(node.value).removeprefix("self.")
            if owner in used and node.attr not in vars(OURS[place]):
                used[owner].add(node.attr)
    return used


def listed_attributes():
    listed = {}
    for (place, _), names in ATTRIBUTES.items():
        listed.setdefault(place, set()).update(names.split())
    return listed


@pytest.mark.parametrize("place", OURS)
def test_the_table_has_every_attribute_that_is_used(place):
    used = attributes_used(place)["self"]
    listed = listed_attributes()[place]
    ours = {name for name in used if name.startswith("_")}
    assert not ours & listed, "an attribute of our own may be one of uvicorn's"
    assert used - ours - METHODS[place].keys() == listed


def test_the_table_has_every_attribute_of_the_parts_that_is_used():
    used, listed = attributes_used(PROTOCOL), listed_attributes()
    assert used["cycle"] | {"transport"} == listed[CYCLE]
    assert used["flow"] - METHODS[FLOW].keys() == listed[FLOW]


@pytest.mark.parametrize("place", OURS)
def test_uvicorn_has_no_attribute_of_the_same_name_as_ours(place):
    theirs = class_of(place)
    taken = set(vars(theirs))
    for method in filter(inspect.isfunction, vars(theirs).values()):
        taken |= set(method.__code__.co_names)
    ours = {name for name in attributes_used(place)["self"] if name.startswith("_")}
    ours |= {name for name in vars(OURS[place]) if not name.startswith("__")}
    assert not ours & taken - METHODS[place].keys()


# ------------------------------------------------------------------ versions


def test_the_versions_are_bounded_alike_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    requirements = map(Requirement, project["optional-dependencies"]["server"])
    (wanted,) = [found for found in requirements if found.name == "uvicorn"]
    assert wanted.specifier == SpecifierSet(TESTED)
    script = (ROOT / "scripts/uvicorn-range").read_text()
    lowest = next(found.version for found in wanted.specifier if found.operator == ">=")
    assert f'LOWEST = "{lowest}.0"' in script
    pins = (ROOT / "constraints.txt").read_text().splitlines()
    (pinned,) = [line.partition("==")[2] for line in pins if line.startswith("uvicorn==")]
    assert pinned in wanted.specifier
    major, minor, *_ = map(int, pinned.split("."))
    assert f"{major}.{minor + 1}" not in wanted.specifier, "nothing newer was tested"


def test_the_installed_version_fits():
    assert uvicorn_shape.misfits() == []
    uvicorn_shape.check()


# ------------------------------------------------------------------ what does not fit is told


def remove(name):
    return lambda patch: patch.delattr(class_of(PROTOCOL), name)


def replace(name, function):
    return lambda patch: patch.setattr(class_of(PROTOCOL), name, function)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (remove("on_response_complete"), "has no method on_response_complete"),
        (replace("on_body", lambda self, chunk: None), r"on_body takes \(chunk\) and not \(body\)"),
        (replace("shutdown", lambda self, now: None), r"shutdown takes \(now\) and not \(\)"),
        (
            lambda patch: patch.delattr("uvicorn.protocols.http.httptools_impl.HttpToolsProtocol"),
            "there is no uvicorn.protocols.http.httptools_impl.HttpToolsProtocol",
        ),
        (
            lambda patch: patch.setitem(sys.modules, "uvicorn.protocols.http.flow_control", None),
            "there is no uvicorn.protocols.http.flow_control.FlowControl",
        ),
        (
            replace("on_message_begin", lambda self: None),
            "HttpToolsProtocol has no attribute headers; .* no attribute url",
        ),
    ],
)
def test_another_shape_is_told(monkeypatch, change, told):
    change(monkeypatch)
    with pytest.raises(UnknownLibraryError, match=told) as found:
        uvicorn_shape.check()
    assert f"uvicorn {uvicorn.__version__} does not fit" in found.value.message
    assert f"pip install 'uvicorn[standard]{TESTED}'" in found.value.message


@pytest.mark.parametrize(
    "command", [["ci_server"], ["uvicorn", "ci_server.connections.protocol:x"]]
)
def test_the_server_does_not_start_with_another_shape(tmp_path, command):
    (tmp_path / "sitecustomize.py").write_text(
        "from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol\n"
        "del HttpToolsProtocol.on_response_complete\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", *command, "--port", "0"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "HttpToolsProtocol has no method on_response_complete" in done.stderr
    if command == ["ci_server"]:
        assert "Traceback" not in done.stderr
        assert len(done.stderr.splitlines()) == 1
