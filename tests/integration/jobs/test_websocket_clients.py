"""The clients of docs/models.md, run as they are printed, through a link that breaks every 20 kB;
and `websocketUrl`, which is all that they need to know.
"""

import base64
import json
import shutil
import subprocess

import httpx
import numpy as np
import pytest

from support import projects
from support.administration import create_key, create_user
from support.archives import zip_bytes
from support.cutting_proxy import CuttingProxy
from support.live_server import ROOT, LiveServer
from support.pages import code_of, page
from support.websocket_client import Watched, opened

pytestmark = pytest.mark.docker

LINK_BYTES = 20_000
SECONDS = 120
NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="needs Node.js (scripts/test installs it)")
MODELS = page("models.md")

LINE = 'line {} ✓ 日本語 \x1b[31mred\x1b[0m \U0001f600 \\ " \r\n'
CONTENT = "".join(LINE.format(number) for number in range(2000))
MODEL = (
    "where=$(python -c 'import engine; print(engine.__path__[0])'); "
    "exec python -m engine run $where/golden/term_life_100x10 --output output"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server with a user."""
    with LiveServer(tmp_path_factory.mktemp("clients"), hardened=True) as server:
        server.start().ready()
        create_user(server)
        server.http.headers["Authorization"] = f"Bearer {create_key(server)}"
        yield server


@pytest.fixture(scope="module")
def job_id(server):
    """A job that has written a lot, and left the results of a model."""
    project = zip_bytes({"content": CONTENT})
    job, log = server.run(project, projects.shell(f"cat content; {MODEL}"))
    assert job["success"] is True, log
    return job["job_id"]


@pytest.fixture
def link(server):
    with CuttingProxy(server.port, LINK_BYTES) as proxy:
        yield proxy


def url_of(server, job_id, base=None):
    """The job's `websocketUrl`, as a client has it that reaches the server there."""
    headers = {"Authorization": server.http.headers["Authorization"]}
    address = f"{base or server.url}/v1/jobs/{job_id}"
    return httpx.get(address, headers=headers, trust_env=False, timeout=60).json()["websocketUrl"]


def check(server, job_id, told, binary):
    job = server.job(job_id)
    assert told[-1]["type"] == "complete"
    text = "".join(message["data"] for message in told if message["type"] == "log")
    assert text.encode() == server.log(job_id)
    assert text.startswith(CONTENT)
    assert {message["jobId"] for message in told[1:] if "jobId" in message} == {job["job_id"]}
    results, header, *values = binary[-3:]
    assert json.loads(results)["resultHash"] == told[-1]["resultHash"]
    assert header[:4] == b"CINV"
    assert np.frombuffer(b"".join(values), "<f8").size == 10


def test_the_python_client(server, link, job_id):
    names = {}
    exec(code_of(MODELS, "In Python", "python"), names)
    told, binary, opened_urls = [], [], []

    def new_url():
        opened_urls.append(f"{url_of(server, job_id, link.url)}&binary=f64")
        return opened_urls[-1]

    last = names["watch"](new_url, told.append, binary.append)
    assert last == told[-1]
    assert len(opened_urls) > 5, "the link did not break"
    check(server, job_id, told, binary)


def test_the_python_client_ends_when_there_is_no_such_job(server, job_id):
    names = {}
    exec(code_of(MODELS, "In Python", "python"), names)
    other = url_of(server, job_id).replace(job_id, "00000000-0000-4000-8000-000000000000")
    with pytest.raises(Exception, match="404"):
        names["watch"](lambda: other, print, print)


SCRIPT = """
const [, , base, id, authorization, link] = process.argv;
const told = [], binary = [];
let urls = 0;
const newUrl = async () => {
  urls++;
  const answer = await fetch(`${base}/v1/jobs/${id}`, {headers: {authorization}});
  const url = new URL(`${(await answer.json()).websocketUrl}&binary=f64`);
  url.host = new URL(link).host;
  return url;
};
const keep = data => binary.push(Buffer.from(data).toString("base64"));
watch(newUrl, message => told.push(message), keep)
  .then(last => console.log(JSON.stringify({told, binary, urls, last})));
"""


@needs_node
def test_the_javascript_client(server, link, job_id, tmp_path):
    script = tmp_path / "client.js"
    script.write_text(code_of(MODELS, "In JavaScript", "js") + SCRIPT)
    key = server.http.headers["Authorization"]
    done = subprocess.run(
        [NODE, "--experimental-websocket", script, server.url, job_id, key, link.url],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["last"] == found["told"][-1]
    assert found["urls"] > 5, "the link did not break"
    check(server, job_id, found["told"], [base64.b64decode(one) for one in found["binary"]])


# ------------------------------------------------------------------ websocketUrl


def test_a_submission_is_watched_by_its_url_alone(server):
    """From the submission on, and with no header."""
    files = {
        path.name: path.read_bytes()
        for path in (ROOT / "engine/golden/term_life_100x10").iterdir()
        if path.name != "expected.json"
    }
    form = {"package": ("model.zip", zip_bytes(files), "application/zip")}
    submitted = server.http.post("/v1/jobs/submit", files=form)
    assert submitted.status_code == 201, submitted.text
    with opened(submitted.json()["websocketUrl"]) as connection:
        connection.send(json.dumps({"type": "execute", "jobId": submitted.json()["jobId"]}))
        seen = Watched(connection)
    assert seen.code == 1000
    job = server.http.get(f"/v1/jobs/{submitted.json()['jobId']}").json()
    assert seen.types[0] == "connected"
    assert seen.only("complete")["resultHash"] == job["resultData"]["resultHash"]
    assert seen.only("complete")["executionTimeMs"] == job["executionTimeMs"]
    told = seen.only("initialized")
    assert len(told["assetsHash"]) == 64
    (results,) = seen.binary
    expected = {name: value for name, value in job["resultData"].items() if name != "artifacts"}
    assert json.loads(results) == expected


def test_the_token_reads_this_job_and_makes_no_other(server, job_id):
    other, _ = server.run(projects.ANY, projects.shell("true"))
    url = url_of(server, job_id)
    token = url.partition("token=")[2]
    for _ in range(3):
        with opened(url) as connection:
            assert Watched(connection).code == 1000
    http = url.replace("ws:", "http:").replace("/jobs/", "/v1/jobs/").replace("/stream", "")
    answer = httpx.get(http, trust_env=False, timeout=60)
    assert answer.status_code == 200
    assert "token" not in answer.json()["websocketUrl"]
    for address, status in [
        (url.replace(job_id, other["job_id"]), "404"),
        (url.replace(token, token[:-3] + "abc"), "401"),
        (url.partition("?")[0], "401"),
    ]:
        with pytest.raises(Exception, match=status), opened(address):
            pass
    log = server.log_path.read_text()
    assert f'"WebSocket /jobs/{job_id}/stream?token=***" [accepted]' in log
    assert token not in log
