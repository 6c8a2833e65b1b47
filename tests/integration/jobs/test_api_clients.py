"""The clients of docs/api.md, run as they are printed, through a link that breaks every 20 kB."""

import hashlib
import json
import os
import shutil
import subprocess
import sys

import pytest

from support import engine
from support.administration import create_key, create_user
from support.archives import zip_bytes
from support.browser import Site, browsing, needs_browser
from support.cutting_proxy import CuttingProxy
from support.live_server import LiveServer
from support.pages import code_of, page
from support.waiting import until_sync

pytestmark = pytest.mark.docker

LINK_BYTES = 20_000
SECONDS = 120
NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="needs Node.js (scripts/test installs it)")
API = page("api.md")

LINE = 'line {} \u2713 \u65e5\u672c\u8a9e \x1b[31mred\x1b[0m \U0001f600 \\ " \r\n'
CONTENT = b"".join(LINE.format(number).encode() for number in range(1000)) + b"\xff\xfe no text\n"
WRITING = "cat content; while [ ! -e go ]; do sleep 0.02; done; echo went on; exit {}"


@pytest.fixture(scope="module")
def site():
    """A web page of another origin, whose back end gets tokens."""
    with Site("") as site:
        yield site


@pytest.fixture(scope="module")
def server(tmp_path_factory, site):
    """A server with a user, whose tokens expire while the client of a browser reads."""
    place = tmp_path_factory.mktemp("clients")
    origin = f"http://127.0.0.1:{site.port}"
    with LiveServer(place, cors_origins=origin, stream_token_seconds=3) as server:
        server.start().ready()
        create_user(server)
        server.http.headers["Authorization"] = f"Bearer {create_key(server)}"
        yield server


@pytest.fixture
def link(server):
    with CuttingProxy(server.port, LINK_BYTES) as proxy:
        yield proxy


def submit(server, exit_code=0):
    """A job that has written the content, and waits."""
    job_id = server.submit(zip_bytes({"content": CONTENT}), ["sh", "-c", WRITING.format(exit_code)])
    server.under_way(job_id, CONTENT[-10:])
    return job_id


def go_on(server, link, job_id):
    """Let the job end once its reader had to come back, while it was live."""
    until_sync(lambda: link.cuts, lambda cuts: cuts >= 2, "cuts of the link", SECONDS)
    engine.release(server, job_id)


PROGRAMS = {
    "Python": (sys.executable, "client.py", "python"),
    "Node": (NODE, "client.mjs", "js"),
}


@pytest.mark.parametrize("name", ["Python", pytest.param("Node", marks=needs_node)])
@pytest.mark.parametrize("exit_code", [0, 1])
def test_programs_get_every_byte_and_the_result(server, link, tmp_path, name, exit_code):
    program, file, language = PROGRAMS[name]
    (tmp_path / file).write_text(code_of(API, name, language))
    job_id = submit(server, exit_code)
    process = start([program, file, link.url, job_id], server, tmp_path)
    go_on(server, link, job_id)
    out, errors = process.communicate(timeout=SECONDS)
    assert (process.returncode, errors) == (exit_code, b"")
    assert out == server.log(job_id) == CONTENT + b"went on\n"


@pytest.mark.parametrize("name", ["Python", pytest.param("Node", marks=needs_node)])
def test_programs_end_when_they_are_refused(server, link, tmp_path, name):
    program, file, language = PROGRAMS[name]
    (tmp_path / file).write_text(code_of(API, name, language))
    process = start([program, file, link.url, "no-such-job"], server, tmp_path)
    _, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 1
    assert b"404" in errors or b"job_not_found" in errors


def test_curl_gets_every_byte_and_the_result(server, link, tmp_path):
    job_id = submit(server)
    script = ["sh", "-c", code_of(API, "curl", "sh")]
    process = start(script, server, tmp_path, URL=link.url, JOB=job_id)
    go_on(server, link, job_id)
    out, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, errors
    assert json.loads(out)["success"] is True
    assert (tmp_path / "job.log").read_bytes() == server.log(job_id) == CONTENT + b"went on\n"
    # A second time there is nothing to add; and then nothing to be had.
    again = start(script, server, tmp_path, URL=link.url, JOB=job_id)
    again.communicate(timeout=SECONDS)
    assert again.returncode == 0
    assert (tmp_path / "job.log").read_bytes() == server.log(job_id)
    refused = start(script, server, tmp_path, URL=link.url, JOB="no-such-job")
    assert b"404" in refused.communicate(timeout=SECONDS)[1]
    assert refused.returncode == 1


def start(command, server, directory, **variables):
    key = server.http.headers["Authorization"].removeprefix("Bearer ")
    return subprocess.Popen(
        command,
        cwd=directory,
        env={**os.environ, "CI_API_KEY": key, **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


BROWSER_PAGE = """<!doctype html><title>a page</title>
<script>
%(client)s
const text = [];
let tokens = 0;
const newToken = async () => { tokens++; return (await fetch("/token", {method: "POST"})).text(); };
const tell = told => fetch("/told", {method: "POST", body: JSON.stringify(told)});
const onEvent = event => { if (event.type === "log") text.push(event.data); };
watch("%(server)s", "%(job)s", newToken, onEvent)
  .then(result => tell({text: text.join(""), success: result.success, tokens}))
  .catch(error => tell({error: String(error)}));
</script>
"""


@needs_browser
def test_a_browser_gets_the_whole_text_and_the_result(server, link, site, tmp_path):
    job_id = submit(server)
    client = code_of(API, "In a browser", "js")
    told = opened(server, link, site, tmp_path, job_id, BROWSER_PAGE, client)
    assert told["success"] is True, told
    want = server.log(job_id).decode(errors="replace")
    assert len(told["text"].encode()) == len(want.encode())
    assert hashlib.sha256(told["text"].encode()).digest() == hashlib.sha256(want.encode()).digest()
    assert told["tokens"] > 1, "no token expired: this was to be shown, too"


NEVER_CLOSED = """<!doctype html><title>a page</title>
<script>
(async () => {
  const token = await (await fetch("/token", {method: "POST"})).text();
  const source = new EventSource(`%(server)s/jobs/%(job)s/stream?token=${token}`);
  let completes = 0;
  source.onmessage = message => { completes += JSON.parse(message.data).type === "complete"; };
  source.onerror = () => {
    if (source.readyState === EventSource.CLOSED)
      fetch("/told", {method: "POST", body: JSON.stringify({completes})});
  };
})();
</script>
"""


@needs_browser
def test_an_event_source_that_nobody_closes_ends(server, link, site, tmp_path):
    job_id = submit(server)
    engine.release(server, job_id)
    server.finished(job_id)
    told = opened(server, link, site, tmp_path, job_id, NEVER_CLOSED, released=True)
    assert told == {"completes": 1}
    requests = server.log_path.read_text().splitlines()
    statuses = [line.split()[-1] for line in requests if f"/jobs/{job_id}/stream?" in line]
    assert statuses == ["200", "204"]


def opened(server, link, site, directory, job_id, html, client="", *, released=False):
    """What the page tells in the end."""
    site.token = lambda: server.http.post(f"/jobs/{job_id}/token").json()["token"]
    site.page = html % {"server": link.url, "job": job_id, "client": client}
    site.told.clear()
    with browsing(directory, f"http://127.0.0.1:{site.port}/"):
        if not released:
            go_on(server, link, job_id)
        until_sync(lambda: site.told, bool, "the page's words", SECONDS)
    return json.loads(site.told[0])
