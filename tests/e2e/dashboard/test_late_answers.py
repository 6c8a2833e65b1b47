"""Pages whose answers come late, or in another order than they were asked for.

The answers are the tests' own: each is held until it is its turn.
"""

import json
import re

import pytest
from playwright.sync_api import expect

from support import log_page, run_program
from support.browser import SECONDS, opened_page, paint_late
from support.live_server import LiveServer
from support.log_page import open_job, row
from support.stored_jobs import StoredJobs
from support.stored_jobs import row as stored
from support.waiting import until_sync

LOG = b"first\nsecond\n"
COMPLETE = {"type": "complete", "status": "completed", "success": True}
RUNNING = {"type": "status", "status": "running"}


@pytest.fixture(scope="module")
def idle(tmp_path_factory):
    """A server without a controller, so that jobs stay what they are."""
    settings = {"run_image": "image", "run_command": "command"}
    directory = tmp_path_factory.mktemp("late")
    with LiveServer(directory, controller="external", **settings) as server:
        yield server.start()


@pytest.fixture
def jobs(idle):
    """Two jobs that run, the newest first."""
    idle.execute("DELETE FROM jobs")
    StoredJobs(idle).add(stored("older", "running", ago=9), stored("newer", "running", ago=8))
    return idle.http.get("/jobs").json()


def over(job):
    """The job after its end, with a log of `LOG`."""
    return {**job, "status": "completed", "success": True, "log_size": len(LOG)}


class Answers:
    """What is told at one address: each answer when `give` is called, or at once."""

    def __init__(self, page, address):
        self._page = page
        self._held = []
        self._ready = []
        page.route(address, self._asked)

    def _asked(self, route):
        if self._ready:
            route.fulfill(**self._ready.pop(0))
        else:
            self._held.append(route)

    def at_once(self, *answers):
        """Answer the next requests with these."""
        self._ready += answers
        return self

    @property
    def count(self):
        """How many requests wait for an answer."""
        return len(self._held)

    def asked(self, number=1):
        """Wait until so many requests wait for an answer."""
        # The driver calls the function of the route only while it is waited for.
        look = lambda: self._page.wait_for_timeout(10) or self._held  # noqa: E731
        until_sync(look, lambda held: len(held) >= number, f"{number} requests", SECONDS)
        return self

    def give(self, answer, which=0):
        """Wait for a request, and answer it; also wait until the page has seen that."""
        self.asked(which + 1)
        self._held.pop(which).fulfill(**answer)
        seen(self._page)


def seen(page):
    """Wait until the page has done what it has to do now: it has got an answer asked for later."""
    page.evaluate("fetch('/health').then((answer) => answer.text())")


def of_json(value, status=200):
    return {"status": status, "json": value}


def of_events(*events, retry=10):
    """A stream that breaks after these events, pairs of an id and JSON."""
    body = "".join(f"id: {at}\ndata: {json.dumps(event)}\n\n" for at, event in events)
    return {"body": f"retry: {retry}\n{body}", "content_type": "text/event-stream"}


FIRST_LINE = {
    "status": 206,
    "headers": {"Content-Range": "bytes 0-5/6", "Content-Type": "text/plain"},
    "body": LOG[:6],
}
REST = [(len(LOG), {"type": "log", "data": LOG[6:].decode()}), (len(LOG), COMPLETE)]


def job_answers(page, server, job):
    """The answers about one job, and its stream."""
    address = f"{server.url}/jobs/{job['job_id']}"
    return Answers(page, address), Answers(page, f"{address}/stream?*")


def a_run(server):
    """The id of a run that waits."""
    answer = server.http.post("/api/v1/runs", json={"query": run_program.query()})
    assert answer.status_code in (200, 201, 202), answer.text
    return answer.json()["run_id"]


def log_answers(page, server, job):
    return Answers(page, f"{server.url}/jobs/{job['job_id']}/logs")


def test_a_log_is_whole_whose_job_ends_after_it_was_read(idle, jobs, page):
    job = jobs[0]
    about, stream = job_answers(page, idle, job)
    log_answers(page, idle, job).at_once(FIRST_LINE)
    open_job(page, idle, job["job_id"])
    expect(row(page, "first")).to_be_visible()
    about.give(of_json(over(job)))
    log_page.state_is(page, "✓ passed")
    about.at_once(of_json(over(job)))
    stream.give(of_events(*REST))
    expect(row(page, "second")).to_be_visible()


def test_a_log_is_whole_when_the_end_of_its_job_is_known_before_its_own(idle, jobs, page):
    job = jobs[0]
    about, stream = job_answers(page, idle, job)
    log_answers(page, idle, job).at_once(FIRST_LINE)
    about.at_once(of_json(job), of_json(over(job)), of_json(over(job)))
    open_job(page, idle, job["job_id"])
    stream.give(of_events((6, RUNNING)))
    log_page.state_is(page, "✓ passed")
    stream.give(of_events(*REST))
    expect(row(page, "second")).to_be_visible()


def test_a_job_that_is_over_does_not_run_again(idle, jobs, page):
    job = jobs[0]
    about, stream = job_answers(page, idle, job)
    log_answers(page, idle, job).at_once(FIRST_LINE)
    about.at_once(of_json(job))
    open_job(page, idle, job["job_id"])
    stream.give(of_events((6, RUNNING), *REST))
    about.give(of_json(over(job)), 1)
    log_page.state_is(page, "✓ passed")
    about.give(of_json(job))
    log_page.state_is(page, "✓ passed")


def test_a_run_that_is_over_does_not_run_again(idle, page):
    run_id = a_run(idle)
    path = f"/api/v1/runs/{run_id}"
    running = {**idle.http.get(path).json(), "status": "running"}
    about = Answers(page, f"{idle.url}{path}").at_once(of_json(running))
    Answers(page, f"{idle.url}{path}/stream").at_once(of_events((0, RUNNING), (0, COMPLETE)))
    page.goto(f"{idle.url}/ui/runs/{run_id}")
    about.give(of_json({**running, "status": "failed"}), 1)
    expect(page.locator(".state")).to_have_text("✗ failed")
    about.give(of_json(running))
    expect(page.locator(".state")).to_have_text("✗ failed")


def test_a_search_begins_when_the_log_is_there_and_again_after_an_error(idle, jobs, browser):
    job = jobs[0]
    hit = {"type": "hit", "offset": 0, "length": 5, "line": 1, "line_offset": 0}
    hit |= {"before": "", "match": "first", "after": "", "before_cut": False}
    end = {"type": "end", "offset": 6, "size": 6, "truncated": False}
    with opened_page(browser, expected=("500",)) as page:
        about, _ = job_answers(page, idle, job)
        about.at_once(of_json({**over(job), "log_size": 6}))
        log = log_answers(page, idle, job)
        refused = of_json({"error": {"code": "broken", "message": "It broke."}}, 500)
        Answers(page, "**/logs/search?*").at_once(refused, of_events((0, hit), (0, end)))
        page.goto(f"{idle.url}/ui/jobs/{job['job_id']}")
        search = page.get_by_role("search")
        search.get_by_role("searchbox").fill("first")
        page.keyboard.press("Enter")
        log.give(FIRST_LINE)
        expect(search.get_by_role("status")).to_have_text("It broke.")
        search.get_by_role("searchbox").press("Enter")
        expect(search.get_by_role("status")).to_have_text("1 of 1")
        expect(page.locator(".row.selected mark")).to_have_text("first")


def test_a_hit_is_shown_when_the_page_has_it(idle, jobs, page):
    """The server may have more of a log that grows than the page."""
    job = jobs[0]
    about, stream = job_answers(page, idle, job)
    log_answers(page, idle, job).at_once(FIRST_LINE)
    about.at_once(of_json(job), of_json(job))
    hit = {"type": "hit", "offset": 600, "length": 3, "line": 100, "line_offset": 600}
    hit |= {"before": "", "match": "099", "after": "", "before_cut": False}
    end = {"type": "end", "offset": 3006, "size": 3006, "truncated": False}
    Answers(page, "**/logs/search?*").at_once(of_events((0, hit), (0, end)))
    open_job(page, idle, job["job_id"])
    stream.asked()
    page.get_by_role("searchbox").fill("099")
    page.keyboard.press("Enter")
    expect(page.get_by_role("search").get_by_role("status")).to_have_text("1 of 1")
    rest = "".join(f"{number:05}\n" for number in range(500))
    stream.give(of_events((6, RUNNING), (3006, {"type": "log", "data": rest}), retry=60_000))
    expect(row(page, "00099")).to_be_in_viewport()
    expect(page.locator(".row.selected .text")).to_have_text("00099")


def test_a_line_that_is_chosen_before_the_page_is_painted_stays_chosen(idle, jobs, page):
    job = jobs[0]
    about, _ = job_answers(page, idle, job)
    about.at_once(of_json(over(job)))
    log = log_answers(page, idle, job)
    paint_late(page)
    open_job(page, idle, job["job_id"], "#o0")
    log_page.state_is(page, "✓ passed")
    headers = {**FIRST_LINE["headers"], "Content-Range": "bytes 0-12/13"}
    log.give({**FIRST_LINE, "headers": headers, "body": LOG})
    page.get_by_role("link", name="line 2", exact=True).click()
    expect(page).to_have_url(re.compile("#o6$"))
    expect(page.locator(".row.selected .text")).to_have_text("second")


def test_a_report_of_progress_may_come_in_two_pieces(idle, jobs, page):
    job = jobs[0]
    about, _ = job_answers(page, idle, job)
    about.at_once(of_json(job))
    pieces = ['first\n::progress {"current": 3, ', '"total": 4}\nlast\n']
    events = [(at, {"type": "log", "data": data}) for at, data in enumerate(pieces, 1)]
    Answers(page, f"{idle.url}/jobs/{job['job_id']}/stream").at_once(of_events(*events))
    page.goto(f"{idle.url}/ui/models/{job['job_id']}")
    expect(page.get_by_text("Progress: 3 of 4")).to_be_visible()


def test_the_preview_is_the_one_that_was_asked_for_last(idle, jobs, page):
    job = jobs[0]
    about, _ = job_answers(page, idle, job)
    about.at_once(of_json({**over(job), "log_size": 6, "artifacts_size": 2}))
    log_answers(page, idle, job).at_once(FIRST_LINE)
    files = [{"path": name, "size": 1} for name in ("a.txt", "b.txt")]
    Answers(page, "**/artifacts").at_once(of_json(files))
    page.route("**/previews/x/*", lambda route: route.fulfill(body="shown"))
    grants = Answers(page, "**/previews")
    page.goto(f"{idle.url}/ui/jobs/{job['job_id']}?tab=artifacts")
    for name in ("a.txt", "b.txt"):
        page.get_by_role("button", name=f"View {name}").click()
    grants.asked()
    seen(page)
    grant = {"url": f"{idle.url}/previews/x/", "expires_at": "2999-01-01T00:00:00Z"}
    for which in reversed(range(grants.count)):
        grants.give(of_json(grant), which)
    seen(page)
    expect(page.locator(".preview strong")).to_have_text("b.txt")


def test_resources_are_those_of_the_whole_job_after_its_end(idle, jobs, page):
    job = {**jobs[0], "start_time": jobs[0]["submit_time"]}
    about, stream = job_answers(page, idle, job)
    log_answers(page, idle, job).at_once(FIRST_LINE)
    about.at_once(of_json(job), of_json(over(job)))
    resources = Answers(page, "**/resources")
    page.goto(f"{idle.url}/ui/jobs/{job['job_id']}?tab=resources")
    resources.asked()
    stream.give(of_events(*REST))
    limits = {"cpu_cores": 1.0, "memory_bytes": 1 << 20}
    points = [{"seconds": at, "cpu_cores": 0.5, "memory_bytes": 1024} for at in (1, 2)]
    whole = {"points": points, "limits": limits, "peak": {"cpu_cores": 0.5, "memory_bytes": 1024}}
    resources.give(of_json(whole), 1)
    expect(page.get_by_role("img", name="CPU over time")).to_be_visible()
    resources.give(of_json({**whole, "points": []}))
    expect(page.get_by_role("img", name="CPU over time")).to_be_visible()


def test_an_answer_about_one_job_leaves_the_question_about_another(idle, jobs, page):
    answer = Answers(page, "**/cancel")
    page.goto(f"{idle.url}/ui/")
    page.get_by_role("button", name="Cancel newer").click()
    page.get_by_role("button", name="Cancel the job").click()
    answer.asked()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Cancel older").click()
    question = page.get_by_role("dialog", name="Cancel this job?")
    expect(question).to_contain_text("older")
    answer.give(of_json(jobs[0]))
    expect(page.locator(".done")).to_have_text("The job is being cancelled.")
    expect(question).to_contain_text("older")


ONE_QUESTION_AFTER_ANOTHER = """async () => {
    const press = (name) => [...document.querySelectorAll("button")].find(
        ({ ariaLabel, textContent }) => [ariaLabel, textContent.trim()].includes(name)).click();
    press("Keep it");
    for (let turn = 0; turn < 9; turn += 1) await null; // it is taken away, and has told nobody yet
    press("Cancel older");
}"""


def test_a_question_stays_that_is_asked_as_another_one_closes(idle, jobs, page):
    page.goto(f"{idle.url}/ui/")
    page.get_by_role("button", name="Cancel newer").click()
    page.evaluate(ONE_QUESTION_AFTER_ANOTHER)
    seen(page)
    expect(page.get_by_role("dialog", name="Cancel this job?")).to_contain_text("older")


def test_each_row_is_listed_once(idle, page):
    """Also when the button is pressed twice, and a run came since, which moved the others on."""
    a_run(idle)
    run = idle.http.get("/api/v1/runs").json()["runs"][0]
    first, second, third = ({**run, "run_id": f"run_{at}"} for at in (1, 2, 3))
    whole = {"total": 3, "page_size": 2}
    pages = [{"page": 1, "runs": [first, second]}, *2 * [{"page": 2, "runs": [second, third]}]]
    whole = {"total": 3, "page_size": 2}
    answers = [of_json({**whole, **each}) for each in pages]
    Answers(page, "**/api/v1/runs?*").at_once(*answers)
    page.goto(f"{idle.url}/ui/runs")
    older = page.get_by_role("button", name="Load older ones")
    older.evaluate("(button) => button.click() || button.click()")
    expect(older).to_have_count(0)
    seen(page)
    expect(page.get_by_role("row")).to_have_count(4)


def test_who_is_signed_in_is_asked_until_it_is_known(idle, browser):
    with opened_page(browser, expected=("ERR_FAILED",)) as page:
        left = [True, True]
        page.route(
            f"{idle.url}/session",
            lambda route: route.abort() if left and left.pop() else route.continue_(),
        )
        page.goto(f"{idle.url}/ui/")
        expect(page.locator(".caller")).to_be_visible()


def test_a_session_that_was_ended_does_not_come_back(idle, page):
    time = "2030-01-01T00:00:00Z"
    times = dict.fromkeys(("begun_at", "used_at", "idle_ends_at", "ends_at"), time)
    facts = {"agent": "", "role": "admin", "address": None, **times}
    mine, *others = ({"id": name, "current": name == "a", **facts} for name in "abc")
    sessions = Answers(page, f"{idle.url}/sessions").at_once(of_json([mine, *others]))
    page.route(f"{idle.url}/sessions/*", lambda route: route.fulfill(status=204))
    page.goto(f"{idle.url}/ui/sessions")
    buttons = page.get_by_role("button", name="Sign out Unknown browser")
    for number, at in enumerate((1, 2), 1):
        buttons.nth(at).click()
        sessions.asked(number)
    sessions.give(of_json([mine]), 1)
    expect(buttons).to_have_count(1)
    sessions.give(of_json([mine, others[1]]))
    expect(buttons).to_have_count(1)


def test_a_part_of_the_page_that_failed_is_asked_for_again(idle, jobs, browser):
    job = jobs[0]
    files = [{"path": "a.txt", "size": 1}]
    with opened_page(browser, expected=("503",)) as page:
        about, _ = job_answers(page, idle, job)
        about.at_once(of_json({**over(job), "log_size": 6, "artifacts_size": 2}))
        log_answers(page, idle, job).at_once(FIRST_LINE)
        Answers(page, "**/artifacts").at_once(of_json({}, 503), of_json(files))
        page.goto(f"{idle.url}/ui/jobs/{job['job_id']}?tab=artifacts")
        page.get_by_role("button", name="Try again").click()
        expect(page.get_by_role("link", name="a.txt")).to_be_visible()
