"""How pages come to be shown: in how few requests, which of them early, and what is kept.

Counts, not times: each request is a round trip for somebody.
"""

import re

import pytest
from playwright.sync_api import expect

from support import projects
from support.browser import opened_page
from support.log_page import open_job, row

pytestmark = pytest.mark.docker

LOADED = "performance.getEntriesByType('resource').map((each) => each.toJSON())"


@pytest.fixture(scope="module")
def job_id(server):
    job_id = server.submit(projects.ANY, projects.shell("seq 100000; echo the end"))
    server.finished(job_id)
    return job_id


def asked_for(page):
    """The paths of what the page asks for, in their order, as they come."""
    found = []
    page.on("request", lambda request: found.append(re.sub(r"^\w+://[^/]+", "", request.url)))
    return found


@pytest.mark.parametrize("which", ["job", "jobs"])
def test_data_is_asked_for_while_modules_are_loaded(server, job_id, page, which):
    """The largest file is held back until all that is shown first was answered."""
    place, data = {
        "job": (f"jobs/{job_id}", [f"/jobs/{job_id}/logs", f"/jobs/{job_id}", "/session"]),
        "jobs": ("?outcome=passed", ["/jobs?outcome=passed&limit=50", "/session", "/whoami"]),
    }[which]
    held = []
    page.route("**/events?*", lambda route: held.append(route))  # it has the list read again
    page.route(f"**/joined/{which}.js", lambda route: held.append(route))
    found = asked_for(page)
    answered = []
    page.on("response", lambda response: answered.append(response.url.removeprefix(server.url)))
    page.goto(f"{server.url}/ui/{place}", wait_until="commit")
    while not set(data) <= set(answered):
        page.wait_for_event("response")
    (modules,) = held
    modules.fallback()
    shown = row(page, "the end") if which == "job" else page.locator(".job-link").first
    expect(shown).to_be_visible()
    assert [found.count(path) for path in data] == [1] * len(data), found
    files = [path for path in found if "/assets/" in path and "later" not in path]
    assert len(files) <= 5, files


def test_a_second_visit_asks_for_no_file_again(server, job_id, page):
    page.context.unroute_all()  # with routes a browser keeps nothing
    for _ in range(2):
        open_job(page, server, job_id)
        page.get_by_role("tab", name="Details").click()
        expect(page.get_by_role("heading", name="Settings")).to_be_visible()
    files = [each for each in page.evaluate(LOADED) if "/assets/" in each["name"]]
    assert len(files) >= 5
    assert not [each for each in files if each["transferSize"]], files


def test_a_part_that_cannot_be_loaded_says_so(server, job_id, browser):
    """For example, the server was updated since."""
    with opened_page(browser, expected=("net::ERR_FAILED",)) as page:
        page.route("**/joined/job.later.js", lambda route: route.abort())
        open_job(page, server, job_id)
        expect(row(page, "the end")).to_be_visible()
        page.get_by_role("tab", name="Details").click()
        expect(page.get_by_role("alert")).to_contain_text("could not be loaded")
        page.unroute("**/joined/job.later.js")
        with page.expect_navigation():
            page.get_by_role("button", name="Try again").click()
        page.get_by_role("tab", name="Details").click()
        expect(page.get_by_role("heading", name="Settings")).to_be_visible()


def test_files_are_kept_for_good_below_their_version_only(server):
    html = server.http.get("/ui/")
    assert html.headers["cache-control"] == "no-store"
    path = re.search(r'src="(assets/\w+/joined/jobs\.js)"', html.text)[1]
    packed = server.http.get(f"/ui/{path}")
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert packed.headers["vary"] == "Accept-Encoding"
    assert packed.headers["content-type"] == "text/javascript; charset=utf-8"
    for accepted in ("", "br", "gzip;q=0", "br, GZIP ; q=0.0, *;q=0"):
        plain = server.http.get(f"/ui/{path}", headers={"Accept-Encoding": accepted})
        assert "content-encoding" not in plain.headers, accepted
        assert plain.content == packed.content
    newest = server.http.get("/ui/assets/base.css")
    assert newest.headers["cache-control"] == "no-cache"
    of_another = server.http.get("/ui/assets/0123456789abcdef/base.css")
    assert (of_another.status_code, of_another.headers["cache-control"]) == (404, "no-store")
