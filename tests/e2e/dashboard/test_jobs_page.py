"""The list of jobs, live, in a real browser; the jobs are rows of a server that runs none."""

import json
import os
import re
from itertools import pairwise
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from support.browser import opened_page, paint_late
from support.live_server import LiveServer
from support.stored_jobs import StoredJobs, row

ANN, BOB = "ann@example.com", "bob@example.com"


@pytest.fixture(scope="module")
def idle(tmp_path_factory):
    """A server without a controller, so that jobs stay what they are."""
    with LiveServer(tmp_path_factory.mktemp("idle"), controller="external") as server:
        yield server.start()


@pytest.fixture
def jobs(idle):
    """Its jobs: none at first."""
    idle.execute("DELETE FROM jobs")
    return StoredJobs(idle)


def shown(page, names):
    """Wait until the list has exactly these jobs, in this order."""
    expect(page.locator(".job-link")).to_have_text(names.split())


def opened(page, server, query=""):
    page.goto(f"{server.url}/ui/{query}")
    page.locator(".job, .empty").first.wait_for()
    return page


def test_filters_are_in_the_address(idle, jobs, page):
    jobs.add(
        row("build", ago=5000, user=ANN, branch="main"),
        row("lint", ago=4000, user=BOB, exit_code=1, labels={"team": "core"}),
        row("test", ago=3000, user=ANN, exit_code=1, labels={"team": "core", "pr": "7"}),
        row("docs", ago=60, user=BOB, status="failed", message="no space left on device"),
    )
    opened(page, idle)
    shown(page, "docs test lint build")
    page.get_by_role("link", name="failed", exact=True).click()
    shown(page, "docs test lint")
    page.get_by_role("row", name="test").get_by_role("link", name="team core").click()
    shown(page, "test lint")
    page.get_by_role("button", name="Filters", exact=True).click()
    page.get_by_label("User").fill(BOB)
    shown(page, "lint")
    address = page.url
    page.reload()
    shown(page, "lint")
    page.go_back()
    shown(page, "test lint")
    page.go_back()
    shown(page, "docs test lint")
    page.get_by_label("Search jobs").fill("SPACE device")
    shown(page, "docs")
    page.get_by_role("button", name="Clear all filters").click()
    shown(page, "docs test lint build")
    page.get_by_role("button", name="Filters", exact=True).click()
    page.get_by_label("Submitted").select_option("in the last hour")
    shown(page, "docs test")
    page.goto(address)
    shown(page, "lint")
    page.get_by_role("button", name="Remove label team:core").click()
    page.get_by_role("button", name=f"Remove user {BOB}").click()
    shown(page, "docs test lint")
    page.get_by_label("Search jobs").fill("no such words")
    expect(page.get_by_role("heading", name="No job matches")).to_be_visible()


def test_what_the_server_says_of_a_filter_is_shown(idle, browser, jobs):
    with opened_page(browser, expected=("400",)) as page:
        page.goto(f"{idle.url}/ui/?label=without-a-colon")
        expect(page.get_by_role("alert")).to_contain_text("is not a label; write it as key:value")
        page.get_by_role("button", name="Remove label without-a-colon").click()
        expect(page.get_by_role("heading", name="No jobs yet")).to_be_visible()
        expect(page.locator(".empty")).to_contain_text(f"ci submit --server {idle.url}")


def test_events_change_the_rows_that_they_are_about_while_older_ones_stay(idle, jobs, page):
    jobs.add(*(row(f"old-{number}", ago=9000 - number) for number in range(60)))
    waiting, _ = jobs.add(
        row("waits", "queued", ago=3), row("later", "queued", ago=2, labels={"a": "b"})
    )
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    opened(page, idle)
    page.get_by_role("button", name="Load older jobs").click()
    expect(page.locator(".job")).to_have_count(62)
    later = page.get_by_role("row", name="later")
    expect(later).to_contain_text("#2 in the queue")
    jobs.pass_(waiting)
    expect(page.get_by_role("row", name="waits")).to_contain_text("passed")
    expect(later).to_contain_text("#1 in the queue")
    expect(page.get_by_role("row", name="waits")).to_contain_text("1 of the last 1 passed")

    requests.clear()
    jobs.add(*(row(f"new-{number}", "queued", ago=-number / 1000) for number in range(500)))
    expect(page.locator(".job")).to_have_count(562)
    assert page.locator(".job-link").first.inner_text() == "new-499"
    assert page.locator(".job-link").last.inner_text() == "old-0"
    of_list = [url for url in requests if "/jobs?" in url]
    assert len(of_list) < 20, of_list
    assert len([url for url in requests if "/events" in url]) <= 1

    idle.execute("DELETE FROM jobs WHERE name LIKE 'new-%'")
    expect(page.locator(".job")).to_have_count(62)


def test_a_filtered_list_gains_and_loses_jobs(idle, jobs, page):
    first, other = jobs.add(row("first", "queued", ago=30), row("other", "queued", ago=20))
    opened(page, idle, "?outcome=passed")
    expect(page.get_by_role("heading", name="No job matches")).to_be_visible()
    jobs.pass_(other)
    shown(page, "other")
    jobs.pass_(first)
    shown(page, "other first")
    opened(page, idle, "?outcome=queued&name=third")
    jobs.add(row("fourth", "queued", ago=2))
    (third,) = jobs.add(row("third", "queued", ago=1))
    shown(page, "third")
    jobs.pass_(third)
    expect(page.get_by_role("heading", name="No job matches")).to_be_visible()


def test_lost_events_are_made_up_for(idle, jobs, page):
    opened(page, idle)
    gone = 'retry: 100\nid: a.1\ndata: {"type": "gone"}\n\n'
    headers = {"Content-Type": "text/event-stream"}
    page.route("**/events?*", lambda route: route.fulfill(body=gone, headers=headers))
    page.reload()
    expect(page.get_by_role("heading", name="No jobs yet")).to_be_visible()
    jobs.add(row("unheard", "queued", ago=1))
    shown(page, "unheard")


def test_a_list_that_could_not_be_read_is_read_again(idle, browser, jobs):
    jobs.add(row("there", ago=9))
    refusal = {"error": {"code": "database_unavailable", "message": "come back later"}}
    with opened_page(browser, expected=("503",)) as page:
        page.route("**/jobs?limit=50", lambda it: it.fulfill(status=503, json=refusal), times=1)
        page.goto(f"{idle.url}/ui/")
        shown(page, "there")


def test_a_page_says_when_its_reader_may_see_it_no_more(idle, browser, jobs):
    jobs.add(row("there", ago=9))
    refusal = {"error": {"code": "forbidden", "message": "another role now"}}
    with opened_page(browser, expected=("403",)) as page:
        opened(page, idle)
        page.route("**/jobs?*", lambda it: it.fulfill(status=403, json=refusal))
        jobs.add(row("unseen", ago=1))
        expect(page.get_by_role("alert")).to_contain_text("another role now")
        expect(page.locator(".job")).to_have_count(0)


def test_a_page_goes_on_when_its_server_comes_back(own_server, browser):
    server = own_server(controller="external").start()
    jobs = StoredJobs(server)
    (job_id,) = jobs.add(row("before", "queued", ago=9))
    with opened_page(browser, expected=("net::ERR", "Failed to load resource")) as page:
        opened(page, server)
        server.kill()
        expect(page.get_by_role("status").filter(has_text="Reconnecting")).to_be_visible()
        shown(page, "before")
        jobs.add(row("meanwhile", "queued", ago=5))
        jobs.pass_(job_id)
        server.start()
        expect(page.get_by_role("status").filter(has_text="Live")).to_be_visible()
        shown(page, "meanwhile before")
        expect(page.get_by_role("row", name="before")).to_contain_text("passed")


def test_back_from_a_job_the_focus_is_where_it_was(idle, jobs, page):
    """The job has no output, which is no error either: the browser reports none."""
    jobs.add(*[row(f"job-{at}", "queued", ago=100 - at) for at in range(70)])
    opened(page, idle)
    page.get_by_role("button", name="Load older jobs").click()
    left = page.get_by_role("link", name="job-3", exact=True)
    left.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("No output yet.")).to_be_visible()
    page.go_back()
    expect(left).to_be_focused()
    expect(left).to_be_in_viewport()
    page.keyboard.press("k")
    expect(page.get_by_role("link", name="job-4", exact=True)).to_be_focused()
    queued = page.get_by_role("link", name="queued", exact=True)
    queued.click()
    expect(page.locator(".job-link")).to_have_count(50)  # without those that were loaded
    expect(queued).to_be_focused()


def test_data_that_comes_before_the_page_is_painted_is_shown(idle, jobs, page):
    paint_late(page)
    opened(page, idle)
    expect(page.get_by_role("heading", name="No jobs yet")).to_be_visible()
    jobs.add(row("lint", "queued", ago=1))
    opened(page, idle, "?q=lint")
    page.get_by_role("link", name="lint", exact=True).focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/ui/jobs/*")
    page.go_back()
    expect(page.get_by_role("link", name="lint", exact=True)).to_be_focused()


CLEARED_WHILE_TYPING = """async (field) => {
    field.value += "s";
    field.dispatchEvent(new InputEvent("input", { bubbles: true }));
    document.querySelector(".chips .link").click();
    await new Promise((resolve) => setTimeout(resolve, 400)); // until it would be searched for
}"""


def test_a_search_is_what_was_typed_however_slowly(idle, jobs, page):
    jobs.add(row("older", ago=20))
    opened(page, idle)
    search = page.get_by_label("Search jobs")
    search.press_sequentially("older ")
    expect(page).to_have_url(re.compile("q=older$"))
    search.press_sequentially("job")
    expect(page).to_have_url(re.compile(r"q=older\+job$"))
    expect(search).to_have_value("older job")
    search.evaluate(CLEARED_WHILE_TYPING)
    expect(page).to_have_url(re.compile("/ui/$"))
    expect(search).to_have_value("")
    shown(page, "older")


def test_keys_move_through_the_list(idle, jobs, page):
    older, _ = jobs.add(row("older", ago=20), row("newest", ago=10))
    opened(page, idle)
    page.keyboard.press("j")
    expect(page.get_by_role("link", name="newest")).to_be_focused()
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(page.get_by_role("link", name="older")).to_be_focused()
    page.keyboard.press("k")
    page.keyboard.press("j")
    page.keyboard.press("/")
    expect(page.get_by_label("Search jobs")).to_be_focused()
    page.keyboard.type("older jk/?")
    expect(page.get_by_label("Search jobs")).to_have_value("older jk/?")
    page.get_by_label("Search jobs").fill("older")
    page.keyboard.press("Escape")
    shown(page, "older")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_contain_text("next job")
    page.keyboard.press("n")
    expect(page.get_by_role("dialog")).to_have_count(1)
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{idle.url}/ui/jobs/{older}")


PAYLOADS = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(2)>",
    '"><svg/onload=alert(3)>',
    "' onmouseover='alert(4)",
    "javascript:alert(5)",
    "{{constructor.constructor('alert(6)')()}}",
    "${alert(7)}",
    "\u202egnp.exe\u202c \u2066x\u2069 \u200f\u05d0",
    "</td></tr></table><iframe srcdoc='<script>parent.alert(8)</script>'>",
    "<a href=javascript:alert(9)>click</a>",
)


def test_text_of_jobs_is_text(idle, jobs, page):
    """No script of it runs, nothing breaks the policy (what the browser reports fails the test),
    and it is shown as it is.
    """
    for number, text in enumerate(PAYLOADS):
        branch = text if text.isprintable() else "main"
        hostile = row(text, "failed", ago=100 - number, message=text, user=text, branch=branch)
        spec = json.loads(hostile["spec"])
        spec |= {"title": text if number % 2 else None, "labels": {text: text}, "command": [text]}
        hostile["spec"] = json.dumps(spec)
        jobs.add(hostile)
    page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
    opened(page, idle)
    expect(page.locator(".job")).to_have_count(len(PAYLOADS))
    for text in PAYLOADS:
        found = page.locator(".job").filter(has=page.locator(".job-link", has_text=text))
        for place in (".job-link bdi", ".label bdi", ".told"):
            assert found.locator(place).text_content() == text
        if text.isprintable():
            assert found.locator(".job-detail .mono bdi").first.text_content() == text
        assert found.locator(".job-who bdi").text_content() == text
    page.locator(".job-who a").nth(1).click()
    expect(page.locator(".job")).to_have_count(1)
    assert page.locator(".chip bdi").text_content() == PAYLOADS[-2]
    page.get_by_role("button", name=re.compile("^Run .* again$")).click()
    assert page.locator(".asked bdi").text_content() == PAYLOADS[-2]
    assert page.locator("main script, main iframe, main img").count() == 0
    assert page.evaluate("getComputedStyle(document.querySelector('.asked bdi')).unicodeBidi") == (
        "isolate"
    )


def test_long_text_fits_a_phone(idle, jobs, page):
    long = "x" * 10_000
    wide = row(long, status="failed", message=long, user=long, branch="b" * 255, title=None)
    labels = {f"k{n}": "v" * 255 for n in range(20)}
    titled = row("t", "queued", title="w " * 5_000, labels=labels)
    jobs.add(wide, titled, row("short", ago=9, labels=labels))
    for width in (390, 800, 1280):
        page.set_viewport_size({"width": width, "height": 844})
        opened(page, idle)
        page.get_by_role("button", name="Filters", exact=True).click()
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert max(box["height"] for box in boxes(page, ".job")) < 220
        rights = {round(box["x"] + box["width"]) for box in boxes(page, ".job-action")}
        assert len(rights) == 1
        tops = [box["y"] for box in boxes(page, ".job")]
        assert all(one < other for one, other in pairwise(tops))
        short = page.get_by_role("link", name="short", exact=True)
        assert short.evaluate("(link) => link.scrollWidth <= link.clientWidth"), "is cut"
        assert page.locator(".job", has=short).locator(".label").first.bounding_box()["width"] > 60


def boxes(page, selector):
    return [each.bounding_box() for each in page.locator(selector).all()]


def test_accessible(idle, browser, jobs):
    jobs.add(
        row("runs", "running", ago=60, labels={"team": "core"}, branch="main"),
        row("waits", "queued", ago=50),
        row("failed", exit_code=1, ago=500),
        row("test", ago=900, title="A model"),
        row("stopped", "cancelled", ago=999),
    )

    def check(page, what):
        found = Axe().run(page).response["violations"]
        serious = [each for each in found if each["impact"] in ("serious", "critical")]
        assert not serious, (what, serious)

    for scheme in ("light", "dark"):
        motion = {"color_scheme": scheme, "reduced_motion": "reduce"}
        with opened_page(browser, expected=("410",), **motion) as page:
            opened(page, idle, "?since=2020-01-01T00:00&label=")
            page.locator(".rate").first.wait_for()
            page.get_by_role("button", name="Filters", exact=True).click()
            check(page, "the list, with filters")
            page.get_by_role("button", name="Cancel runs").click()
            page.get_by_role("dialog", name="Cancel this job?").wait_for()
            check(page, "the question")
            page.keyboard.press("Escape")
            expect(page.get_by_role("button", name="Cancel runs")).to_be_focused()
            page.get_by_role("button", name="Run failed again").click()
            page.get_by_role("button", name="Run again", exact=True).click()
            expect(page.get_by_role("alert")).to_contain_text("not kept any more")
            check(page, "an answer")
            page.keyboard.press("Escape")
            page.keyboard.press("n")
            page.get_by_role("dialog", name="Submit a project").wait_for()
            check(page, "the form")
            page.keyboard.press("Escape")
            animation = "getComputedStyle(document.querySelector('.state-running > span'))"
            assert page.evaluate(f"{animation}.animationName") == "none"
            opened(page, idle, "?q=nothing")
            check(page, "an empty list")


def test_what_a_role_may_not_do_is_not_offered(own_server, browser):
    server = own_server(controller="external").start()
    for user in (ANN, BOB):
        assert server.admin("user", "create", "--email", user, "--name", "A").returncode == 0
    jobs = StoredJobs(server)
    jobs.add(
        row("done", ago=90, user=BOB),
        row("own", "queued", ago=9, user=ANN),
        row("others", "queued", ago=8, user=BOB),
    )
    offered = {"viewer": [], "submitter": ["Cancel own"]}
    offered["admin"] = ["Cancel others", "Cancel own", "Run done again"]
    for role, buttons in offered.items():
        key = server.admin("key", "create", "--email", ANN, "--name", role, "--role", role)
        headers = {"Authorization": f"Bearer {key.stdout.split()[-1]}"}
        with opened_page(browser, extra_http_headers=headers) as page:
            opened(page, server)
            shown(page, "others own done")
            submit = page.get_by_role("button", name="Submit", exact=True)
            if role == "viewer":
                expect(page.locator(".head")).to_contain_text("(viewer) may watch jobs, not submit")
                page.keyboard.press("n")
            else:
                expect(submit).to_be_visible()
            found = page.locator(".job-action button").all()
            assert [each.get_attribute("aria-label") for each in found] == buttons
            expect(page.get_by_role("dialog")).to_have_count(0)
            page.get_by_role("link", name="mine").click()
            shown(page, "own")


HISTORY = """
    WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 100000)
    INSERT INTO jobs (job_id, tenant, user, spec, name, package_sha256, package_size, status,
        created_at, started_at, ended_at, reason, message, exit_code, log_size)
    SELECT printf('%08x-0000-4000-8000-000000000000', n), tenant, 'user' || n % 30, spec,
        'j' || n % 40, package_sha256, package_size, 'completed', created_at, created_at,
        created_at, 'exit', 'done', n % 7 = 0, 1
    FROM numbers, (SELECT * FROM jobs LIMIT 1)
"""


def test_a_hundred_thousand_jobs_cost_the_server_little(own_server, browser):
    """Its own time is measured, which does not depend on what else the machine does."""
    server = own_server(controller="external").start()
    StoredJobs(server).add(row("first"))
    for (trigger,) in server.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'"):
        if trigger != "job_found_by":
            server.execute(f"DROP TRIGGER {trigger}")
    server.execute(HISTORY)
    with opened_page(browser) as page:
        opened(page, server, "?outcome=failed")
        for query in ("", "?outcome=failed&user=user3", "?q=nothing+like+it", "?name=j7&within=1h"):
            began = cpu_seconds(server.process.pid)
            opened(page, server, query)
            expect(page.locator(".job, .empty, .rate").last).to_be_visible()
            assert cpu_seconds(server.process.pid) - began < 1, query
            assert page.locator("*").count() < 5_000


def cpu_seconds(pid):
    """What a process has computed so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
