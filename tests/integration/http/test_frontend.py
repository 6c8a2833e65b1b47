"""`GET /`, and a static site of the operator's, at a real server with users."""

import os
import subprocess
import sys
import time
from email.utils import formatdate

import pytest

from ci_server.telemetry.service import VERSION
from support.live_server import ROOT, LiveServer
from support.raw_http import connected, parsed, rest, send

NO_ENGINE = {"DOCKER_HOST": "unix:///nonexistent/docker.sock"}
USERS = {"jwt_issuer": "https://issuer.invalid", "jwt_audience": "ci"}
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
ABOUT = {"service": "ci-runner", "version": VERSION, "docs": "/docs"}
SECRET = "not for the web"

FILES = {
    "index.html": "<!doctype html><title>first page</title>",
    "app.js": "console.log(1)",
    "module.mjs": "export {}",
    "style.css": "a {}",
    "data.json": "{}",
    "picture.SVG": "<svg/>",
    "font.woff2": "x",
    "code.wasm": "x",
    "site.webmanifest": "{}",
    "unknown.xyz": "x",
    "empty.txt": "",
    "with space + plus.txt": "spaced",
    "guide/index.html": "the guide",
    "jobs/shadow.txt": SECRET,
    "v0/notes.txt": "not of the API",
    ".env": SECRET,
    ".git/config": SECRET,
    ".well-known/security.txt": "Contact: x",
}
TYPES = {
    "app.js": "text/javascript; charset=utf-8",
    "module.mjs": "text/javascript; charset=utf-8",
    "style.css": "text/css; charset=utf-8",
    "data.json": "application/json",
    "picture.SVG": "image/svg+xml",
    "font.woff2": "font/woff2",
    "code.wasm": "application/wasm",
    "site.webmanifest": "application/manifest+json",
    "unknown.xyz": "application/octet-stream",
    "empty.txt": "text/plain; charset=utf-8",
    "guide/": "text/html; charset=utf-8",
    ".well-known/security.txt": "text/plain; charset=utf-8",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A directory with a site, with links that lead out of it, and secrets beside it."""
    place = tmp_path_factory.mktemp("site")
    directory = place / "site"
    for name, content in FILES.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (directory / "big.bin").write_bytes(bytes(range(256)) * 4096)
    for beside in (place / "secret.txt", place / "site-2" / "secret.txt"):
        beside.parent.mkdir(exist_ok=True)
        beside.write_text(SECRET)
    (directory / "inside.js").symlink_to("app.js")
    (directory / "out.txt").symlink_to("../secret.txt")
    (directory / "absolute.txt").symlink_to("/etc/passwd")
    (directory / "up").symlink_to("..")
    (directory / "circle").symlink_to("circle")
    os.mkfifo(directory / "pipe")
    return directory


@pytest.fixture(scope="module")
def server(site, tmp_path_factory):
    with LiveServer(
        tmp_path_factory.mktemp("server"),
        hardened=True,
        controller="external",
        environment=NO_ENGINE,
        frontend_dir=site,
        **USERS,
    ) as server:
        yield server.start()


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    with LiveServer(
        tmp_path_factory.mktemp("bare"),
        hardened=True,
        controller="external",
        environment=NO_ENGINE,
        **USERS,
    ) as server:
        yield server.start()


# ------------------------------------------------------------------ GET /


@pytest.mark.parametrize(
    "accept",
    [
        None,
        "*/*",
        "application/json",
        "application/json, text/html;q=0.5",
        "text/html;q=0",
        "text/*",
        "text/plain",
        "text/html;q=nan, */*",
        "text/html;q=x",
        ",;,",
    ],
)
def test_programs_are_told_what_this_is(server, bare, accept):
    for each in (server, bare):
        answer = each.http.get("/", headers={} if accept is None else {"Accept": accept})
        assert (answer.status_code, answer.json()) == (200, ABOUT)
        assert "Accept" in answer.headers["vary"]
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("accept", [BROWSER["Accept"], "text/html", "TEXT/HTML ; q=0.7, a/b"])
def test_browsers_get_the_site_or_the_page_of_the_api(server, bare, accept):
    page = server.http.get("/", headers={"Accept": accept})
    assert (page.status_code, page.text) == (200, FILES["index.html"])
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    elsewhere = bare.http.get("/", headers={"Accept": accept})
    assert (elsewhere.status_code, elsewhere.headers["location"]) == (307, "ui/")
    for answer in (page, elsewhere):
        assert answer.headers["vary"] == "Accept"


def test_head_of_the_first_page(server):
    head = server.http.head("/", headers=BROWSER)
    whole = server.http.get("/", headers=BROWSER)
    assert (head.status_code, head.content) == (200, b"")
    for name in ("content-length", "content-type", "etag", "last-modified"):
        assert head.headers[name] == whole.headers[name]
    assert server.http.head("/").headers["content-type"] == "application/json"


# ------------------------------------------------------------------ files


@pytest.mark.parametrize("path", TYPES)
def test_files_have_their_types(server, path):
    answer = server.http.get(f"/{path}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == TYPES[path]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "script-src" not in answer.headers["content-security-policy"]
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"


def test_names_are_decoded_once(server):
    assert server.http.get("/with%20space%20%2B%20plus.txt").text == "spaced"
    assert server.http.get("/app%2ejs").text == FILES["app.js"]
    assert server.http.get("/app%252ejs").status_code == 404
    assert server.http.get("/inside.js").text == FILES["app.js"]
    assert server.http.get("/v0/notes.txt").text == FILES["v0/notes.txt"]


def test_a_browser_that_has_the_file_is_told_so(server, site):
    first = server.http.get("/app.js")
    assert first.headers["cache-control"] == "no-cache"
    tag, modified = first.headers["etag"], first.headers["last-modified"]
    later, before = formatdate(time.time() + 9, usegmt=True), "Thu, 01 Jan 1970 00:00:00 GMT"
    for headers, status in [
        ({"If-None-Match": tag}, 304),
        ({"If-None-Match": f'"x", W/{tag}'}, 304),
        ({"If-None-Match": "*"}, 304),
        ({"If-None-Match": '"x"'}, 200),
        ({"If-None-Match": '"x"', "If-Modified-Since": modified}, 200),
        ({"If-None-Match": tag, "If-Modified-Since": before}, 304),
        ({"If-Modified-Since": modified}, 304),
        ({"If-Modified-Since": later}, 304),
        ({"If-Modified-Since": before}, 200),
        ({"If-Modified-Since": "yesterday"}, 200),
        ({"If-Modified-Since": "Thu, 01 Jan 2099 00:00:00 -0000"}, 200),
    ]:
        for method in ("GET", "HEAD"):
            answer = server.http.request(method, "/app.js", headers=headers)
            assert answer.status_code == status, headers
            assert answer.headers["etag"] == tag
    os.utime(site / "app.js", (1e9, 1e9))
    changed = server.http.get("/app.js", headers={"If-None-Match": tag})
    assert changed.status_code == 200
    assert changed.headers["last-modified"] == "Sun, 09 Sep 2001 01:46:40 GMT"


def test_head_and_ranges(server, site):
    content = (site / "big.bin").read_bytes()
    head = server.http.head("/big.bin")
    assert (head.status_code, head.headers["content-length"]) == (200, str(len(content)))
    assert head.headers["accept-ranges"] == "bytes"
    assert server.http.get("/big.bin").content == content
    part = server.http.get("/big.bin", headers={"Range": "bytes=1000-1999"})
    assert (part.status_code, part.content) == (206, content[1000:2000])
    assert part.headers["content-range"] == f"bytes 1000-1999/{len(content)}"
    other = {"Range": "bytes=1000-1999", "If-Range": '"x"'}
    assert server.http.get("/big.bin", headers=other).content == content
    assert server.http.get("/big.bin", headers={"Range": "bytes=9999999-"}).status_code == 416
    assert server.http.get("/empty.txt").content == b""


@pytest.mark.parametrize(
    "target",
    [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/guide/../../secret.txt",
        "/guide/%2e%2e/%2e%2e/secret.txt",
        "/%2e%2e/site-2/secret.txt",
        "/..\\secret.txt",
        "/..%5csecret.txt",
        "//etc/passwd",
        "/%2fetc/passwd",
        "///etc/passwd",
        "/./app.js",
        "/guide//index.html",
        "/out.txt",
        "/absolute.txt",
        "/up/secret.txt",
        "/circle",
        "/pipe",
        "/guide",
        "/app.js/",
        "/app.js/x",
        "/app.js%00",
        "/%00",
        "/" + "a" * 300,
        "/" + "a/" * 3000,
        "/%ff%fe",
        "/.env",
        "/.git/config",
        "/.well-known/",
        "/missing.js",
        "/jobs/shadow.txt",
        "/docs/x",
        "/health/x",
        "/openapi.json/x",
    ],
)
def test_what_is_not_of_the_site_is_not_found(server, target):
    """By hand, because clients tidy such paths."""
    for accept in ("*/*", BROWSER["Accept"]):
        lines = [f"GET {target} HTTP/1.1", "Host: localhost", f"Accept: {accept}"]
        with connected(server) as connection:
            send(connection, "\r\n".join([*lines, "Connection: close", "", ""]).encode())
            status, headers, body = parsed(rest(connection))
        assert SECRET.encode() not in body
        assert b"root:" not in body
        of_api = target.split("/")[1] in ("jobs", "docs", "health", "openapi.json")
        if of_api and target == "/jobs/shadow.txt":
            assert status == 401  # it is a job's address, and nobody is logged in
        elif of_api or accept == "*/*":
            assert (status, headers["content-type"]) == (404, "application/json")
        else:
            assert (status, body.decode()) == (200, FILES["index.html"])


def test_paths_of_the_sites_own_are_its_first_page(server):
    for path in ("/overview", "/a/b/c?x=1", "/guide"):
        page = server.http.get(path, headers=BROWSER)
        assert (page.status_code, page.text) == (200, FILES["index.html"])
    assert server.http.head("/overview", headers=BROWSER).status_code == 200
    assert server.http.get("/overview").status_code == 404


def test_the_api_stays_as_it_is(server, bare):
    for method, path in [
        ("GET", "/jobs"),
        ("GET", "/jobs/x/nothing"),
        ("GET", "/usage"),
        ("GET", "/submit"),
        ("HEAD", "/health"),
        ("POST", "/overview"),
        ("PUT", "/app.js"),
        ("OPTIONS", "/"),
        ("DELETE", "/"),
    ]:
        answers = [each.http.request(method, path, headers=BROWSER) for each in (server, bare)]
        assert answers[0].status_code == answers[1].status_code, (method, path)
        assert "<title>" not in answers[0].text
    assert server.http.get("/jobs", headers=BROWSER).status_code == 401
    assert bare.http.get("/overview", headers=BROWSER).status_code == 404


@pytest.mark.parametrize("what", ["missing", "empty", "file"])
def test_a_site_that_is_none_is_told_at_the_start(tmp_path, what):
    place = tmp_path / what
    if what == "empty":
        place.mkdir()
    elif what == "file":
        place.write_text("x")
    ended = subprocess.run(
        [sys.executable, "-m", "ci_server", "--port", "0"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "CI_FRONTEND_DIR": str(place)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode != 0
    assert f"CI_FRONTEND_DIR: there is no file index.html in {place}" in ended.stderr
    assert "Traceback" not in ended.stderr
