"""The example of docs/grpc.md, as it is printed."""

import subprocess
import sys

from support.live_server import ROOT
from tests.support.pages import DOCS, Page


def test_the_example_in_python(worker):
    (example,) = Page(DOCS / "grpc.md").fences("python")
    certificates = worker.certificates
    certificates.client().write(certificates.directory, "client")
    done = subprocess.run(
        [sys.executable, "-c", example, worker.target, certificates.directory],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("hello\nCOMPLETED 0\n")
