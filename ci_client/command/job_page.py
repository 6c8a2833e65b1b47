"""The page of a job on the server's dashboard, in the user's browser."""

import os
import sys
import webbrowser
from urllib.parse import quote

from ci_client.client import Client
from ci_client.command import exit_codes
from ci_client.command.connecting import connect
from ci_client.command.display import say
from ci_client.command.queries import job_or_newest
from ci_client.errors import ClientError
from ci_client.library.config import ServerChoice

_DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
_HAVE_DISPLAYS = ("win32", "cygwin", "darwin")


def open_page(job_id: str | None, server: ServerChoice, *, only_print: bool) -> int:
    """Open the page of a job, or of my newest one, or print its address; the exit code."""
    with connect(server) as client:
        address = _address(client, job_id)
    if only_print or not _has_display():
        print(address, flush=True)
    elif webbrowser.open(address):
        say(f"Opened {address}")
    else:
        say("No browser could be started; set $BROWSER to choose one.")
        print(address, flush=True)
    return exit_codes.PASSED


def _address(client: Client, job_id: str | None) -> str:
    """Raises ClientError where the server has no such page."""
    whole_id = str(job_or_newest(client, job_id).get("job_id"))
    if not client.server.has_pages():
        raise ClientError(
            f"the server at {client.server_url} has no dashboard: it is too old. To see "
            f"the job here: ci status {whole_id[:8]}"
        )
    return f"{client.server_url.rstrip('/')}/ui/jobs/{quote(whole_id, safe='')}"


def _has_display() -> bool:
    """Whether a person would see a browser. Without a display `webbrowser` would start one that
    draws on the terminal.
    """
    if not sys.stdout.isatty():
        return False
    return sys.platform in _HAVE_DISPLAYS or any(map(os.environ.get, _DISPLAYS))
