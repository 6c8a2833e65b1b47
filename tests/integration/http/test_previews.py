"""Previews of artifacts over HTTP; what a browser makes of them is tried in tests/e2e/dashboard."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlsplit

import httpx
import pytest

from ci_common.job import JobStatus
from ci_common.principal import LOCAL_PRINCIPAL
from ci_persistence.files.signed_url_keys import SignedUrlKeys
from ci_server.access.auth.job_grants import JobGrants
from ci_server.http.preview_document import PAGE_SCRIPT
from ci_server.services.previews import PREFIX
from support.instances import Instance
from support.live_server import LiveServer
from support.raw_http import connected, parsed, rest, send

ODD = "d/a b%2F..;ü\n#?.txt"
PAGE = b"\xef\xbb\xbf<!-- x -->\n<!DOCTYPE html>\n<title>t</title>" + b"x" * 100_000
FILES = {
    "htmlcov/index.html": PAGE,
    "index.html": b"<!--><script>evil()</script>--><!doctype html>",
    "utf16.html": "\ufeff<script>evil()</script>".encode("utf-16-le"),
    ODD: b"odd",
    "notes.py": b"# \xc3\xbc\n" * 2000,
    "rows.csv": b"a,b\n",
    "data": bytes(range(256)) * 40,
    "picture.svg": b"<svg/>",
    "x.pdf": b"%PDF",
}
TYPES = {
    "htmlcov/index.html": "text/html; charset=utf-8",
    ODD: "text/plain; charset=utf-8",
    "notes.py": "text/plain; charset=utf-8",
    "rows.csv": "text/plain; charset=utf-8",
    "data": "application/octet-stream",
    "picture.svg": "image/svg+xml",
    "x.pdf": "application/pdf",
}
BROWSER = {"Accept": "text/html,*/*;q=0.8"}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A server, which has a name of its own for the outside; a job; and the path of its preview."""
    directory = tmp_path_factory.mktemp("previews")
    job = Instance(directory).add(artifacts=FILES)
    address = "https://ci.example/runner"
    with LiveServer(directory, controller="external", public_url=address) as server:
        server.start()
        told = server.http.post(f"{server.url}/jobs/{job[:8]}/previews")
        assert told.status_code == 201
        assert told.json()["url"].startswith(f"{address}/preview/{PREFIX}")
        yield server, job, urlsplit(told.json()["url"]).path.removeprefix("/runner")


def get(world, path, method="GET", **headers):
    server, _, preview = world
    return httpx.request(
        method, f"{server.url}{preview}{quote(path)}", headers=headers, trust_env=False, timeout=60
    )


def sealed(world, expires_at, attempt=1, keys=None):
    """A grant as the server makes one."""
    server, job, _ = world
    grants = JobGrants(PREFIX, "preview", keys or SignedUrlKeys(server.data).keys)
    return grants.seal(LOCAL_PRINCIPAL, job, expires_at, attempt)


def test_files_are_as_the_job_left_them(world):
    for path, kind in TYPES.items():
        answer = get(world, path)
        assert (answer.status_code, answer.headers["content-type"]) == (200, kind), path
        shown = "attachment" if path == "data" else "inline"
        assert answer.headers["content-disposition"].startswith(shown)
        if not path.endswith(".html"):
            assert answer.content == FILES[path]
            assert "allow-scripts" not in answer.headers["content-security-policy"]
        again = get(world, path, **{"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        of_answer = answer.headers["content-security-policy"]
        assert again.headers["content-security-policy"] == of_answer
        head = get(world, path, "HEAD")
        assert head.headers["content-length"] == str(len(answer.content))


def test_headers_keep_it_apart(world):
    server, _, preview = world
    headers = get(world, "htmlcov/").headers
    policy = dict(
        part.strip().partition(" ")[::2] for part in headers["content-security-policy"].split(";")
    )
    assert policy["sandbox"] == "allow-scripts"
    assert (policy["default-src"], policy["frame-ancestors"]) == ("'none'", "'self'")
    own = [f"{server.url}{preview}", f"https://ci.example/runner{preview}"]
    assert policy["connect-src"].split() == [*own, "data:", "blob:"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["connection-allowlist"] == "(response-origin)"
    assert "set-cookie" not in headers


def test_a_page_gets_our_script_behind_its_doctype_and_ranges_see_it(world):
    place = PAGE.index(b"html>") + len(b"html>")
    whole = PAGE[:place] + PAGE_SCRIPT + PAGE[place:]
    assert get(world, "htmlcov/index.html").content == whole
    edges = (0, 1, place - 1, place, place + 1, place + len(PAGE_SCRIPT), len(whole) - 1)
    for first in edges:
        for last in edges:
            if first <= last:
                part = get(world, "htmlcov/index.html", Range=f"bytes={first}-{last}")
                assert (part.status_code, part.content) == (206, whole[first : last + 1])


def test_no_script_of_a_page_runs_before_ours(world):
    """Neither one in what is no comment to a browser, nor one in another encoding."""
    assert get(world, "index.html").content.startswith(PAGE_SCRIPT)
    other = get(world, "utf16.html")
    assert other.content == FILES["utf16.html"]
    assert "allow-scripts" not in other.headers["content-security-policy"]


def test_a_directory_is_its_index(world):
    assert get(world, "").content.endswith(FILES["index.html"])
    answer = get(world, "htmlcov")
    assert (answer.status_code, answer.headers["location"]) == (307, "./htmlcov/")
    assert get(world, "htmlcov/?v=1&v=2").status_code == 404  # quoted: a name
    assert get(world, "d").status_code == 404


def test_nothing_else_can_be_had(world):
    server, job, preview = world
    for path in ("gone", "%2e%2e/index.html", "..%2findex.html", "/etc/passwd", "htmlcov%00",
                 "htmlcov/../index.html", "../../../../etc/passwd", "htmlcov/%2e"):  # fmt: skip
        with connected(server) as connection:  # as it is; libraries resolve such paths themselves
            send(connection, f"GET {preview}{path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
            status, _, body = parsed(rest(connection))
        assert (status, json.loads(body)["error"]["code"]) == (404, "artifact_not_found"), path
    raw = httpx.get(
        f"{server.url}/jobs/{job}/artifacts/htmlcov/index.html", trust_env=False, timeout=60
    )
    assert raw.headers["content-disposition"].startswith("attachment")
    assert raw.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"


def test_a_grant_that_is_none_or_has_expired(world):
    server, _, preview = world
    now = datetime.now(UTC)
    good = preview.split("/")[2]
    cases = {
        good[:-1]: "invalid_grant",
        good.swapcase(): "invalid_grant",
        "st1" + good[3:]: "invalid_grant",
        sealed(world, now + timedelta(hours=1), keys=lambda: [b"x" * 32]): "invalid_grant",
        sealed(world, now + timedelta(hours=1), attempt=2): "invalid_grant",
        sealed(world, now - timedelta(seconds=1)): "grant_expired",
    }
    for grant, code in cases.items():
        address = f"{server.url}/preview/{grant}/htmlcov/"
        answer = httpx.get(address, trust_env=False, timeout=60)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, code), grant
        page = httpx.get(address, headers=BROWSER, trust_env=False, timeout=60)
        assert (page.status_code, page.headers["content-type"]) == (403, "text/html; charset=utf-8")
        assert "Open the artifact again" in page.text
        assert "frame-ancestors 'self'" in page.headers["content-security-policy"]
    # Nor is it of use anywhere else, or in the log.
    assert server.http.get(f"{server.url}/jobs", params={"token": good}).status_code == 401
    assert good not in server.log_path.read_text()


def test_a_job_that_has_not_ended_has_none_yet(tmp_path):
    instance = Instance(tmp_path)

    async def fill():
        async with instance.opened() as database:
            return await instance.add_to(database, JobStatus.RUNNING)

    job = asyncio.run(fill())
    with LiveServer(tmp_path, controller="external") as server:
        server.start()
        url = server.http.post(f"{server.url}/jobs/{job}/previews").json()["url"]
        answer = server.http.get(f"{url}index.html")
        assert answer.json()["error"]["code"] == "artifact_not_found"
