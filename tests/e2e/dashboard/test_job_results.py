"""What a job left, on its page: tests, coverage, artifacts. All of it may be an attack."""

import json
import re
from xml.sax.saxutils import quoteattr

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from support import log_page
from support.archives import zip_bytes
from support.browser import held_request, opened_page, paint_late
from support.log_page import open_job, row

pytestmark = pytest.mark.docker

EVIL = "<img src=x onerror=\"document.title='hacked'\">"
NAME = f"test_adds[{EVIL}]"

JUNIT = f"""\
<testsuite><testcase classname="tests.test_it" name={quoteattr(NAME)} time="0.25">
<failure message={quoteattr(f"assert 2 == 3 {EVIL}")}>tests/test_it.py:4: AssertionError</failure>
</testcase><testcase classname="tests.test_it" name="test_other" time="1.5"/></testsuite>
"""
COBERTURA = f"""\
<coverage line-rate="0.33"><packages><package><classes>
<class filename={quoteattr(f"src/{EVIL}.py")}><lines>
<line number="1" hits="1"/><line number="2" hits="0"/><line number="3" hits="0"/>
</lines></class></classes></package></packages></coverage>
"""
HTML = "<h1>Report</h1><script>document.body.append('ran'); top.document.title = 'hacked'</script>"
EVIL_FILE = "<img src=x onerror=alert(1)>.txt"

LOG = f"collected 2 items\n{NAME} FAILED\n" + "more\n" * 300
SCRIPT = "cp -r in out; cat log; exit 1"  # reports count that the job itself wrote
FILES = {
    "in/junit.xml": JUNIT,
    "in/coverage.xml": COBERTURA,
    "in/report/index.html": HTML,
    f"in/{EVIL_FILE}": "harmless\n",
    "log": LOG,
}


@pytest.fixture(scope="module")
def job_id(server):
    spec = {"command": ["sh", "-c", SCRIPT], "artifacts": ["out"]}
    answer = server.http.post(
        "/submit-async",
        files={"file": ("p.zip", zip_bytes(FILES), "application/zip")},
        data={"spec": json.dumps(spec)},
    )
    assert answer.status_code == 200, answer.text
    job_id = answer.json()["job_id"]
    server.finished(job_id)
    return job_id


@pytest.fixture
def opened(server, browser, job_id):
    with opened_page(browser, expected=["Blocked a frame"]) as page:
        open_job(page, server, job_id)
        log_page.state_is(page, "✗ failed")
        yield page


def tab(page, name):
    page.get_by_role("tab", name=re.compile(name)).click()
    return page.get_by_role("tabpanel", name=re.compile(name))


def test_a_failed_test_leads_to_its_place_in_the_log(opened):
    page = opened
    panel = tab(page, "Tests 1 failed")
    expect(panel.locator(".failures pre")).to_contain_text(EVIL)
    expect(panel.locator(".failures strong")).to_contain_text(EVIL)
    found = Axe().run(page).response["violations"]
    assert not [each for each in found if each["impact"] in ("serious", "critical")], found
    panel.get_by_role("button", name="Show in the log").click()
    expect(row(page, "FAILED")).to_be_visible()
    expect(page.locator(".row.selected .number")).to_have_text("2")
    expect(page).to_have_title("test failed · CI runner")


def test_the_chosen_part_is_in_the_address(opened):
    page = opened
    tab(page, "Coverage")
    expect(page).to_have_url(re.compile(r"\?tab=coverage$"))
    page.reload()
    expect(page.get_by_role("tabpanel", name=re.compile("Coverage"))).to_contain_text("1 of 3")
    tab(page, "Log")
    expect(page).to_have_url(re.compile(r"^[^?]+$"))
    expect(row(page, "more").first).to_be_visible()
    page.goto(f"{page.url}?tab=nonsense")
    expect(row(page, "FAILED").or_(row(page, "more")).first).to_be_visible()


def test_coverage_names_the_files(opened):
    panel = tab(opened, "Coverage 33.3 %")
    expect(panel).to_contain_text("1 of 3")
    expect(panel.get_by_role("cell", name=f"src/{EVIL}.py")).to_be_visible()


def test_resources_are_drawn_or_said_to_be_unknown(opened):
    panel = tab(opened, "Resources")
    expect(panel.get_by_role("img").or_(panel.get_by_text("no samples")).first).to_be_visible()


def test_a_part_that_arrives_before_the_page_is_painted_is_shown(page, server, job_id):
    answer = held_request(page, "**/job.later.js")
    paint_late(page)
    open_job(page, server, job_id)
    log_page.state_is(page, "✗ failed")
    panel = tab(page, "Resources")
    answer()
    expect(panel.get_by_role("img").or_(panel.get_by_text("no samples")).first).to_be_visible()


def test_artifacts_are_listed_and_shown_in_a_frame_of_their_own(opened):
    page = opened
    panel = tab(page, "Artifacts")
    with page.expect_download() as download:
        panel.get_by_role("link", name=f"out/{EVIL_FILE}").click()
    assert download.value.path().read_text() == "harmless\n"
    panel.get_by_role("button", name="View out/report/index.html").click()
    frame = panel.frame_locator("iframe")
    expect(frame.get_by_role("heading", name="Report")).to_be_visible()
    expect(frame.locator("body")).to_contain_text("ran")
    panel.get_by_role("button", name=f"View out/{EVIL_FILE}").click()
    expect(frame.locator("body")).to_have_text("harmless")
    expect(page).to_have_title("test failed · CI runner")
    assert page.locator("#page img").count() == 0


def test_a_preview_comes_into_view_also_on_a_phone(opened):
    page = opened
    page.set_viewport_size({"width": 390, "height": 600})
    panel = tab(page, "Artifacts")
    view = panel.get_by_role("button", name="View out/report/index.html")
    line = float(view.evaluate("(button) => parseFloat(getComputedStyle(button).lineHeight)"))
    assert view.bounding_box()["height"] < 2 * line, "its one word is broken"
    view.click()
    close = panel.get_by_role("button", name="Close")
    expect(close).to_be_in_viewport()
    close.click()
    expect(view).to_be_focused()


def test_how_to_reproduce_is_a_command_line(opened):
    panel = tab(opened, "Details")
    expect(panel.locator(".command code").first).to_have_text(
        f"ci submit --timeout 3600s --artifacts out -- sh -c '{SCRIPT}'"
    )
    expect(panel).to_contain_text("docker run --rm")
