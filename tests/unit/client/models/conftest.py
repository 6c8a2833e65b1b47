"""A server with one finished job of a model, and a model to send."""

import shutil

import pytest
from client_scripted_artifacts import serve
from client_scripted_models import (
    COMPLETED,
    DELETE,
    EXAMPLE,
    FILES,
    GET,
    SUBMIT,
    SUBMITTED,
)
from client_scripted_server import (
    CANCEL,
    DETAILS,
    JOB,
    STREAM,
    complete,
    log,
    reply,
    reply_json,
    stream,
)


@pytest.fixture
def server(server):
    server.on("GET /limits", reply_json({"max_upload_bytes": 1 << 30, "fields": []}))
    server.on(SUBMIT, reply_json(SUBMITTED, 201))
    server.on(GET, reply_json(COMPLETED))
    server.on(DELETE, reply(204, b""))
    server.on(CANCEL, reply_json({}, 202))
    server.on(f"GET /jobs/{JOB}", reply_json(DETAILS))
    text = 'one\n::progress {"current":1,"total":2,"phase":"scenarios"}\ntwo\n'
    server.on(STREAM, stream(log(text, len(text)), complete(), then="end"))
    serve(server, FILES)
    return server


@pytest.fixture
def project(tmp_path):
    """The directory in which commands are run, beside one called `portfolio`."""
    shutil.copytree(EXAMPLE, tmp_path / "portfolio")
    (tmp_path / "tmp").mkdir()
    (tmp_path / "here").mkdir()
    return tmp_path / "here"


@pytest.fixture
def portfolio(project):
    return project.parent / "portfolio"
