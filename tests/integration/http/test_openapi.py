"""Requests made from the OpenAPI document: none of them makes the server fail."""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from ci_server.apis.native.openapi import access_of, routes_of
from ci_server.apis.native.submitted import FILE_FIELD, SECRETS_FIELD, SPEC_FIELD
from ci_server.app import create_app
from support.archives import zip_bytes
from support.live_server import LiveServer
from support.short_streams import short_streams

CHECKS = [
    not_a_server_error,
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
]
PROJECT = zip_bytes({"run.sh": b"mkdir -p output; echo hello | tee output/a.txt"})

SCHEMA = schemathesis.openapi.from_dict(create_app().openapi())
OPERATIONS = [found.ok() for found in SCHEMA.get_all_operations()]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A server with a finished job, so that requests also find what they ask for."""
    environment = short_streams(tmp_path_factory.mktemp("customized"), 0.05)
    with LiveServer(tmp_path_factory.mktemp("openapi"), environment=environment) as server:
        server.start().ready()
        job, _ = server.run(PROJECT, ["sh", "run.sh"])
        assert job["success"], job
        yield server, job["job_id"]


@pytest.mark.docker
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
def test_no_request_makes_the_server_fail(operation, world):
    server, job_id = world

    @settings(
        max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    @given(case=operation.as_strategy(), known=st.booleans())
    def check(case, known):
        parameters = case.path_parameters or {}
        if known and "job_id" in parameters:
            parameters["job_id"] = job_id
            if "path" in parameters:
                parameters["path"] = "output/a.txt"
        answer = case.call(base_url=server.url, timeout=30)
        case.validate_response(answer, checks=CHECKS)
        assert "Traceback" not in answer.text
        assert str(server.directory) not in answer.text

    check()


def test_every_route_is_in_the_document():
    app = create_app()
    paths = app.openapi()["paths"]
    assert {
        (route.path_format, method)
        for route in routes_of(app)
        if route.include_in_schema
        for method in route.methods
    } == {(path, method.upper()) for path in paths for method in paths[path]}


def test_the_form_has_the_parts_that_the_server_takes():
    for path in ("/submit", "/submit-stream", "/submit-async"):
        body = create_app().openapi()["paths"][path]["post"]["requestBody"]
        parts = body["content"]["multipart/form-data"]["schema"]["properties"]
        assert set(parts) == {FILE_FIELD, SPEC_FIELD, SECRETS_FIELD}


def test_tokens_for_one_job_are_for_what_reads_it():
    document = create_app().openapi()
    lent = {
        path
        for path, operations in document["paths"].items()
        for operation in operations.values()
        if {"lent": []} in operation.get("security", [])
    }
    assert lent == {
        *("/jobs/{job_id}", "/jobs/{job_id}/stream", "/jobs/{job_id}/logs"),
        *("/jobs/{job_id}/logs/marks", "/jobs/{job_id}/logs/position"),
        "/jobs/{job_id}/logs/search",
        *("/jobs/{job_id}/artifacts", "/jobs/{job_id}/artifacts/{path}"),
        *("/jobs/{job_id}/resources", "/jobs/{job_id}/coverage"),
        "/v1/jobs/{job_id}",
        *(f"/api/v1/runs/{{run_id}}{path}" for path in ("", "/stream", "/result")),
    }


def test_the_document_says_which_routes_ask_who_one_is():
    app = create_app()
    document = app.openapi()
    for route in filter(lambda route: route.include_in_schema, routes_of(app)):
        for method in route.methods:
            operation = document["paths"][route.path_format][method.lower()]
            assert ("security" in operation) == (access_of(route) is not None)
            assert "422" not in operation["responses"]
            assert "default" in operation["responses"]
