"""`ci-admin usage` as operators use it."""

import json

from support.instances import Instance


def test_usage_tells_what_a_tenant_has(instance):
    done = instance.admin("usage", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == [
        {
            "tenant": "local",
            "jobs": {"queued": 1, "initializing": 0, "running": 1, "finished": 1},
            "bytes": {"packages": 10, "logs": 5000, "artifacts": 3, "total": 5013},
        }
    ]
    lines = instance.admin("usage").stdout.splitlines()
    assert lines[0].split()[:5] == ["TENANT", "QUEUED", "INITIALIZING", "RUNNING", "FINISHED"]
    assert lines[1].split() == ["local", "1", "0", "1", "1", "0.0", "0.0", "0.0", "0.0"]


def test_usage_without_a_database(tmp_path):
    (tmp_path / "ci").mkdir()
    done = Instance(tmp_path / "ci").admin("usage")
    assert (done.returncode, done.stdout) == (3, "")
    assert "there is no database" in done.stderr
