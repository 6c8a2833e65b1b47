"""Artifacts of a scripted server, and the command that asks for them."""

import hashlib
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from urllib.parse import quote

from client_scripted_server import JOB, reply_json

LIST = f"GET /jobs/{JOB}/artifacts"
CONTENT = bytes(range(256)) * 40


def artifact(path, content, **changes):
    return {
        "path": path,
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        **changes,
    }


@dataclass
class Stored:
    """A file served as the real server does, that breaks off after so many bytes."""

    content: bytes
    cuts: list[int] = field(default_factory=list)
    ranges: bool = True

    def __call__(self, handler):
        wanted = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        start = int(wanted[1]) if wanted and self.ranges else 0
        rest = self.content[start:]
        headers = {"Content_Length": str(len(rest))}
        if start:
            headers["Content_Range"] = f"bytes {start}-{len(self.content) - 1}/{len(self.content)}"
        handler.begin(206 if start else 200, **headers)
        cut = self.cuts.pop(0) if self.cuts else None
        handler.wfile.write(rest[:cut])
        handler.wfile.flush()
        if cut is not None:
            handler.close_connection = True


def serve(server, files, **listed):
    told = [artifact(path, content, **listed) for path, content in files.items()]
    server.on(LIST, reply_json(told))
    for path, content in files.items():
        server.on(f"{LIST}/{quote(path)}", content if callable(content) else Stored(content))


def tree(path):
    return {p.relative_to(path).as_posix(): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def run_command(server, directory, *arguments):
    """`ci` in a directory that is its home, too: exit code, stdout, stderr."""
    code = "import sys; from ci_client.cli import main; sys.argv[0] = 'ci'; main()"
    env = {**os.environ, "PYTHONPATH": os.getcwd(), "CI_SERVER_URL": server.url}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=directory,
        env={**env, "HOME": str(directory)},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return done.returncode, done.stdout.decode(), done.stderr.decode()
