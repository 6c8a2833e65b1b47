"""A server without users on a machine whose browser shows pages of other sites: real Chromium."""

import contextlib
import json

import pytest

from support.archives import zip_bytes
from support.browser import Site, browsing, needs_browser, wait_for
from support.live_server import LiveServer

pytestmark = needs_browser

NO_ENGINE = {"DOCKER_HOST": "unix:///nonexistent/docker.sock"}
EVIL = "evil.example"

PAGE = """<!doctype html><title>a page</title>
<iframe name=sink></iframe>
<form id=form method=post enctype=multipart/form-data target=sink></form>
<a id=link>a link</a>
<script>
const server = new URLSearchParams(location.search).get("server") || SERVER;
const to = name => server + PATHS[name];
const zip = Uint8Array.from(ZIP);
const form = () => {
  const data = new FormData();
  data.append("file", new File([zip], "p.zip", {type: "application/zip"}));
  return data;
};
const told = {};
const attempts = {
  fetch: () => fetch(to("fetch")).then(answer => answer.text()),
  fetch_no_cors: () => fetch(to("fetch_no_cors"), {mode: "no-cors"}),
  fetch_post: () =>
    fetch(to("fetch_post"), {method: "POST", mode: "no-cors", body: form()}),
  fetch_delete: () => fetch(to("fetch_delete"), {method: "DELETE"}),
  beacon: async () => navigator.sendBeacon(to("beacon"), form()),
  image: () => new Promise((done, failed) => {
    const image = new Image();
    image.onload = done;
    image.onerror = failed;
    image.src = to("image");
  }),
  script: () => new Promise((done, failed) => {
    const script = document.createElement("script");
    script.onload = done;
    script.onerror = failed;
    script.src = to("script");
    document.body.append(script);
  }),
  events: () => new Promise((done, failed) => {
    const events = new EventSource(to("events"));
    events.onmessage = done;
    events.onerror = () => { events.close(); failed(); };
  }),
  websocket: () => new Promise((done, failed) => {
    const socket = new WebSocket(to("websocket").replace("http", "ws"));
    socket.onopen = done;
    socket.onerror = failed;
  }),
  frame: () => new Promise(done => {
    const frame = document.createElement("iframe");
    frame.onload = done;
    frame.src = to("frame");
    document.body.append(frame);
  }),
  form: () => new Promise(done => {
    const [element, input, files] = [document.getElementById("form"),
      document.createElement("input"), new DataTransfer()];
    files.items.add(new File([zip], "p.zip", {type: "application/zip"}));
    Object.assign(input, {type: "file", name: "file", files: files.files});
    element.append(input);
    element.action = to("form");
    document.querySelector("iframe[name=sink]").onload = done;
    element.submit();
  }),
};
(async () => {
  for (const [name, attempt] of Object.entries(attempts)) {
    try { told[name] = [true, await attempt()]; } catch (error) { told[name] = [false, null]; }
  }
  await fetch("/told", {method: "POST", body: JSON.stringify(told)});
  const link = document.getElementById("link");
  link.href = server + LINK;
  link.click();
})();
</script>
"""

PATHS = {
    "fetch": "/jobs?limit=1",
    "fetch_no_cors": "/jobs?limit=2",
    "fetch_post": "/submit",
    "fetch_delete": "/jobs/x",
    "beacon": "/submit-stream",
    "image": "/jobs?limit=3",
    "script": "/jobs?limit=4",
    "events": "/jobs/x/stream",
    "websocket": "/jobs/y/stream",
    "frame": "/jobs?limit=6",
    "form": "/submit-async",
}
"""Each attempt has an address of its own, by which the server's log tells it."""
POSTS = {"fetch_post", "beacon", "form"}
ATTEMPTS = {
    name: f"{'POST' if name in POSTS else 'GET'} {path}"
    for name, path in PATHS.items()
    if name != "fetch_delete"
}
"""Those that send a request at once: `fetch_delete` asks for permission first, by OPTIONS."""
SENT = set(ATTEMPTS.values())


@pytest.fixture
def local(tmp_path):
    """A function that starts a server without users."""
    with contextlib.ExitStack() as stack:

        def start(**settings):
            server = LiveServer(
                tmp_path / "server",
                hardened=True,
                environment=NO_ENGINE,
                controller="external",
                **settings,
            )
            return stack.enter_context(server).start()

        yield start


def page(server=None, link="/jobs?limit=9"):
    """The page, for one server; without it, for the one that its address names."""
    url = f"http://localhost:{server.port}" if server else None
    content = list(zip_bytes({"a.py": "print(1)"}))
    text = PAGE
    for name, value in {"SERVER": url, "LINK": link, "ZIP": content, "PATHS": PATHS}.items():
        text = text.replace(name, json.dumps(value))
    return text


@pytest.mark.parametrize(
    ("host", "link", "shown"),
    [
        (EVIL, "/jobs?limit=9", 200),
        ("localhost", "/docs", 200),
        ("127.0.0.1", "/openapi.json", 200),
    ],
)
def test_pages_of_other_sites_get_nothing(local, tmp_path, host, link, shown):
    """But a link shows the user what there is."""
    server = local()
    with (
        Site(page(server, link)) as site,
        browsing(tmp_path, f"http://{host}:{site.port}/", names=[EVIL]),
    ):
        found = wait_for(server, SENT | {f"GET {link}"})
    assert {request: found[request] for request in SENT} == {key: [403] for key in SENT}
    assert found[f"GET {link}"] == [shown]
    assert server.rows() == 0
    (told,) = site.told
    for name in ("fetch", "fetch_delete", "image", "script", "events", "websocket"):
        assert f'"{name}":[false' in told, told


@pytest.mark.parametrize(("host", "status"), [("localhost", 200), (EVIL, 403)])
def test_the_user_may_look_but_not_under_a_name_of_somebody_else(local, tmp_path, host, status):
    """A page of such a name would be of the server's own origin (DNS rebinding)."""
    server = local()
    with browsing(tmp_path, f"http://{host}:{server.port}/jobs", names=[EVIL]):
        assert wait_for(server, {"GET /jobs"})["GET /jobs"] == [status]


def test_pages_of_a_listed_origin_are_let_in(local, tmp_path):
    with Site(page()) as site:
        origin = f"http://{EVIL}:{site.port}"
        server = local(cors_origins=origin)
        with browsing(tmp_path, f"{origin}/?server={server.url}", names=[EVIL]):
            found = wait_for(server, SENT | {"GET /jobs?limit=9"})
    answered = {name: found[request] for name, request in ATTEMPTS.items()}
    assert all(answered[name] == [200] for name in ("fetch", *POSTS))
    assert (found["OPTIONS /jobs/x"], found["DELETE /jobs/x"]) == ([200], [404])
    assert answered["events"] == [404]
    assert all(answered[name] == [403] for name in ("image", "script", "frame")), "no origin"
    assert server.rows() == 3
    assert '"fetch":[true,"[' in site.told[0]
