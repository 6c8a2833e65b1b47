"""A real browser, its pages, and web pages of other sites for it."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from support.waiting import until_sync

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

SECONDS = 60.0

needs_browser = pytest.mark.skipif(
    CHROMIUM is None, reason="needs Chromium (scripts/test installs it where it can)"
)


class Site:
    """A web server with one page, whose script tells it what happened by `POST /told`, and gets
    what `token` returns by `POST /token`.
    """

    def __init__(self, page):
        self.page = page
        self.token = str
        self.told = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                content = site.page.encode() if self.path.partition("?")[0] == "/" else b""
                self._answer(200 if content else 404, content)

            def do_POST(self):
                content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if self.path == "/token":
                    self._answer(200, site.token().encode())
                    return
                site.told.append(content.decode())
                self._answer(200, b"")

            def _answer(self, status, content):
                self.send_response(status)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextlib.contextmanager
def browsing(directory, url, names=()):
    """A browser that has opened this address; the host names are this machine for it."""
    command = _command(directory, url, names)
    with (directory / "browser.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "HOME": str(directory)},
        )
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def rendered(directory, url):
    """The page as it is when its scripts have nothing more to do; and the browser's messages."""
    options = ("--dump-dom", "--virtual-time-budget=10000", "--enable-logging=stderr")
    done = subprocess.run(
        _command(directory, url, (), options),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
        env={**os.environ, "HOME": str(directory)},
    )
    return done.stdout, done.stderr


def _command(directory, url, names, options=()):
    rules = ", ".join(f"MAP {name} 127.0.0.1" for name in names)
    return [
        CHROMIUM,
        "--headless=new",
        "--no-sandbox",  # it runs as root in the tests, and shows our own pages only
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--disable-component-update",
        "--no-first-run",
        "--no-proxy-server",
        f"--user-data-dir={directory / 'profile'}",
        f"--host-resolver-rules={rules}",
        *options,
        url,
    ]


def answers(server):
    """The status of each request of the log, by method and address: `GET /jobs?limit=1`; one for a
    WebSocket is a GET, too.
    """
    found = {}
    for line in server.log_path.read_text(errors="replace").splitlines():
        shown = re.search(r' uvicorn\.access .*"(\w+ \S+) HTTP/[\d.]+" (\d+)', line)
        if shown:
            found.setdefault(shown[1], []).append(int(shown[2]))
        elif socket := re.search(r' uvicorn\.error .*"WebSocket (\S+)" (\d+)', line):
            found.setdefault(f"GET {socket[1]}", []).append(int(socket[2]))
    return found


def wait_for(server, requests):
    """Wait until all these were answered; the answers."""
    what = f"requests {requests}"
    return until_sync(
        lambda: answers(server), lambda found: requests <= found.keys(), what, SECONDS
    )


@contextlib.contextmanager
def chromium():
    """Debian's Chromium, driven by Playwright."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM)
        try:
            yield browser
        finally:
            browser.close()


_OF_THE_MACHINE = "net::ERR_NETWORK_CHANGED"
"""Chromium breaks all connections, also those to its own machine, whenever an interface of the
machine gets an address, as for each container that starts. Pages ask again, but not for modules.
"""


def _fetch_files(route):
    """Let the driver fetch what the dashboard is made of: it does not mind new interfaces."""
    from playwright.sync_api import Error

    if route.request.method != "GET":
        route.fallback()
        return
    try:
        response = route.fetch(max_retries=3)
    except Error:  # the server is down: let the browser see that itself
        route.fallback()
    else:
        route.fulfill(response=response)


def paint_late(page):
    """As on a slow machine: what its scripts do after it was painted comes seconds later."""
    page.add_init_script(
        "const later = setTimeout;"
        "requestAnimationFrame = (draw) => later(draw, 2000);"
        "setTimeout = (run, ms = 0, ...rest) => later(run, ms + 2000, ...rest);"
    )


def held_request(page, address):
    """A function that waits until the page has asked for this address, and lets it be answered."""
    held = []
    page.route(address, lambda route: held.append(route))

    def answer():
        what = f"request of {address}"
        # The driver calls the function of the route only while it is waited for.
        until_sync(lambda: page.wait_for_timeout(10) or held, bool, what, SECONDS)
        held[0].continue_()

    return answer


@contextlib.contextmanager
def opened_page(browser, *, expected=(), **options):
    """A page in a new profile, whose scripts and styles may not fail: what the browser reports
    about them is a failed test, unless it contains one of the texts in `expected`.
    """
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
    context.set_default_timeout(SECONDS * 1000)
    context.route(re.compile(r"//[^/]+/ui/"), _fetch_files)
    page = context.new_page()
    reported = []
    page.on("pageerror", lambda error: reported.append(f"{error}"))
    page.on(
        "console",
        lambda message: message.type in ("error", "warning") and reported.append(message.text),
    )
    try:
        yield page
        allowed = (*expected, _OF_THE_MACHINE)
        unexpected = [text for text in reported if not any(each in text for each in allowed)]
        assert not unexpected, unexpected
    finally:
        context.unroute_all(behavior="ignoreErrors")  # what is fetched now is for nobody
        context.close()
