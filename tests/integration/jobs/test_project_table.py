"""What a project's own table of jobs asks for is what the job gets."""

import pytest

from support import engine, projects
from support.archives import zip_bytes
from support.engine_option import runner_image
from support.failure_lines import without_failure_line
from support.fake_registry import NOT_FOUND, fake_registry

pytestmark = pytest.mark.docker


def run(server, lines, job=None, command=None):
    """Run a job of a project with this [tool.ci.jobs.test] table (or any other text)."""
    text = lines if "[tool" in lines else f"[tool.ci.jobs.test]\n{lines}\n"
    return server.run(projects.table(text), command, job)


def test_a_command_as_text_is_a_shells(server):
    job, log = run(server, "command = 'for i in 1 2; do echo $i; done | tac'")
    assert (log, job["success"]) == (b"2\n1\n", True)


def test_a_command_as_a_list_is_not(server):
    job, log = run(server, "command = ['echo', '$HOME', 'a b', ';', 'ls']")
    assert (log, job["success"]) == (b"$HOME a b ; ls\n", True)


def test_environment(server):
    lines = "command = 'echo \"$GREETING|$CI|$CI_JOB_ID\"'\nenv = {GREETING = 'a \"b\" $c'}"
    job, log = run(server, lines)
    assert log.decode() == f'a "b" $c|true|{job["job_id"]}\n'


def test_named_jobs(server):
    text = """
        [tool.ci.jobs.test]
        command = "echo this is test"
        [tool.ci.jobs.lint]
        command = "echo this is lint"
    """
    assert run(server, text)[1] == b"this is test\n"
    job, log = run(server, text, job="lint")
    assert (log, job["name"]) == (b"this is lint\n", "lint")


def test_a_table_in_ci_toml(server):
    files = {
        "ci.toml": "[jobs.test]\ncommand = 'echo from ci.toml'\nmemory = '64MB'\n",
        "pyproject.toml": "[tool.other]\n",
    }
    assert server.run(zip_bytes(files))[1] == b"from ci.toml\n"


def test_a_submitted_command_goes_before_the_tables_own_and_keeps_the_rest(server):
    lines = "command = 'false'\nenv = {WORD = 'kept'}"
    job, log = run(server, lines, command=["sh", "-c", "echo $WORD"])
    assert (log, job["success"]) == (b"kept\n", True)


@pytest.mark.parametrize("value", ["1", "'1s'", "0.5"])
def test_timeout(server, value):
    script = "print('working'); import time; time.sleep(99)"
    job, log = run(server, f"command = ['python', '-c', \"{script}\"]\ntimeout = {value}")
    assert (job["status"], job["success"], job["reason"]) == ("failed", False, "timeout")
    assert "timeout of" in job["message"]
    assert without_failure_line(log, job) == b"working\n"
    server.until(
        lambda: engine.containers_of(server),
        lambda found: job["job_id"] not in found,
        "no container",
    )


def test_memory(server):
    script = "print('eating'); x = b'x' * 10**9; print('ate')"
    job, log = run(server, f"command = ['python', '-c', \"{script}\"]\nmemory = 64")
    assert (job["status"], job["success"], job["reason"]) == ("completed", False, "oom")
    assert "64 MiB" in job["message"]
    assert without_failure_line(log, job) == b"eating\n"


def test_no_network(server):
    script = "cat /proc/net/dev | tail -n +3 | cut -d: -f1 | tr -d ' '"
    assert run(server, f"command = \"{script}\"\nnetwork = 'none'")[1] == b"lo\n"
    assert b"eth0" in run(server, f'command = "{script}"')[1]


def test_cpu(server):
    job_id = server.submit(projects.table("[tool.ci.jobs.test]\ncpu = 150\n"), projects.WAITING)
    server.under_way(job_id, b"waiting")
    with engine.engine() as client:
        facts = client.api.inspect_container(f"{server.prefix}{job_id}")
    limits = facts["HostConfig"]
    assert limits["CpuQuota"] / limits["CpuPeriod"] == 1.5
    engine.release(server, job_id)
    server.finished(job_id)


def test_more_cpu_than_the_machine_has_is_all_it_has(server):
    job, log = run(server, "command = 'echo fast'\ncpu = 1000000")
    assert (log, job["success"]) == (b"fast\n", True)


def test_an_image_that_cannot_be_had(server):
    with fake_registry(NOT_FOUND) as registry:
        job, log = run(server, f"image = '{registry}/no/such-image:7'")
    assert (job["status"], job["reason"]) == ("failed", "image_unavailable")
    assert f"{registry}/no/such-image:7" in job["message"]
    assert f"{registry}/no/such-image:7".encode() in log
    assert without_failure_line(log, job) == b""


def test_another_image_of_the_engine(server):
    """The image is named by its id, which is on the engine under no other name."""
    with engine.engine() as client:
        image_id = client.images.get(runner_image()).id
    job, log = run(server, f"command = 'echo here'\nimage = '{image_id}'")
    assert (log, job["success"]) == (b"here\n", True)


def test_a_command_that_is_not_there(server):
    job, log = run(server, "command = ['no-such-command', '--help']")
    assert (job["status"], job["success"], job["exit_code"]) == ("completed", False, 127)
    assert b"no-such-command" in log
