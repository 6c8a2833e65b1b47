"""The page of a job in a browser, and the rows of its log."""

from playwright.sync_api import expect

from support.browser import SECONDS

_COLLECT = """
async () => {
  const log = document.querySelector(".log");
  const frame = () => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
  const found = new Map();
  const collect = () => {
    for (const row of log.querySelectorAll(".row")) {
      const key = `${row.dataset.offset} ${row.dataset.part}`;
      if (!found.has(key)) found.set(key, [
        Number(row.dataset.offset),
        row.querySelector(".number").textContent,
        row.querySelector(".text").textContent,
      ]);
    }
    return !log.querySelector(".placeholder");
  };
  log.scrollTop = 0;
  for (;;) {
    await frame();
    await frame();
    while (!collect()) await frame();
    if (log.scrollTop >= log.scrollHeight - log.clientHeight - 1) break;
    log.scrollTop += log.clientHeight / 2;
  }
  return [...found.values()].sort(([a], [b]) => a - b); // stable: parts stay in order
}
"""


def open_job(page, server, job_id, place=""):
    """Open the page of a job, at a place in its log."""
    page.goto(f"{server.url}/ui/jobs/{job_id}{place}")
    page.get_by_role("region", name="Log", exact=True).wait_for()


def rows(page):
    """All rows of a log: offsets, numbers and texts, read by scrolling."""
    return page.evaluate(_COLLECT)


def row(page, text):
    """The row with this text, which has to be near the window."""
    return page.locator(".row").filter(has_text=text)


def state_is(page, state):
    """Wait until the page says that the job is in this state."""
    expect(page.locator(".job-title .state")).to_have_text(state, timeout=2 * SECONDS * 1000)
