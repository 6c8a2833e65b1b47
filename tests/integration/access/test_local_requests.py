"""A server without users, and every route of it: whose requests it takes for its own machine's.

The routes are those of the application's table. What a browser sends for web pages is written by
hand here; tests/integration/http/test_web_pages.py has a browser do it.
"""

import httpx
import pytest

from ci_server.apis.native.openapi import access_of, routes_of
from ci_server.app import create_app
from support import projects
from support.live_server import LiveServer
from support.raw_http import connected, parsed, rest, send

NO_ENGINE = {"DOCKER_HOST": "unix:///nonexistent/docker.sock"}
LISTED = "https://listed.example"

ROUTES = {
    f"{method} {route.path_format}": access_of(route)
    for route in routes_of(create_app())
    for method in sorted(route.methods)
}

HOST = ("Host", "localhost:8000")


def fetched(site, mode, dest):
    return [("Sec-Fetch-Site", site), ("Sec-Fetch-Mode", mode), ("Sec-Fetch-Dest", dest)]


REFUSED = {
    "an image of another site": [HOST, *fetched("cross-site", "no-cors", "image")],
    "an image of another port": [HOST, *fetched("same-site", "no-cors", "image")],
    "a frame": [HOST, *fetched("cross-site", "navigate", "iframe")],
    "fetch": [HOST, ("Origin", "https://evil.example"), *fetched("cross-site", "cors", "empty")],
    "fetch of a page without origin": [HOST, ("Origin", "null")],
    "a form of another port": [HOST, ("Origin", "http://localhost:3000")],
    "an old browser's form": [HOST, ("Origin", "https://evil.example")],
    "a name that resolves to this machine": [
        ("Host", "evil.example:8000"),
        *fetched("same-origin", "cors", "empty"),
    ],
    "two hosts": [HOST, ("Host", "evil.example")],
    "the same host twice": [HOST, HOST],
    "a host with a user": [("Host", "localhost:80@evil.example")],
    "a host in brackets, and more": [("Host", "[::1]evil.example")],
    "an empty host": [("Host", "")],
    "an escaped host": [("Host", "local%68ost")],
    "a proxy": [HOST, ("X-Forwarded-For", "192.0.2.7")],
    "a proxy that names the host": [HOST, ("X-Forwarded-Host", "ci.example.com")],
    "a proxy by its name": [HOST, ("Via", "1.1 proxy")],
}
UPGRADE = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="),
]
WEBSOCKET = [
    HOST,
    ("Origin", "https://evil.example"),
    *UPGRADE,
    *fetched("cross-site", "websocket", "websocket"),
]
LINK = [HOST, *fetched("cross-site", "navigate", "document")]
SERVED = {
    "a program": [HOST],
    "one that speaks HTTP/1.0": [],
    "an upper-case host": [("Host", "LOCALHOST.:8000")],
    "an IPv6 address": [("Host", "[::1]:8000")],
    "our own page": [HOST, ("Origin", "http://localhost:8000")],
    "the address bar": [HOST, *fetched("none", "navigate", "document")],
    "a page of a listed origin": [HOST, ("Origin", LISTED), *fetched("cross-site", "cors", "x")],
}


@pytest.fixture(scope="module", params=[True, False], ids=["python -m ci_server", "uvicorn"])
def local(request, tmp_path_factory):
    """A server without users, with a job that waits, and the id of that."""
    settings = {"controller": "external", "cors_origins": LISTED}
    with LiveServer(
        tmp_path_factory.mktemp("local"), hardened=request.param, environment=NO_ENGINE, **settings
    ) as server:
        server.start()
        yield server, server.submit(projects.ANY)


def ask(server, job_id, name, headers, target="{path}"):
    """Status and text of the answer; of a stream that goes on only the head."""
    method, path = name.split(" ")
    ids = {"job_id": job_id, "run_id": "run_0123456789ab", "session_id": "0123456789ab"}
    path = path.format(**ids, path="nothing", grant="pv1.e30.x")
    if path.endswith("/search"):
        path += "?q=text"
    form = server.form(projects.ANY) if path.startswith("/submit") else {}
    if path == "/graphql":
        form = {"json": {"query": "{jobs{total}}"}}
    request = httpx.Request(method, server.url, **form)
    sent = [*headers, ("Content-Length", str(len(request.read())))]
    if form:
        sent.append(("Content-Type", request.headers["Content-Type"]))
    version = "1.1" if any(header == "Host" for header, _ in headers) else "1.0"
    head = [f"{method} {target.format(path=path)} HTTP/{version}", *map(": ".join, sent)]
    with connected(server) as connection:
        send(connection, "\r\n".join([*head, "", ""]).encode() + request.content)
        answer = connection.recv(1 << 16)
        if answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5")):
            connection.shutdown(1)
            answer += rest(connection)
        return answer


def check_refused(answer, code="not_local", status=403, *, of_head=False):
    found, _, body = parsed(answer)
    assert found == status, answer
    if body or not of_head:
        assert f'"code":"{code}"' in body.decode().replace(": ", ":"), answer


@pytest.mark.parametrize("name", [name for name, access in ROUTES.items() if access])
def test_pages_and_proxies_are_refused_on_every_route(local, name):
    server, job_id = local
    before, job, of_head = server.rows(), server.job(job_id), name.startswith("HEAD")
    for who, headers in REFUSED.items():
        try:
            check_refused(ask(server, job_id, name, headers), of_head=of_head)
        except AssertionError as error:
            raise AssertionError(f"{who}: {error}") from None
    if not name.startswith("GET"):
        check_refused(ask(server, job_id, name, LINK), of_head=of_head)
    assert (server.rows(), server.job(job_id)) == (before, job)


@pytest.mark.parametrize("name", ROUTES)
def test_programs_are_served_on_every_route(local, name):
    server, job_id = local
    callers = {**SERVED, "a link": LINK} if name.startswith("GET") else SERVED
    for who, headers in callers.items():
        status = parsed_status(ask(server, job_id, name, headers))
        if name.endswith((" /artifacts/{job_id}/{path}", " /preview/{grant}/{path}")):
            assert status == 403, who  # for want of a signature, whoever asks
        elif name in ("POST /session", "DELETE /session"):
            # Cookies are for our own pages only; and nothing is sent to sign in with.
            is_listed = ("Origin", LISTED) in callers[who]
            assert status == (403 if is_listed else 400 if name.startswith("POST") else 204), who
        else:
            assert status not in (400, 401, 403), who


def parsed_status(answer):
    assert answer.startswith(b"HTTP/1.1 "), answer
    return int(answer.split()[1])


@pytest.mark.parametrize("name", [name for name, access in ROUTES.items() if access is None])
def test_routes_for_everybody_tell_pages_nothing(local, name):
    """They are served, but no browser gives the answer to a page of another origin."""
    server, job_id = local
    for headers in REFUSED.values():
        _, found, _ = parsed(ask(server, job_id, name, [*headers, ("Connection", "close")]))
        assert "access-control-allow-origin" not in found
        assert found["cross-origin-resource-policy"] == "same-origin"


STREAM = "GET /jobs/{job_id}/stream"


@pytest.mark.parametrize("name", [name for name in ROUTES if name.startswith("GET /jobs")])
def test_only_the_stream_is_a_websocket(local, name):
    server, job_id = local
    if name != STREAM:
        check_refused(ask(server, job_id, name, WEBSOCKET), "not_found", 404)


def test_pages_of_other_sites_open_no_websocket(local):
    """Browsers ask no server whether one may be opened, and give the page what comes."""
    server, job_id = local
    check_refused(ask(server, job_id, STREAM, WEBSOCKET))
    for who, headers in REFUSED.items():
        host = [header for header in headers if header[0] == "Host"]
        others = [header for header in headers if header[0] != "Host"]
        try:
            check_refused(ask(server, job_id, STREAM, [*host, *UPGRADE, *others]))
        except AssertionError as error:
            raise AssertionError(f"{who}: {error}") from None


def test_programs_and_our_own_pages_open_websockets(local):
    server, job_id = local
    for origin in ([], [("Origin", "http://localhost:8000")], [("Origin", LISTED)]):
        answer = ask(server, job_id, STREAM, [HOST, *UPGRADE, *origin])
        assert parsed_status(answer) == 101, (origin, answer)


def test_where_everybody_is_let_in_pages_of_other_sites_open_no_websocket(own_server):
    """They could send requests, but not read what comes back."""
    settings = {"controller": "external", "insecure": "true", "environment": NO_ENGINE}
    server = own_server(hardened=True, **settings).start()
    job_id = server.submit(projects.ANY)
    check_refused(ask(server, job_id, STREAM, WEBSOCKET), "forbidden")
    assert parsed_status(ask(server, job_id, STREAM, [HOST, *UPGRADE])) == 101


@pytest.mark.parametrize("host", [HOST, None])
@pytest.mark.parametrize(
    "target", ["http://evil.example{path}", "http://localhost:8000@evil.example{path}"]
)
def test_a_target_of_another_host_is_refused(own_server, target, host):
    server = own_server(hardened=True, controller="external", environment=NO_ENGINE).start()
    headers = [host] if host else []
    check_refused(ask(server, "", "GET /jobs", headers, target), "bad_request", 400)
    same = ask(server, "", "GET /jobs", [HOST], "http://localhost:8000{path}")
    assert parsed_status(same) == 200
