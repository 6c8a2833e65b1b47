"""The log on the page of a job, in a real browser."""

import json
import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from support import engine, log_page, projects
from support.archives import zip_bytes
from support.browser import opened_page
from support.log_page import open_job, row

pytestmark = pytest.mark.docker

EVIL = "<img src=x onerror=\"document.title='hacked'\"><script>alert(1)</script>"

SHOWN = f"""\
::group::Install
collecting a
collecting b
::endgroup::
\x1b[31mred\x1b[0m \x1b[38;5;200mpink\x1b[0m \x1b[48;2;1;2;3mback\x1b[0m \x1b[1;4mloud\x1b[0m
10%\r20%\r100%
a 1
b 1
\x1b[2Aa 2
b 2
see \x1b]8;;https://docs.example/e\x1b\\the docs\x1b]8;;\x1b\\ or \
\x1b]8;;javascript:alert(1)\x1b\\this\x1b]8;;\x1b\\
{EVIL}
long {"0123456789" * 1000} end
============ FAILURES ============
E   assert 1 == 2
====== short test summary info ======
FAILED test_it.py::test_one
"""
FILLED = SHOWN + "".join(f"filler {number}\n" for number in range(200)) + "the last line\n"


@pytest.fixture(scope="module")
def shown(server):
    """A finished job whose log has everything, and whose label is an attack."""
    answer = server.http.post(
        "/submit-async",
        files={"file": ("p.zip", zip_bytes({"log": FILLED.encode()}), "application/zip")},
        data={"spec": json.dumps({"command": ["cat", "log"], "labels": {"who": EVIL}})},
    )
    assert answer.status_code == 200, answer.text
    job_id = answer.json()["job_id"]
    server.finished(job_id)
    return job_id


@pytest.fixture
def at_start(server, page, shown):
    """The page of that job at the beginning of its log."""
    open_job(page, server, shown)
    expect(row(page, "the last line")).to_be_visible()
    page.keyboard.press("Home")
    expect(row(page, "::group::Install")).to_be_visible()
    return page


def colour(page, text, name="color"):
    span = page.locator(".row .text span", has_text=re.compile(f"^{text}$"))
    return span.evaluate(f"(element) => getComputedStyle(element).{name}")


def test_escape_sequences_are_drawn_and_nothing_runs(server, at_start):
    page = at_start
    assert colour(page, "back", "backgroundColor") == "rgb(1, 2, 3)"
    assert colour(page, "loud", "fontWeight") == "700"
    light = colour(page, "red"), colour(page, "pink")
    page.get_by_label("Colours").select_option("dark")
    assert colour(page, "red") != light[0]
    texts = [text for _, _, text in log_page.rows(page)]
    assert texts[4:8] == ["red pink back loud", "100%", "a 2", "b 2"]
    assert EVIL in texts
    page.keyboard.press("Home")
    links = page.locator(".row .text a")
    expect(links).to_have_count(1)
    assert links.get_attribute("href") == "https://docs.example/e"
    assert links.get_attribute("rel") == "noopener noreferrer nofollow"
    expect(page.locator(".label")).to_have_text(f"who: {EVIL}")
    expect(page).to_have_title("test passed · CI runner")
    assert page.locator("#page img, #page script").count() == 0


def test_links_to_lines_survive_and_copy_what_they_name(server, browser, shown):
    with opened_page(browser, permissions=["clipboard-read", "clipboard-write"]) as page:
        open_job(page, server, shown)
        page.get_by_role("link", name="line 212", exact=True).click()
        expect(page).to_have_url(re.compile(r"#o\d+$"))
        first = re.search(r"#o(\d+)$", page.url)[1]
        page.get_by_role("link", name="line 214", exact=True).click(modifiers=["Shift"])
        expect(page).to_have_url(re.compile(r"#o\d+-\d+$"))
        page.reload()
        expect(page.locator(".row.selected")).to_have_count(3)
        expect(page.locator(".row.selected .number").first).to_have_text("212")
        assert int(first) == FILLED.index("filler 194")
        page.get_by_role("button", name="Copy lines").click()
        expect(page.get_by_role("button", name="Copied")).to_be_visible()
        assert page.evaluate("navigator.clipboard.readText()") == (
            "filler 194\nfiller 195\nfiller 196\n"
        )


def test_the_whole_log_is_searched(server, at_start):
    page = at_start
    page.keyboard.press("/")
    page.keyboard.type("FILLER 1")
    page.keyboard.press("Enter")
    count = page.get_by_role("search").get_by_role("status")
    expect(count).to_have_text("1 of 111")
    expect(page.get_by_role("region", name="Log", exact=True)).to_be_focused()
    expect(page.locator(".row.selected")).to_have_text(re.compile("filler 1$"))
    expect(page.locator(".row.selected mark")).to_have_text("filler 1")
    page.keyboard.press("n")
    expect(page.locator(".row.selected mark")).to_have_text("filler 1")
    expect(page.locator(".row.selected .text")).to_have_text("filler 10")
    page.keyboard.press("N")
    page.keyboard.press("N")
    expect(count).to_have_text("111 of 111")
    expect(page.locator(".row.selected .text")).to_have_text("filler 199")
    page.keyboard.press("t")
    expect(page.locator(".row.selected time")).to_have_text(re.compile(r"\d\d:\d\d:\d\d"))
    page.keyboard.press("Escape")
    expect(page.locator(".row mark")).to_have_count(0)


def test_parts_fold_and_long_lines_wrap(server, at_start):
    page = at_start
    page.get_by_role("button", name="Fold Install").click()
    expect(row(page, "collecting")).to_have_count(0)
    page.get_by_role("button", name="Fold FAILURES").click()
    expect(row(page, "E   assert")).to_have_count(0)
    expect(row(page, "short test summary")).to_be_visible()
    page.get_by_role("button", name="Unfold Install").click()
    expect(row(page, "collecting b")).to_be_visible()
    expect(page.locator(".row.continued")).to_have_count(2)  # of 10,009 columns
    page.keyboard.press("w")
    expect(page.locator(".row.continued").nth(40)).to_be_attached()
    assert page.locator(".log").evaluate("(log) => log.scrollWidth <= log.clientWidth")
    found = log_page.rows(page)
    start = next(offset for offset, _, text in found if text.startswith("long"))
    parts = [text for offset, _, text in found if offset == start]
    assert "".join(parts) == f"long {'0123456789' * 1000} end"


def test_accessible_and_usable_on_a_phone(server, browser, shown):
    with opened_page(browser, viewport={"width": 390, "height": 844}) as page:
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            open_job(page, server, shown, "#o0")
            expect(row(page, "::group::Install")).to_be_visible()
            found = Axe().run(page).response["violations"]
            assert not [each for each in found if each["impact"] in ("serious", "critical")], found
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


FOLLOWED = """
cat part1
while [ ! -e go ]; do sleep 0.02; done
cat part2
"""


def lines(name, count):
    return [f"{name} {number} \u2713 \U0001f600\r" for number in range(count)]


def test_a_live_log_is_followed_over_a_restart_of_the_server(own_server, browser):
    """To the last byte, once each; and a reader who scrolled up stays there."""
    with opened_page(browser, expected=["Failed to load resource"]) as page:
        follow_over_a_restart(own_server, page)


def follow_over_a_restart(own_server, page):
    server = own_server().start().ready()
    parts = [lines("first", 3000), lines("second", 3000)]
    files = {f"part{at}": "\n".join([*part, ""]) for at, part in enumerate(parts, 1)}
    job_id = server.submit(zip_bytes(files), projects.shell(FOLLOWED))
    server.under_way(job_id, b"first 2999")
    open_job(page, server, job_id)
    expect(row(page, "first 2999")).to_be_visible()
    log_page.state_is(page, "● running")

    page.locator(".log").hover()
    page.mouse.wheel(0, -2000)
    follow = page.get_by_role("button", name="Follow", exact=False)
    expect(follow).to_have_attribute("aria-pressed", "false")
    at = page.locator(".log").evaluate("(log) => log.scrollTop")
    server.kill()
    expect(page.get_by_text("Reconnecting …")).to_be_visible()
    server.start().ready()
    engine.release(server, job_id)
    log_page.state_is(page, "✓ passed")
    assert page.locator(".log").evaluate("(log) => log.scrollTop") == at
    page.keyboard.press("G")
    expect(row(page, "second 2999")).to_be_visible()

    shown = [text for _, _, text in log_page.rows(page)]
    assert shown == [line.removesuffix("\r") for part in parts for line in part]


def test_what_is_not_there_is_said(server, page, browser):
    with opened_page(browser, expected=["404"]) as missing:
        missing.goto(f"{server.url}/ui/jobs/00000000-0000-4000-8000-000000000000")
        expect(missing.get_by_role("heading", name="There is no such job")).to_be_visible()
        expect(missing.get_by_role("alert")).to_contain_text("job_not_found")


def test_a_job_is_cancelled_and_run_again(server, page):
    job_id = server.submit(projects.ANY, projects.ENDLESS)
    server.under_way(job_id, b"started")
    open_job(page, server, job_id)
    page.get_by_role("button", name="Cancel").click()
    dialog = page.get_by_role("dialog", name="Cancel this job?")
    expect(dialog).to_contain_text("sh -c 'echo started; exec sleep 1000'")
    expect(dialog.get_by_role("button", name="Keep it")).to_be_focused()
    page.keyboard.press("Enter")  # the harmless answer has the focus
    expect(dialog).to_have_count(0)
    expect(page.get_by_role("button", name="Cancel")).to_be_focused()
    page.get_by_role("button", name="Cancel").click()
    dialog.get_by_role("button", name="Cancel the job").click()
    log_page.state_is(page, "⊘ cancelled")
    run_again = page.get_by_role("button", name="Run again")
    run_again.focus()
    page.keyboard.press("r")
    dialog = page.get_by_role("dialog", name="Run this job again?")
    expect(dialog.get_by_role("button", name="Run again")).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(run_again).to_be_focused()
    (newest,) = server.http.get("/jobs", params={"limit": 1}).json()
    assert newest["job_id"] == job_id
    page.keyboard.press("r")
    expect(dialog.get_by_role("button", name="Run again")).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(rf"/ui/jobs/(?!{job_id})"))
    expect(page.get_by_text(f"repeats {job_id[:8]}")).to_be_visible()
    again = page.url.rpartition("/")[2]
    server.http.delete(f"/jobs/{again}")
    server.finished(again)
