"""`/metrics` of a server with several workers and a controller of its own."""

import os
import re
import signal
from pathlib import Path

import pytest

from support import projects
from support.live_server import LiveServer

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with LiveServer(
        tmp_path_factory.mktemp("metrics"), hardened=True, controller="external"
    ) as server:
        server.start("--workers", "2")
        server.spawn_controller()
        yield server.ready()


def scraped(server, **options):
    answer = server.http.get("/metrics", **options)
    assert answer.status_code == 200, answer.text
    found = re.findall(r"^(ci_\w+(?:\{.*\})?) (\S+)$", answer.text, re.MULTILINE)
    return {name: float(value) for name, value in found}


def until_scraped(server, good):
    """Other processes' counts come a few seconds later."""
    return server.until(lambda: scraped(server), good, "the metrics")


def counted(found, **wanted):
    return all(found.get(name, 0) >= value for name, value in wanted.items())


FINISHED = 'ci_jobs_finished_total{reason="exit",status="completed",success="true"}'
PROCESSES = {'ci_processes{role="server"}': 2, 'ci_processes{role="controller"}': 1}
CALLS = 'ci_executor_operation_seconds_count{operation="launch"}'
UNKNOWN = 'ci_http_requests_total{method="other",route="other",status="404"}'


def test_all_processes_are_seen_and_nothing_goes_back_when_one_is_killed(server):
    job_id = server.submit(projects.ANY, ["sh", "-c", "echo 12345678"])
    server.finished(job_id)
    for path in (f"/jobs/{job_id}", f"/nothing/{job_id}"):
        server.http.get(path)
    server.http.request("PROPFIND", f"/nothing/{job_id}")
    found = until_scraped(
        server, lambda found: counted(found, **PROCESSES, **{FINISHED: 1, CALLS: 1, UNKNOWN: 1})
    )
    assert found["ci_job_queue_wait_seconds_count"] == 1
    assert found["ci_job_log_bytes_total"] >= 9
    assert found['ci_jobs{status="running"}'] == 0
    assert found["ci_engine_up"] == 1
    assert found["ci_controller_silent_seconds"] < 60
    assert found['ci_launch_cache_requests_total{cache="image",result="hit"}'] == 1
    assert found['ci_http_requests_total{method="GET",route="/jobs/{job_id}",status="200"}'] >= 1
    assert not [name for name in found if job_id in name or "local" in name]
    os.kill(children(server.process.pid)[0], signal.SIGKILL)
    after = scraped(server.ready())  # by the other one, or by one that was started since
    lasting = {name for name in found if re.search(r"(_total|_count|_sum|_bucket)(\{|$)", name)}
    assert {name for name in lasting if after.get(name, 0) < found[name]} == set()


def test_formats_and_callers(server):
    answer = server.http.get("/metrics", headers={"Accept": "application/openmetrics-text"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")
    assert answer.headers["cache-control"] == "no-store"
    refused = server.http.get("/metrics", headers={"X-Forwarded-For": "192.0.2.7"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "not_local")
    wrong = server.http.get("/metrics", params={"name[]": "ci_jobs"})
    assert wrong.status_code == 400


def test_settings_open_and_close_them(tmp_path):
    for mode, status in (("everyone", 200), ("off", 404)):
        directory = tmp_path / mode
        with LiveServer(directory, hardened=True, controller="external", metrics=mode) as server:
            server.start()
            answer = server.http.get("/metrics", headers={"X-Forwarded-For": "192.0.2.7"})
            assert answer.status_code == status
            assert (server.data / "metrics").exists() == (status == 200)


def children(pid):
    """The workers of a server; its resource tracker is no worker."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found if b"spawn_main" in command_of(child)]


def command_of(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return b""
