"""What the client's git said of a work tree, in the job and in what is told of it."""

import json
import subprocess

import pytest

from ci_client.client import Client, create_project_zip
from support import projects
from support.archives import zip_bytes

pytestmark = pytest.mark.docker

COMMIT = "1234567890abcdef1234567890abcdef12345678"
SCRIPT = """
import os
for name in ("CI_COMMIT_SHA", "CI_BRANCH", "SETUPTOOLS_SCM_PRETEND_VERSION"):
    print(os.environ.get(name))
"""


def git(root, *arguments):
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.com")
    subprocess.run(["git", *identity, *arguments], cwd=root, check=True, stdout=subprocess.DEVNULL)


def submitted(server, project, spec):
    files = {"file": ("project.zip", project, "application/zip")}
    return server.http.post("/submit-async", files=files, data={"spec": json.dumps(spec)})


def test_the_job_knows_commit_branch_and_version(server, tmp_path):
    (tmp_path / "facts.py").write_text(SCRIPT)
    (tmp_path / "ci.toml").write_text('[jobs.test]\ncommand = "python facts.py"\n')
    git(tmp_path, "init", "-q", "-b", "main")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "one")
    git(tmp_path, "tag", "v1.5")
    with Client(server.url) as client, create_project_zip(tmp_path) as project:
        job_id = client.submit(project)
    told = server.finished(job_id)["git"]
    assert server.log(job_id).decode().split() == [told["commit"], "main", "1.5"]
    assert told == {
        "commit": told["commit"],
        "branch": "main",
        "dirty": False,
        "describe": f"v1.5-0-g{told['commit'][:9]}",
        "remote": None,
    }


def test_the_repository_of_a_job_that_wants_one(server, tmp_path):
    script = "set -e; git status --porcelain; git describe --tags; git log -1 --format=%H; id -u"
    table = f'git = true\n[jobs.test]\ncommand = "{script}"\n'
    pyproject = '[build-system]\nrequires = ["setuptools"]\n[project]\nname = "p"\nversion = "1"\n'
    for name, content in (("ci.toml", table), ("pyproject.toml", pyproject), ("p.py", "")):
        (tmp_path / name).write_text(content)
    (tmp_path / ".gitignore").write_text("*.egg-info/\n")
    git(tmp_path, "init", "-q", "-b", "main")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "one")
    git(tmp_path, "tag", "v1.5")
    with Client(server.url) as client, create_project_zip(tmp_path) as project:
        job_id = client.submit(project)
        server.finished(job_id)
    log = server.log(job_id).decode()
    told = server.job(job_id)["git"]
    assert log.splitlines()[-3:] == ["v1.5", told["commit"], "1000"], log
    assert " M " not in log
    assert "??" not in log


def test_the_projects_own_environment_has_the_last_word(server):
    table = '[tool.ci.jobs.test]\nenv = { CI_BRANCH = "mine" }\n'
    spec = {"command": ["python", "-c", SCRIPT], "git": {"commit": COMMIT, "branch": "theirs"}}
    job_id = submitted(server, projects.table(table), spec).json()["job_id"]
    server.finished(job_id)
    assert server.log(job_id).decode().split() == [COMMIT, "mine", "0.1.dev0+g123456789"]


@pytest.mark.parametrize(
    "facts",
    [{}, [], "main", {"commit": "x"}, {"commit": COMMIT, "a": 1}, {"commit": COMMIT, "dirty": 1}],
)
def test_wrong_facts_are_refused(server, facts):
    answer = submitted(server, zip_bytes({"a.py": ""}), {"git": facts})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_upload")
    assert "git" in answer.json()["error"]["message"]


def test_limits_are_told(server):
    assert server.http.get("/limits").json() == {
        "max_upload_bytes": server.settings.max_upload_mb << 20,
        "max_unpacked_bytes": server.settings.max_unpacked_mb << 20,
        "max_files": server.settings.max_entries,
        "fields": [
            *("job", "command", "priority", "retries", "timeout", "install", "git", "tty", "color"),
            *("image", "env", "artifacts", "cpu", "memory", "labels", "private", "notify"),
        ],
    }
