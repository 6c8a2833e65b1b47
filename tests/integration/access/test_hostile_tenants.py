"""Tenants are text from tokens: whatever they are, no file is named by them."""

import base64
import json
import os
import subprocess
import sys
import tempfile

import pytest

from ci_controller.executors.shared.install_layers import Layer
from support import projects
from support.issuer import KeySetServer, jwk, token
from support.live_server import LiveServer

MARK = "escaped5c1e"
"""In every hostile tenant, and nowhere else."""

TENANTS = {
    "a path upwards": f"../../{MARK}",
    "a long one": "../" * 40 + f"tmp/{MARK}",
    "an absolute path": f"/tmp/{MARK}",
    "a Windows path": f"..\\..\\{MARK}",
    "an escaped path": f"%2e%2e%2f{MARK}",
    "a shell's": f"$({MARK})`{MARK}`;&|<>*?'\"",
    "SQL": f"'; DROP TABLE jobs; --{MARK}",
    "a flag": f"--{MARK}",
    "unicode": f"ä漢字🙂{MARK}",
    "as long as may be": MARK + "a" * (256 - len(MARK)),
}
DOTS = [".", "..", "/", "~", "-", "*"]
REFUSED = {
    "NUL": f"a\0{MARK}",
    "a line": f"a\n{MARK}",
    "a header": f"a\r\nX-Evil: {MARK}",
    "an escape": f"\x1b[31m{MARK}",
    "right to left": f"\u202e{MARK}",
    "too long": MARK + "a" * 256,
    "10,000 characters": MARK + "a" * 10_000,
    "nothing": "",
    "blanks": "  ",
    "a number": 7,
    "a list": [MARK],
}

PROJECT = projects.table(
    """
    [tool.ci.jobs.test]
    command = 'printf %s "$WORD" | wc -c > kept.txt; cat kept.txt'
    artifacts = ["kept.txt"]
    """
)


@pytest.fixture(scope="module")
def issuer():
    with KeySetServer(jwk("RS256")) as server:
        yield server


@pytest.fixture(scope="module")
def server(issuer, tmp_path_factory, python_for_jobs):
    """Deep enough that a few steps upwards stay in the test's own directory."""
    with LiveServer(
        tmp_path_factory.mktemp("hostile") / "a" / "b" / "c" / "server",
        python=python_for_jobs,
        executor="process",
        environment={"DOCKER_HOST": "unix:///nonexistent/docker.sock"},
        jwt_issuer=issuer.issuer,
        jwt_check_audience="false",
        jwt_tenant_claims="tid",
    ) as server:
        yield server.start().ready()


def bearer(issuer, tenant):
    changes = {"iss": issuer.issuer, "aud": None, "tenant_id": None, "tid": tenant, "role": "admin"}
    return {"Authorization": f"Bearer {token('RS256', **changes)}"}


def run(server, headers):
    """A job with a secret and an artifact, from submission to its result."""
    secret = {"WORD": {"value": base64.b64encode(b"quiet words").decode(), "environment": True}}
    form = server.form(PROJECT)
    form["data"] = {"secrets": json.dumps(secret)}
    answer = server.http.post("/submit-async", headers=headers, **form)
    assert answer.status_code == 200, answer.text
    path = f"/jobs/{answer.json()['job_id']}"
    return server.until(
        lambda: server.http.get(path, headers=headers).json(),
        lambda job: job["status"] in ("completed", "failed"),
    )


def below(top):
    """Every file and directory. The server may delete some meanwhile, and `os.walk` allows that."""
    return {
        os.path.join(place, name)
        for place, directories, files in os.walk(top)
        for name in (*directories, *files)
    }


def everything(server):
    """All files, wherever a step upwards or a temporary directory could have put one."""
    temporary = tempfile.gettempdir()
    found = below(server.directory.parents[3])
    found |= below(os.path.join(temporary, f"ci-runner-{server.instance_id()}"))
    return [*found, *os.listdir(temporary), *os.listdir("/")]


def places(server):
    """What is beside the server's own directory, up to the test's."""
    own = str(server.directory)
    found = below(server.directory.parents[3])
    return {path for path in found if not f"{path}/".startswith(f"{own}/")}


@pytest.mark.parametrize("kind", TENANTS)
def test_no_file_is_named_by_a_tenant(server, issuer, kind):
    tenant, before = TENANTS[kind], places(server)
    headers = bearer(issuer, tenant)
    job = run(server, headers)
    assert (job["success"], job["tenant"]) == (True, tenant), server.log_tail()
    path = f"/jobs/{job['job_id']}"
    for name in ("/logs", "/artifacts/kept.txt"):
        answer = server.http.get(path + name, headers=headers)
        assert answer.text.split() == ["11"]
    assert server.http.post(f"{path}/token", headers=headers).status_code == 200
    assert server.http.get("/usage", headers=headers).json()["tenants"][0]["tenant"] == tenant
    assert server.http.get(path, headers=bearer(issuer, "acme")).status_code == 404
    assert [path for path in everything(server) if MARK in path] == []
    assert places(server) == before


@pytest.mark.parametrize("tenant", DOTS)
def test_tenants_that_are_names_of_directories(server, issuer, tenant):
    before = places(server)
    job = run(server, bearer(issuer, tenant))
    assert (job["success"], job["tenant"]) == (True, tenant)
    assert places(server) == before


@pytest.mark.parametrize("kind", REFUSED)
def test_tenants_that_are_none(server, issuer, kind):
    before = server.rows()
    headers = bearer(issuer, REFUSED[kind])
    for answer in (
        server.http.get("/jobs", headers=headers),
        server.http.post("/submit-async", headers=headers, **server.form(projects.ANY, ["true"])),
    ):
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "invalid_credentials"
        assert MARK not in answer.text
        assert "x-evil" not in answer.headers
    assert server.rows() == before


def test_a_secret_of_a_tenant_and_a_backup(server, issuer, tmp_path):
    """Kept by the operator for the tenant; encrypted by its name, too."""
    tenant, before = TENANTS["a path upwards"], places(server)
    run(server, bearer(issuer, tenant))
    done = server.admin("secret", "set", "KEPT", "--tenant", tenant, value="a long secret value")
    assert done.returncode == 0, done.stderr
    assert MARK in server.admin("secret", "list", "--tenant", tenant).stdout
    file, other = tmp_path / "b.tar.gz", tmp_path / "d" / "e" / "restored"
    assert server.admin("backup", file).returncode == 0
    other.mkdir(parents=True)
    restored = subprocess.run(
        [sys.executable, "-m", "ci_admin", "restore", "--new-instance", str(file)],
        cwd=other,
        env={**server.environment, "CI_DB_PATH": str(other / "ci.db")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert restored.returncode == 0, restored.stderr
    assert (places(server), sorted(path.name for path in tmp_path.iterdir())) == (
        before,
        ["b.tar.gz", "d"],
    )
    names = [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")]
    assert [name for name in names if MARK in name] == []


@pytest.mark.parametrize("tenant", [*TENANTS.values(), *DOTS])
def test_the_key_of_an_installation_is_a_hash(tenant):
    layer = Layer(files={}, steps=())
    assert layer.key("sha", "", tenant, "").isalnum()
    assert layer.key("sha", "", tenant, "") != layer.key("sha", "", "acme", "")
