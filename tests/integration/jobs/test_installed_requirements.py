"""A project's requirements.txt: installed before the job, seen in the log, and only once.

The requirement is a package of the project itself, so that no index is needed; that counts as
a requirement from an index does, except that another project is another installation.
"""

import pytest

from support import engine, events, projects
from support.archives import zip_bytes
from support.failure_lines import without_failure_line
from support.wheels import wheel

pytestmark = pytest.mark.docker


def project(word, requirements="./greeting-1.0-py3-none-any.whl\n"):
    return zip_bytes(
        {
            "requirements.txt": requirements,
            "greeting-1.0-py3-none-any.whl": wheel(word),
            "main.py": "import greeting\nprint('the word is', greeting.WORD)\n",
        }
    )


SAID = b"ci: install: requirements.txt\n"

MAIN = ["python", "main.py"]


def test_installed_first_and_only_once(server):
    content = project("once")
    first, first_log = server.run(content, MAIN)
    assert first["success"] is True, first_log.decode()
    assert b"greeting" in first_log.removesuffix(b"the word is once\n")
    assert first_log.endswith(b"the word is once\n")
    second, second_log = server.run(content, MAIN)
    assert second["success"] is True
    assert second_log == SAID + b"the word is once\n"


def test_several_jobs_at_once_share_one_installation(server):
    content = project("together")
    job_ids = [server.submit(content, MAIN) for _ in range(3)]
    for job_id in job_ids:
        assert server.finished(job_id)["success"] is True
        assert server.log(job_id).endswith(b"the word is together\n")
    with engine.engine() as client:
        label = f"{engine.LABEL_INSTANCE}={server.instance_id()}"
        images = client.api.images(filters={"label": label})
    tags = [tag for image in images for tag in image["RepoTags"]]
    assert len(tags) == len(set(tags))
    _, log = server.run(content, MAIN)
    assert log == SAID + b"the word is together\n"


def test_another_version_is_installed_anew(server):
    assert server.run(project("one"), MAIN)[1].endswith(b"the word is one\n")
    assert server.run(project("two"), MAIN)[1].endswith(b"the word is two\n")


def test_the_installation_is_seen_live_and_replayed_alike(server):
    form = server.form(project("live"), MAIN)
    live = events.read(server.http, "POST", "/submit-stream", **form)
    job_id = live[0].data["job_id"]
    assert events.logged(live) == server.log(job_id)
    assert b"greeting" in server.log(job_id).removesuffix(b"the word is live\n")


def test_requirements_that_cannot_be_installed(server):
    content = project("never", requirements="./no-such-package-1.0-py3-none-any.whl\n")
    job, log = server.run(content, MAIN)
    assert (job["status"], job["success"], job["reason"]) == ("failed", False, "setup_failed")
    assert job["exit_code"] is None
    assert "requirements.txt" in job["message"]
    assert b"no-such-package" in without_failure_line(log, job)
    assert b"the word" not in log
    assert engine.names_of(server).isdisjoint({f"{server.prefix}{job['job_id']}"})


def test_without_requirements_the_log_is_the_jobs_alone(server):
    for content in (projects.ANY, zip_bytes({"requirements.txt": "# nothing\n\n"})):
        assert server.run(content, ["echo", "alone"])[1] == b"alone\n"


def test_a_job_can_be_cancelled_while_its_requirements_are_installed(server):
    setup = "import time\nprint('slowly', flush=True)\ntime.sleep(1000)\n"
    content = zip_bytes(
        {
            "requirements.txt": "./slow\n",
            "slow/setup.py": setup,
            "slow/pyproject.toml": (
                "[build-system]\nrequires = []\nbuild-backend = 'slow'\nbackend-path = ['.']\n"
            ),
            "slow/slow.py": setup,
        }
    )
    job_id = server.submit(content, ["true"])
    server.wait_status(job_id, "initializing")
    server.until(
        lambda: [name for name in engine.names_of(server) if "setup-" in name],
        what="a container for the installation",
    )
    server.http.delete(f"/jobs/{job_id}")
    assert server.finished(job_id)["status"] == "cancelled"
    server.until(
        lambda: [name for name in engine.names_of(server) if "setup-" in name],
        lambda names: not names,
        "no container for the installation",
    )
