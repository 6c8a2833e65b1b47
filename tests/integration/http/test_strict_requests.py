"""Values of a wrong type at every door of a running server: refused, told where, nothing queued.

`tests/unit/server/test_wrong_types.py` crosses every field with every type; this one shows that
all routes ask the same reader, and walks the query parameters of the OpenAPI document.
"""

import json

import httpx
import pytest

from ci_server.app import create_app
from support import projects
from support.live_server import LiveServer

JSON = "application/json"
DOORS = ["/submit", "/submit-stream", "/submit-async"]
SPECS = {
    "repeated": ('{"command":["true"],"command":["false"]}', "command: duplicate key"),
    "true": ('{"priority": true}', "priority: true is not allowed"),
    "float": ('{"priority": 5.0}', "priority: 5.0 is not allowed"),
    "text": ('{"priority": "5"}', 'priority: "5" is not allowed'),
    "null": ('{"retries": null}', "retries: null is not allowed"),
    "NaN": ('{"timeout": NaN}', "timeout: a number is not finite"),
    "overflow": ('{"timeout": 1e400}', "timeout: a number is not finite"),
    "huge": ('{"retries": ' + "9" * 6000 + "}", "retries: a number is not finite, or too large"),
    "half a pair": ('{"command": ["\\ud800"]}', "command.0: a string has half of a surrogate"),
    "half a pair in a name": ('{"\\ud800": 1}', "half of a surrogate pair"),
    "deep": ('{"job": ' + "[" * 30_000, "nested too deeply"),
    "not so deep": ('{"job": ' + "[" * 40 + "]" * 40 + "}", "nested too deeply"),
    "an unknown name": ('{"\\u001b[31m": 1}', r"'\x1b[31m': is not a known key"),
}
WRONG_TEXTS = {
    "integer": ["true", "5.0", "5e0", "+5", "-5", "1_0", "0x5", "NaN", "1e400", "null", "", "[5]",
                "9" * 40, "9" * 5000, "\u0665", "\x00"],
    "boolean": ["5", "5.0", "null", "NaN", "truetrue", "2", "-1", "", "\x00", "[true]"],
}  # fmt: skip


@pytest.fixture(scope="module")
def idle(tmp_path_factory):
    """A server without a controller, and a queued job."""
    with LiveServer(tmp_path_factory.mktemp("types"), controller="external") as server:
        server.start()
        yield server, server.submit(projects.ANY)


def refused(answer, code, told):
    error = answer.json()["error"]
    status = 422 if answer.request.url.path.startswith(("/v1/", "/api/v1/")) else 400
    assert (answer.status_code, error["code"]) == (status, code), answer.text
    assert told in error["message"]


@pytest.mark.parametrize("case", SPECS)
@pytest.mark.parametrize("door", DOORS)
def test_a_spec_is_refused_at_every_door(idle, door, case):
    server, _ = idle
    spec, told = SPECS[case]
    before = server.rows(), server.stored_files()
    form = {"files": server.form(projects.ANY)["files"], "data": {"spec": spec}}
    refused(server.http.post(door, **form), "invalid_upload", told)
    assert (server.rows(), server.stored_files()) == before


def test_secrets_are_refused_without_being_repeated(idle):
    server, _ = idle
    secrets = json.dumps({"KEY": {"value": "aHVudGVyMmh1bnRlcjI="}})
    content = f"{secrets[:-1]}, {secrets[1:]}"
    form = {"files": server.form(projects.ANY)["files"], "data": {"secrets": content}}
    answer = server.http.post("/submit-async", **form)
    refused(answer, "invalid_secret", "duplicate key")
    assert "aHVu" not in answer.text


def query_parameters():
    """Route, name and type of every query parameter that is no text."""
    for path, operations in create_app().openapi()["paths"].items():
        for method, operation in operations.items():
            for parameter in operation.get("parameters", []):
                schema = parameter["schema"]
                types = {part.get("type") for part in schema.get("anyOf", [schema])} - {"null"}
                assert len(types) == 1, parameter
                if parameter["in"] == "query" and (kind := types.pop()) in WRONG_TEXTS:
                    yield method, path, parameter["name"], kind


QUERY = list(query_parameters())


def test_the_document_has_the_parameters_that_there_are():
    assert {name for _, _, name, _ in QUERY} == {
        *("limit", "tail", "follow", "from_beginning", "force", "page", "page_size"),
        *("mine", "total", "stored"),
        *("offset", "end", "every", "line", "exact_case", "timestamps"),
    }
    bodies = [
        operation.get("requestBody", {"content": {}})["content"]
        for operations in create_app().openapi()["paths"].values()
        for operation in operations.values()
    ]
    assert {kind for body in bodies for kind in body} == {"multipart/form-data", JSON}, (
        "a body of another kind has to be read strictly, too: test its fields as test_wrong_types "
        "of the unit tests does"
    )


def test_json_bodies_are_of_shapes_that_know_their_fields():
    """`read_json_body` is strict about everything else."""
    for operations in create_app().openapi()["paths"].values():
        for operation in operations.values():
            content = operation.get("requestBody", {"content": {}})["content"]
            if JSON in content:
                assert content[JSON]["schema"]["additionalProperties"] is False


@pytest.mark.parametrize(("method", "path", "name", "kind"), QUERY)
def test_a_query_parameter_of_a_wrong_type_is_refused_and_named(idle, method, path, name, kind):
    server, job_id = idle
    url = path.replace("{job_id}", job_id)
    for text in WRONG_TEXTS[kind]:
        answer = server.http.request(method, url, params={name: text})
        refused(answer, "invalid_request", f"{name}: ")


@pytest.mark.parametrize(("method", "path", "name", "kind"), QUERY)
def test_a_repeated_query_parameter_is_refused_and_named(idle, method, path, name, kind):
    server, job_id = idle
    url = path.replace("{job_id}", job_id)
    right = {"integer": "5", "boolean": "false"}[kind]
    answer = server.http.request(method, url, params=[(name, right), (name, right)])
    refused(answer, "invalid_request", f"{name}: is given more than once")


PROBES = ("/health", "/ready", "/api/v1/health", "/api/v1/health/ready")
EVERY = [
    (method, path)
    for path, operations in create_app().openapi()["paths"].items()
    for method in operations
    if path not in PROBES
]


@pytest.mark.parametrize(("method", "path"), EVERY)
def test_a_query_parameter_that_means_nothing_is_refused_and_named(idle, method, path):
    """Ignored, it would be answered with something other than what was asked for."""
    server, job_id = idle
    before = server.rows()
    url = path.replace("{job_id}", job_id).replace("{path}", "a")
    for name in ("no-such", "Offset", "x\x1b"):
        answer = server.http.request(method, url, params={name: "5"})
        shown = name if name.isprintable() else r"'x\x1b'"
        refused(answer, "invalid_request", f"{shown}: is not a parameter of this request")
    assert server.rows() == before


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/jobs/{}/stream", "follow"),
        ("/jobs/{}/stream", "tail"),
        ("/jobs/{}/logs", "from_beginning"),
        ("/jobs", "offset"),
    ],
)
def test_a_query_parameter_of_another_route_is_refused(idle, path, name):
    server, job_id = idle
    answer = server.http.get(path.format(job_id), params={name: "1"})
    refused(answer, "invalid_request", f"{name}: is not a parameter of this request")


@pytest.mark.parametrize("path", [*PROBES, "/", "/docs", "/openapi.json"])
def test_what_is_for_everybody_ignores_parameters(idle, path):
    """Load balancers and browsers append some, to get past caches."""
    server, _ = idle
    plain = httpx.get(f"{server.url}{path}", trust_env=False, timeout=60)
    for query in ("?_=1732749600", "?a=1&a=2", "?token=a&token=b", "?" + "x=y&" * 100, "?%00=%ff"):
        answer = httpx.get(f"{server.url}{path}{query}", trust_env=False, timeout=60)
        assert answer.status_code == plain.status_code
        assert answer.status_code in (200, 503)
        if answer.status_code == 200:
            assert answer.text == plain.text


def test_a_repeated_token_is_refused_before_anybody_is_let_in(idle):
    server, job_id = idle
    for path in (f"/jobs/{job_id}", f"/jobs/{job_id}/artifacts", "/usage"):
        answer = httpx.get(f"{server.url}{path}?token=a&token=b", trust_env=False, timeout=60)
        refused(answer, "invalid_request", "token: is given more than once")
        assert "WWW-Authenticate" not in answer.headers
