"""What a job left is shown by a real browser, and can do nothing in the name of who looks at it."""

import json
import socket
from contextlib import ExitStack, suppress
from typing import NamedTuple

import pytest
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import expect

from support.browser import answers, opened_page
from support.instances import Instance
from support.live_server import LiveServer
from support.waiting import until_sync

RTC = (
    "const peer = new RTCPeerConnection({iceServers: [{urls: 'stun:127.0.0.1:UDP'}]}); "
    "peer.createDataChannel('x'); peer.createOffer().then(offer => peer.setLocalDescription(offer))"
)
ATTACK = r"""<!doctype html><title>report</title><base href="EVIL">
<style>@import "EVIL/css";</style>
<p id="state">busy</p><link rel="prefetch" href="EVIL/prefetch"><img src="EVIL/image">
<script src="/ui/assets/theme.js"></script><script src="EVIL/script"></script>
<form id="own" method="post" action="SERVER/jobs/JOB/cancel" target="_top"></form>
<iframe name="inner" src="SERVER/ui/"></iframe>
<script>
const PEER = `RTC_`;
const found = {};
const attempts = {
  cookie: () => document.cookie,
  storage: () => localStorage.getItem("secret"),
  database: () => new Promise((ok, bad) => {
    const opened = indexedDB.open("x"); opened.onsuccess = ok; opened.onerror = bad;
  }),
  jobs: () => fetch("SERVER/jobs").then(answer => answer.text()),
  jobs_blind: () => fetch("SERVER/jobs", {mode: "no-cors", credentials: "include"}),
  cancel: () => fetch("SERVER/jobs/JOB/cancel", {method: "POST", mode: "no-cors"}),
  events: () => new Promise((ok, bad) => {
    const source = new EventSource("SERVER/events"); source.onopen = ok; source.onerror = bad;
  }),
  socket: () => new Promise((ok, bad) => {
    const opened = new WebSocket("SERVER/jobs".replace("http", "ws"));
    opened.onopen = ok; opened.onerror = bad;
  }),
  internet: () => fetch("EVIL/fetch", {mode: "no-cors"}),
  image: () => new Promise((ok, bad) => {
    const image = new Image(); image.onload = ok; image.onerror = bad; image.src = "SERVER/jobs";
  }),
  worker: () => new Promise((ok, bad) => {
    const code = 'fetch("SERVER/jobs").then(() => postMessage(1), () => postMessage(0))';
    const worker = new Worker(URL.createObjectURL(new Blob([code])));
    worker.onmessage = event => event.data ? ok("read") : bad("no"); worker.onerror = bad;
  }),
  service_worker: () => navigator.serviceWorker.register("own.js"),
  parent_page: () => parent.document.title,
  parent_storage: () => parent.localStorage,
  top_address: () => { top.location = "EVIL/top"; return "navigated"; },
  opener: () => window.opener.document.title,
  popup: () => { const opened = open("EVIL/popup"); if (!opened) throw "none"; return "opened"; },
  own_page: () => open("SERVER/ui/").document.title,
  address_bar: () => { history.pushState(null, "", "/ui/"); return "changed"; },
  domain: () => { document.domain = "127.0.0.1"; return "changed"; },
  camera: () => navigator.mediaDevices.getUserMedia({video: true}),
};
const own = {
  beacon: () => navigator.sendBeacon("EVIL/beacon"),
  form: () => document.getElementById("own").submit(),
  message: () => parent.postMessage("hello", "*"),
  modal: () => alert(1),
  download: () => {
    const link = document.createElement("a");
    link.href = "data:text/plain,x"; link.download = "x.exe"; link.click();
  },
  peer: () => eval(PEER),
};
(async () => {
  for (const [name, attempt] of Object.entries(attempts)) {
    try { found[name] = `could: ${await attempt()}`; } catch (error) { found[name] = "refused"; }
  }
  for (const attempt of Object.values(own)) { try { attempt(); } catch { /* refused */ } }
  found.origin = origin;
  document.getElementById("state").textContent = JSON.stringify(found);
})();
</script>"""

HARMLESS = {"storage": "could: null", "address_bar": "could: changed"}
"""A storage of its own, which is empty; and its own address, which nobody sees."""

LEAVE = '<!doctype html><script>location = "EVIL/leave"</script>'
FRAME = """<!doctype html><p id="state">busy</p><iframe srcdoc="<script>RTC_</script>"></iframe>
<script>setTimeout(() => document.getElementById("state").textContent = "tried", 1000)</script>"""

REPORT = b"""<!doctype html><html><head><link rel="stylesheet" href="style.css">
<script type="module" src="./module.mjs"></script></head><body><p id="text">loading</p>
<img src="a%20b/%C3%BC.svg"><a href="sub/page.html">page</a></body></html>"""
FILES = {
    "htmlcov/index.html": REPORT,
    "htmlcov/style.css": b"p { color: rgb(1, 2, 3) }",
    "htmlcov/module.mjs": b"""import {text} from "./words.mjs";
        sessionStorage.setItem("sorted", text);
        const answer = await (await fetch("data.json")).json();
        document.getElementById("text").textContent =
            `${sessionStorage.getItem("sorted")} ${answer.more} ${document.compatMode}`;""",
    "htmlcov/words.mjs": b'export const text = "shown";',
    "htmlcov/data.json": b'{"more": "entirely"}',
    "htmlcov/a b/\u00fc.svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="7" height="7"/>',
    "htmlcov/sub/page.html": b"<p>the page",
    "picture.svg": b'<svg xmlns="http://www.w3.org/2000/svg"><text id="state">busy</text><script>'
    b"let told = [origin]; try { told.push(document.cookie) } catch { told.push('refused') }"
    b"fetch('/jobs').then(() => told.push('read'), () => told.push('refused')).then(() => "
    b"document.getElementById('state').textContent = told.join(' '))</script></svg>",
    "come_in.html": b'<script>location = "/ui/"</script>',
    "notes.log": b"plain \x1b[31mtext\x1b[0m",
}


class Elsewhere:
    """What may never be reached: any connection or packet at all is a breach."""

    def __init__(self, stack):
        self._tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self._udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self._udp.bind(("127.0.0.1", 0))
        for each in (self._tcp, self._udp):
            each.setblocking(False)
        self.url = f"http://127.0.0.1:{self._tcp.getsockname()[1]}"
        self.udp_port = self._udp.getsockname()[1]

    def heard(self):
        found = []
        for hear in (self._tcp.accept, lambda: self._udp.recvfrom(100)):
            try:
                found.append(hear())
            except BlockingIOError:
                continue
        return found


class World(NamedTuple):
    server: LiveServer
    job: str
    preview: str
    elsewhere: Elsewhere
    victim: str
    """A job that the other one is after."""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A server, which asks its own machine for no credentials; a finished job; and elsewhere."""
    directory = tmp_path_factory.mktemp("previews")
    with ExitStack() as stack:
        elsewhere = Elsewhere(stack)
        server = LiveServer(directory, controller="external")

        def filled(text, job=""):
            text = text.replace("RTC_", RTC)
            named = {"EVIL": elsewhere.url, "SERVER": server.url, "JOB": job}
            named["UDP"] = str(elsewhere.udp_port)
            for word, meant in named.items():
                text = text.replace(word, meant)
            return text

        victim = Instance(directory).add()
        files = dict(FILES)
        for name, text in {"attack.html": ATTACK, "leave.html": LEAVE, "frame.html": FRAME}.items():
            files[name] = filled(text, victim).encode()
        job = Instance(directory).add(artifacts=files)
        stack.enter_context(server)
        server.start()
        answer = server.http.post(f"{server.url}/jobs/{job}/previews")
        assert answer.status_code == 201, answer.text
        yield World(server, job, answer.json()["url"], elsewhere, victim)


@pytest.fixture
def watched(browser, world):
    """A page of the dashboard in a profile that is logged in; all it does is noted."""
    server, job = world[:2]
    with opened_page(browser, expected=("",)) as page:
        cookie = {"name": "session", "value": "s", "url": server.url, "httpOnly": True}
        page.context.add_cookies([{**cookie, "sameSite": "Strict"}])
        noted = []
        page.on("dialog", lambda dialog: (noted.append(dialog), dialog.dismiss()))
        page.on("download", lambda download: noted.append(download))
        page.context.on("page", lambda opened: noted.append(opened))
        page.goto(f"{server.url}/ui/jobs/{job}")
        page.evaluate("localStorage.setItem('secret', 'of the dashboard')")
        yield page, noted


def framed(page, url):
    """The address in a frame as the dashboard makes one; the frame."""
    page.evaluate(
        """url => { const frame = document.createElement("iframe");
        frame.setAttribute("sandbox", "allow-scripts"); frame.id = "preview"; frame.src = url;
        document.body.append(frame); }""",
        url,
    )
    return page.frame_locator("#preview")


@pytest.mark.parametrize("in_frame", [True, False], ids=["in a frame", "in a tab"])
def test_scripts_of_a_job_can_do_nothing(world, watched, in_frame):
    server, _, preview, elsewhere, victim = world
    page, noted = watched
    before = answers(server)
    address = page.url
    if in_frame:
        shown = framed(page, f"{preview}attack.html")
    else:
        page.goto(f"{preview}attack.html")
        address, shown = page.url, page.frame_locator("iframe")
    state = shown.locator("#state")
    expect(state).to_contain_text("origin", timeout=60_000)
    told = json.loads(state.text_content())
    assert told.pop("origin") == "null"
    assert {name: what for name, what in told.items() if what != "refused"} == HARMLESS
    page.wait_for_timeout(500)  # for what the attempts set off, which tells nobody of its end
    assert page.url == address
    assert noted == []
    assert elsewhere.heard() == []
    asked = {name for name, found in answers(server).items() if found != before.get(name)}
    assert not asked & {"GET /jobs", "GET /ui/"}
    assert not [name for name in asked if victim in name]


def test_no_packet_leaves_a_frame_within(world, browser):
    """Its scripts are of another realm. This Chromium ends the process of the frame instead."""
    preview, elsewhere = world[2:4]
    with opened_page(browser, expected=("",)) as page:
        crashes = []
        page.on("crash", lambda page: crashes.append(page))
        page.goto(f"{preview}frame.html", wait_until="commit")

        def is_over():
            if not crashes:
                with suppress(PlaywrightError):
                    page.wait_for_timeout(100)
                    return page.frame_locator("iframe").locator("text=tried").count() > 0
            return bool(crashes)

        until_sync(is_over, bool, "the attempt is over", 60)
    assert elsewhere.heard() == []


@pytest.mark.parametrize("name", ["leave.html", "come_in.html"])
def test_a_page_cannot_go_elsewhere(world, watched, name):
    """In a frame neither to another site, nor to a page of ours that asks for a key."""
    preview, elsewhere = world[2:4]
    page, noted = watched
    refused = []
    page.on("console", lambda message: refused.append(message.text))
    framed(page, f"{preview}{name}")
    until_sync(
        lambda: page.wait_for_timeout(50) or refused,
        lambda texts: any("frame-src" in text or "frame-ancestors" in text for text in texts),
        "the browser's refusal",
        60,
    )
    assert not any(frame.url.endswith("/ui/") for frame in page.frames[1:])
    assert (noted, elsewhere.heard()) == ([], [])


def test_a_picture_runs_no_scripts(world, watched):
    preview = world.preview
    page, _ = watched
    page.goto(f"{preview}picture.svg")
    assert page.locator("#state").text_content() == "busy"
    assert page.evaluate("origin") == "null"


def test_a_browser_that_does_not_tell_what_for_gets_the_frame(world, browser):
    """As over plain http: there the page itself asks for it, before its own scripts run."""
    preview, elsewhere = world[2:4]
    with opened_page(browser, expected=("",)) as page:

        def without_purpose(route):
            told = {"Accept": "text/html"}
            route.fulfill(response=route.fetch(headers=told))

        page.route(f"{preview}leave.html", without_purpose)
        page.goto(f"{preview}leave.html")
        expect(page.locator("p")).to_contain_text("Never enter a password")
        assert page.url == f"{preview}leave.html?ci-framed"
    assert elsewhere.heard() == []


# ------------------------------------------------------------------ what is to be seen


@pytest.mark.parametrize("in_frame", [True, False], ids=["in a frame", "in a tab"])
def test_a_report_is_shown_with_all_its_files(world, browser, in_frame):
    server, job, preview = world[:3]
    with opened_page(browser, expected=("favicon",)) as page:
        if in_frame:
            page.goto(f"{server.url}/ui/")
            shown = framed(page, f"{preview}htmlcov/")
        else:
            page.goto(f"{preview}htmlcov")
            shown = page.frame_locator("iframe")
            expect(page.locator("p")).to_contain_text(f"htmlcov/index.html, written by job {job}")
        text = shown.locator("#text")
        expect(text).to_have_text("shown entirely CSS1Compat")
        assert text.evaluate("one => getComputedStyle(one).color") == "rgb(1, 2, 3)"
        expect(shown.locator("img")).to_have_js_property("naturalWidth", 7)
        shown.get_by_role("link").click()
        expect(shown.locator("p")).to_have_text("the page")


def test_what_is_no_page_is_shown_as_well(world, page):
    preview = world.preview
    page.goto(f"{preview}notes.log")
    expect(page.locator("body")).to_contain_text("text")


def test_a_person_is_told_why_there_is_nothing(world, browser):
    server, preview = world.server, world.preview
    with opened_page(browser, expected=("403", "404")) as page:
        page.goto(f"{server.url}/ui/")
        shown = framed(page, f"{preview}gone.txt")
        expect(shown.locator("body")).to_contain_text("The job has no artifact 'gone.txt'.")
        page.goto(f"{preview[:-2]}/htmlcov/")
        expect(page.locator("body")).to_contain_text("Open the artifact again")
