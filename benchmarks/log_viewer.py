"""How soon a large log is on the screen, how smoothly it scrolls, and what that costs.

Run by hand, on a quiet machine with Chromium, from the project's environment:

    PYTHONPATH=tests .venv/bin/python benchmarks/log_viewer.py [--mb 200]

It prints how long it takes until the end of the log is shown (aim: 1 s; medians), also in a browser
that has just started with an empty profile; the JavaScript heap after a collection (50 MB) and the
nodes of the page (5,000); and how long 95 of 100 frames take at most (34 ms) while the log is
scrolled, and while the scroll bar is dragged over all of it.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

from support.browser import chromium, opened_page
from support.large_log import DRAG, SCROLL, cost_of, frames_of, write_log
from support.live_server import LiveServer
from support.log_page import open_job, row

ROUNDS = 5


def main() -> None:
    """Print the measurements."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mb", type=int, default=200)
    megabytes = parser.parse_args().mb
    with (
        tempfile.TemporaryDirectory() as directory,
        LiveServer(Path(directory), default_log_mb=2 * megabytes) as server,
    ):
        server.start().ready()
        job_id, lines = write_log(server, megabytes)
        last = f"the last of {lines} lines"
        first, second = zip(*(times_of(server, job_id, last) for _ in range(ROUNDS)), strict=True)
        print(f"shown in a browser that has just started: {statistics.median(first):.0f} ms")
        print(f"shown by a browser that was there before: {statistics.median(second):.0f} ms")
        with chromium() as browser, opened_page(browser) as page:
            open_job(page, server, job_id)
            row(page, last).wait_for()
            measure(page)


def times_of(server, job_id: str, last: str) -> list[float]:
    """Milliseconds until the end of the log is shown, in a new browser, and then once more."""
    found = []
    with chromium() as browser, opened_page(browser) as page:
        page.context.unroute_all()  # the browser is to fetch and keep files itself
        for _ in range(2):
            page.goto("about:blank")
            open_job(page, server, job_id)
            row(page, last).wait_for()
            found.append(page.evaluate("performance.now()"))
    return found


def measure(page) -> None:
    """Print what the page does with the log."""
    print(f"at the end: {cost_of(page)}")
    for name, step in (("scrolled", SCROLL), ("dragged", DRAG)):
        frames = frames_of(page, step)
        share = statistics.quantiles(frames, n=100)[94]
        print(f"{name}: 95 of 100 frames within {share:.1f} ms, longest {max(frames):.0f} ms")
    print(f"after that: {cost_of(page)}")


if __name__ == "__main__":
    main()
