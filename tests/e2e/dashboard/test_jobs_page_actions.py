"""Submitting, cancelling and rerunning from the list of jobs, with containers."""

import base64
import re

from playwright.sync_api import expect

from support import projects
from support.archives import zip_bytes
from support.browser import held_request, opened_page, paint_late

DROP = """([name, content]) => {
    const bytes = Uint8Array.from(atob(content), (each) => each.charCodeAt(0));
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File([bytes], name));
    for (const type of ["dragenter", "dragover", "drop"])
        document.body.dispatchEvent(new DragEvent(type, {dataTransfer, bubbles: true}));
}"""


def drop(page, content, name="project.zip"):
    page.evaluate(DROP, [name, base64.b64encode(content).decode()])


def opened(page, server, query=""):
    page.goto(f"{server.url}/ui/{query}")
    page.get_by_role("button", name="Submit", exact=True).wait_for()


def test_a_zip_that_is_dropped_before_the_page_is_painted_is_taken(server, page):
    answer = held_request(page, "**/whoami")
    paint_late(page)
    page.goto(f"{server.url}/ui/")
    page.get_by_role("status").filter(has_text="Live").wait_for()
    page.locator(".job, .empty").first.wait_for()
    answer()  # so that nothing else is drawn after it
    page.get_by_role("button", name="Submit", exact=True).wait_for()
    drop(page, b"no zip", "notes.txt")
    form = page.get_by_role("dialog", name="Submit a project")
    expect(form.get_by_role("alert")).to_contain_text("This is not a zip file")
    form.get_by_label("Zip of the project").set_input_files(
        {"name": "a.zip", "mimeType": "application/zip", "buffer": zip_bytes({"a": "b"})}
    )
    expect(form.get_by_role("button", name="Submit")).to_be_enabled()
    expect(form.get_by_role("alert")).to_be_hidden()


def test_a_dropped_zip_becomes_a_job(server, browser):
    project = zip_bytes({"pyproject.toml": "[tool.ci.jobs.greet]\ncommand = ['echo', 'hello']\n"})
    with opened_page(browser, expected=("400",)) as page:
        opened(page, server)
        drop(page, b"no zip", "notes.txt")
        form = page.get_by_role("dialog", name="Submit a project")
        expect(form.get_by_role("alert")).to_contain_text("This is not a zip file")
        expect(form.get_by_role("button", name="Submit")).to_be_disabled()
        drop(page, b"not what it is called")
        form.get_by_role("button", name="Submit").click()
        expect(form.get_by_role("alert")).to_contain_text("invalid_package")
        drop(page, project)
        form.get_by_label("Name").fill("great")
        form.get_by_role("button", name="Submit").click()
        expect(form.get_by_role("alert")).to_contain_text("greet")
        form.get_by_label("Name").fill("greet")
        form.get_by_role("button", name="Submit").click()
        expect(page).to_have_url(re.compile("/ui/jobs/[0-9a-f-]{36}$"))
        job = server.finished(page.url.rpartition("/")[2])
        assert (job["name"], job["success"]) == ("greet", True)

        opened(page, server)
        page.keyboard.press("n")
        form.get_by_label("Zip of the project").set_input_files(
            {"name": "a.zip", "mimeType": "application/zip", "buffer": project}
        )
        form.get_by_label("Command").fill("echo 'it is' | tr a-z A-Z")
        form.get_by_role("button", name="Submit").click()
        expect(page).to_have_url(re.compile("/ui/jobs/[0-9a-f-]{36}$"))
        job_id = page.url.rpartition("/")[2]
        server.finished(job_id)
        assert server.log(job_id) == b"IT IS\n"


def test_a_job_is_cancelled_and_run_again(server, browser):
    with opened_page(browser, expected=("400",)) as page:
        opened(page, server, "?name=endless")
        project = projects.table("[tool.ci.jobs.endless]\ncommand = ['sleep', '1000']")
        job_id = server.submit(project, job="endless")
        job = page.locator(f"[data-job='{job_id}']")
        expect(job).to_contain_text("running")
        job.get_by_role("button", name="Cancel endless").click()
        page.get_by_role("button", name="Keep it").click()
        assert server.job(job_id)["cancel_requested_at"] is None
        job.get_by_role("button", name="Cancel endless").click()
        page.get_by_role("button", name="Cancel the job").click()
        expect(page.get_by_role("status").last).to_contain_text("is being cancelled")
        again = job.get_by_role("button", name="Run endless again")
        expect(again).to_be_visible()  # it is no longer being cancelled

        job.get_by_role("link", name="endless").first.focus()
        page.keyboard.press("r")
        asked = page.get_by_role("dialog", name="Run this job again?")
        expect(asked).to_contain_text(f"endless {job_id[:8]}")
        expect(asked).to_contain_text("sleep 1000")
        page.keyboard.press("Escape")
        expect(asked).to_have_count(0)
        again.click()
        expect(asked.get_by_role("button", name="Run again")).to_be_focused()
        page.keyboard.press("Enter")
        link = page.get_by_role("status").get_by_role("link")
        new_id = link.get_attribute("href").rpartition("/")[2]
        expect(page.locator(f"[data-job='{new_id}']")).to_contain_text("running")
        assert server.job(new_id)["rerun_of"] == job_id
        server.http.delete(f"/jobs/{new_id}")
        expect(page.locator(f"[data-job='{new_id}']")).to_contain_text("cancelled")


def test_secrets_of_a_job_are_passed_from_a_terminal(server, browser):
    form = server.form(projects.ANY, ["true"])
    form["data"]["secrets"] = '{"TOKEN": {"value": "YSBzZWNyZXQgdGhhdCBpcyBsb25n"}}'
    job_id = server.http.post("/submit-async", **form).json()["job_id"]
    server.finished(job_id)
    with opened_page(browser, expected=("400",)) as page:
        opened(page, server)
        page.locator(f"[data-job='{job_id}']").get_by_role("button").click()
        page.get_by_role("button", name="Run again", exact=True).click()
        dialog = page.get_by_role("dialog", name="Run this job again?")
        expect(dialog.get_by_role("alert")).to_contain_text("secrets_needed")
        expect(dialog).to_contain_text(f"ci rerun {job_id[:8]} --secret TOKEN")
