"""The page that shows the API, without any other server."""

import re
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import pytest

from ci_server.connections.reserve import PROBE_PATHS
from support.browser import answers, needs_browser, rendered
from support.live_server import LiveServer

NO_ENGINE = {"DOCKER_HOST": "unix:///nonexistent/docker.sock"}
USERS = {
    "jwt_issuer": "https://issuer.invalid",
    "jwt_audience": "ci",
    "metrics": "operators",  # and not every program on this machine
}
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".json": "application/json",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """With users, so that everything but the page asks who one is."""
    with LiveServer(
        tmp_path_factory.mktemp("docs"),
        hardened=True,
        controller="external",
        environment=NO_ENGINE,
        **USERS,
    ) as server:
        yield server.start()


class Links(HTMLParser):
    """Every address in a page, and whether it has scripts or styles inside."""

    def __init__(self, text):
        super().__init__()
        self.found, self.scripts = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.found += [given[name] for name in ("src", "href", "action") if name in given]
        if tag in ("script", "style"):
            self.scripts.append(given.get("src"))
        assert not [name for name in given if name.startswith("on") or name == "style"]


def test_everything_the_page_names_is_here(server):
    page = server.http.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    links = Links(page.text)
    assert None not in links.scripts
    assert len(links.found) >= 5
    for link in links.found:
        assert not urlsplit(link).netloc
        answer = server.http.get(urljoin("/docs", link))
        assert answer.status_code == 200
        assert answer.headers["content-type"] == TYPES[re.search(r"\.\w+$", link)[0]]
        assert len(answer.content) > 50
    assert "://" not in page.text
    script = server.http.get("/docs/assets/docs.js").text
    assert "://" not in script
    assert "validatorUrl: null" in script
    assert server.http.get(urljoin("/docs", "openapi.json")).json()["openapi"]


def test_the_page_may_load_nothing_else(server):
    policy = server.http.get("/docs").headers["content-security-policy"]
    directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert directives["default-src"] == "'none'"
    assert directives["script-src"] == directives["connect-src"] == "'self'"
    assert "unsafe" not in policy
    assert directives["frame-ancestors"] == "'none'"
    assert not re.search(r"https?:|\*", policy)


@pytest.mark.parametrize(
    "name", ["index.html", "docs.py", "../routes.py", "%2e%2e/routes.py", "__init__.py", "x", ""]
)
def test_other_files_are_not_served(server, name):
    assert server.http.get(f"/docs/assets/{name}").status_code == 404


def test_a_browser_keeps_the_assets(server):
    first = server.http.get("/docs/assets/swagger-ui-bundle.js")
    again = {"If-None-Match": first.headers["etag"]}
    assert server.http.get("/docs/assets/swagger-ui-bundle.js", headers=again).status_code == 304


def test_all_but_these_asks_who_one_is(server):
    for path in ("/", "/health", "/docs", "/docs/assets/docs.js", "/openapi.json"):
        assert server.http.get(path).status_code == 200
    for path, operations in server.http.get("/openapi.json").json()["paths"].items():
        for method in operations:
            if path not in (*PROBE_PATHS, "/artifacts/{job_id}/{path}", "/session"):
                ids = dict.fromkeys(("job_id", "run_id", "session_id", "path"), "x")
                answer = server.http.request(method, path.format(**ids))
                assert answer.status_code == 401, path


@needs_browser
def test_a_browser_shows_it(server, tmp_path):
    """It lists the operations, breaks no rule of the page's policy, and asks only this server."""
    page, console = rendered(tmp_path, f"http://localhost:{server.port}/docs")
    for shown in ("/submit-async", "stream", "Stream Job"):
        assert shown in page
    assert [line for line in console.splitlines() if "CONSOLE" in line] == []
    assert answers(server)["GET /openapi.json"][-1] == 200
