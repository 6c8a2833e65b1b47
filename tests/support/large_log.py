"""A large log in a browser: how soon it is there, what it costs, and how smoothly it scrolls.

The test of it has a log of 20 MB; `benchmarks/log_viewer.py` one of 200 MB, on a quiet machine.
"""

from dataclasses import dataclass

from support import projects

_WRITE = r"""
import sys
line = b"2026-11-28 12:00:00 worker-%d \x1b[3%dmINFO\x1b[0m request %d handled\n"
written = number = 0
while written < {megabytes} * 1_000_000:
    lines = []
    for number in range(number + 1, number + 2001):
        lines.append(line % (number % 7, number % 8, number))
    written += sys.stdout.buffer.write(b"".join(lines))
sys.stdout.buffer.write(b"the last of %d lines\n" % (number + 1))
"""

_FRAMES = """
async ([count]) => {
  const log = document.querySelector(".log");
  const frames = [];
  let last = await new Promise(requestAnimationFrame);
  for (let at = 0; at < count; at += 1) {
    step(log, at);
    const now = await new Promise(requestAnimationFrame);
    frames.push(now - last);
    last = now;
  }
  return frames;
}
"""


@dataclass
class Cost:
    """What a page takes."""

    heap_mb: float
    """Of JavaScript, after a collection."""
    nodes: int
    """Of the document."""


def write_log(server, megabytes):
    """A job whose log has so many MB; its id, and how many lines the log has."""
    job_id = server.submit(projects.ANY, projects.python(_WRITE.format(megabytes=megabytes)))
    job = server.finished(job_id, seconds=600)
    assert (job["reason"], job["exit_code"]) == ("exit", 0), job
    tail = server.http.get(f"/jobs/{job_id}/logs", params={"tail": 1}).text
    return job_id, int(tail.split()[3])


def cost_of(page):
    """What the page takes now."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    session.send("HeapProfiler.collectGarbage")
    found = {
        each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]
    }
    session.detach()
    nodes = page.evaluate("document.evaluate('count(//node())', document, null, 1).numberValue")
    return Cost(found["JSHeapUsedSize"] / 1e6, int(nodes))


def frames_of(page, step, count=300):
    """Milliseconds that each frame took while the log was scrolled; `step` is JavaScript that takes
    the element and the number of the frame.
    """
    return page.evaluate(_FRAMES.replace("step(log, at)", f"({step})(log, at)"), [count])


SCROLL = "(log) => { log.scrollTop -= 90; }"
"""Faster than people scroll: five lines a frame, 300 a second."""
DRAG = "(log, at) => { log.scrollTop = log.scrollHeight * (((at >> 2) * 37) % 101) / 101; }"
"""The scroll bar, dragged to and fro over the whole log."""
