"""job-worker where grpc is not installed: what to install, and exit code 2."""

import json
import sys

import pytest

from ci_worker.connection import connected
from ci_worker.failures import guarded


class WithFiles:
    """A choice of a server, and certificates that can be read."""

    address = "localhost:50051"

    def files(self):
        return b"", b"", b""


@pytest.mark.parametrize("as_json", [False, True])
def test_what_to_install(monkeypatch, capsys, as_json):
    monkeypatch.setitem(sys.modules, "grpc", None)

    def command():
        with connected(WithFiles()):
            pytest.fail("there is no grpc")

    assert guarded(command, as_json=as_json) == 2
    told = capsys.readouterr().err
    message = json.loads(told)["message"] if as_json else told
    assert "grpc is not installed: pip install 'ci-runner[grpc]'" in message
