"""Pictures of the dashboard for the documentation, with Debian's Chromium."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from ci_client import Client
from setup_steps import container_engine, runner_image, server, test_tools, venv
from setup_steps.console import SetupError, step
from setup_steps.paths import ROOT, VENV_BIN

IMAGES = ROOT / "docs" / "images"
SIZE: ViewportSize = {"width": 1280, "height": 760}
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")

PROJECT = {
    "prices.py": "def total(prices, discount=0):\n    return sum(prices) - discount\n",
    "test_prices.py": """\
import pytest

from prices import total


@pytest.mark.parametrize("count", range(1, 41))
def test_total(count):
    assert total([10] * count) == 10 * count


def test_discount_in_percent():
    assert total([10, 20], discount=10) == 27
""",
    "ci.toml": """\
[jobs.test]
command = "python -m pytest -v --color=yes"
artifacts = ["output/**"]

[jobs.lint]
command = "python -m compileall -q ."

[jobs.docs]
command = "sh -c 'mkdir -p output && cp prices.py output/index.txt'"
artifacts = ["output/**"]

[jobs.nightly]
command = "sh -c 'for step in $(seq 30); do echo step $step of 30; sleep 1; done'"
""",
}
ENDED = (
    ("lint", "branch=main"),
    ("docs", "branch=main"),
    ("test", "branch=main"),
    ("lint", "branch=discounts"),
    ("docs", "branch=discounts"),
    ("lint", "branch=discounts"),
    ("test", "branch=discounts"),
)
"""Names of jobs in the order of their submission, each with a label."""


def take() -> None:
    """Take them all. Raises SetupError."""
    container_engine.ensure(install=True)
    engine = container_engine.connect()
    runner_image.ensure(engine)
    engine.close()
    test_tools.ensure()
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        project = Path(directory, "shop")
        project.mkdir()
        for name, content in PROJECT.items():
            (project / name).write_text(content)
        with server.running(Path(directory), "docker") as running, _chromium() as browser:
            with step("Running jobs for the pictures"):
                failed = [_submit(running.url, project, *job) for job in ENDED][-1]
                _submit(running.url, project, "nightly", "branch=main", "--async")
            with step(f"Taking pictures into {IMAGES.relative_to(ROOT)}"):
                for scheme in SCHEMES:
                    _picture(browser, f"{running.url}/ui/", f"jobs-{scheme}", scheme)
                _picture(browser, f"{running.url}/ui/jobs/{failed}", "job-dark", "dark")
            with Client(running.url) as client:
                client.cancel_job(_newest(client))


def _submit(url: str, project: Path, name: str, label: str, *options: str) -> str:
    """The id of the job, which has ended unless the options say otherwise."""
    command = [str(VENV_BIN / "ci"), "submit", name, "--path", str(project), "--label", label]
    subprocess.run(
        [*command, *options, "--server", url],
        check=False,  # one of them fails, which is what a picture shows
        capture_output=True,
        env={**venv.child_environment(), "NO_PROXY": server.HOST, "no_proxy": server.HOST},
    )
    with Client(url) as client:
        return _newest(client)


def _newest(client: Client) -> str:
    return str(client.list_jobs(limit=1)[0]["job_id"])


@contextmanager
def _chromium() -> Iterator[Browser]:
    program = shutil.which("chromium")
    if program is None:
        raise SetupError("Chromium is not installed; on Debian: apt-get install chromium.")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program)
        try:
            yield browser
        finally:
            browser.close()


def _picture(browser: Browser, url: str, name: str, scheme: Literal["light", "dark"]) -> None:
    page = browser.new_page(viewport=SIZE, color_scheme=scheme, device_scale_factor=1.5)
    page.goto(url)
    page.wait_for_load_state("domcontentloaded")
    _wait_until_drawn(page)
    page.screenshot(path=IMAGES / f"{name}.png")
    page.close()


def _wait_until_drawn(page: Page) -> None:
    """Its content is there, and nothing has changed for a moment."""
    page.get_by_role("heading", level=1).wait_for()
    page.evaluate(
        """() => new Promise((done) => {
          let timer = setTimeout(done, 1500);
          new MutationObserver(() => {
            clearTimeout(timer);
            timer = setTimeout(done, 700);
          }).observe(document.body, { subtree: true, childList: true });
          setTimeout(done, 6000);
        })"""
    )
