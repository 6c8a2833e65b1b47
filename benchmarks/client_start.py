"""How much `ci --help` and `ci list` do before they answer, in machine instructions.

Instructions are counted by valgrind's callgrind, which repeats to within 0.04 % on a busy machine,
where times do not (Debian's package `valgrind`). They are compared with those of a program that
only imports the libraries that are needed: the ratio hardly depends on machine and versions.

    .venv/bin/python benchmarks/client_start.py

Exits with 1 when a ratio is more than 5 % above the recorded one: look what is imported now with
`python -X importtime -m ci_client.cli --help`.
"""

import atexit
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TOLERANCE = 1.05
RECORDED = {"ci --help": 1.25, "ci list": 1.45}
"""Instructions of the command in those of importing its libraries."""

CLICK = "import click"
HTTPX = "import sys; sys.modules['httpx._main'] = None; import click, httpx"

COMPILED = tempfile.mkdtemp(prefix="client-start-")


class NoJobs(BaseHTTPRequestHandler):
    """A server without jobs."""

    def do_GET(self) -> None:
        """An empty list."""
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"[]")

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


def main() -> int:
    """Print the counts; the exit code."""
    if shutil.which("valgrind") is None:
        print("valgrind is not installed (Debian, Ubuntu: apt-get install valgrind)")
        return 2
    server = HTTPServer(("127.0.0.1", 0), NoJobs)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    atexit.register(shutil.rmtree, COMPILED)
    worse = False
    for name, libraries, arguments in (
        ("ci --help", CLICK, ["--help"]),
        ("ci list", HTTPX, ["list", "--server", url]),
    ):
        least = instructions("-c", libraries)
        ours = instructions("-m", "ci_client.cli", *arguments)
        ratio = ours / least
        worse = worse or ratio > RECORDED[name] * TOLERANCE
        print(
            f"{name:<12}{ours / 1e6:>8.1f} M{least / 1e6:>8.1f} M{ratio:>8.3f}   "
            f"recorded {RECORDED[name]}",
            flush=True,
        )
    return 1 if worse else 0


def instructions(*arguments: str) -> int:
    """How many this Python needs with these arguments; once before, so that all is compiled."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "",
        "PYTHONPYCACHEPREFIX": COMPILED,
    }
    command = [sys.executable, "-P", *arguments]
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    counted = subprocess.run(
        ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", *command],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return int(re.search(r"Collected : (\d+)", counted.stderr)[1])


if __name__ == "__main__":
    sys.exit(main())
