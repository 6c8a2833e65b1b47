"""What a job finds in its container."""

import pytest

from support import engine, projects
from support.archives import zip_bytes
from support.failure_lines import without_failure_line

pytestmark = pytest.mark.docker


def test_files_keep_their_modes_and_links(server):
    project = zip_bytes(
        {
            "run.sh": "#!/bin/sh\necho I run\n",
            "plain.txt": "plain\n",
            "d/": "",
            "d/e/deep.txt": "deep\n",
            "na\u00efve \u65e5\u672c.txt": "unicode\n",
        },
        links={"link": "d/e/deep.txt", "d/back": "../plain.txt", "dir": "d/e"},
        modes={"run.sh": 0o755, "plain.txt": 0o600},
    )
    script = (
        "./run.sh; stat -c '%a %n' run.sh plain.txt; cat link d/back dir/deep.txt;"
        "readlink link d/back; cat na*"
    )
    job, log = server.run(project, projects.shell(script))
    assert log.decode().splitlines() == [
        "I run",
        "755 run.sh",
        "600 plain.txt",
        *("deep", "plain", "deep"),
        *("d/e/deep.txt", "../plain.txt"),
        "unicode",
    ]
    assert job["success"] is True


def test_the_job_is_an_ordinary_user_in_a_workspace_of_its_own(server):
    script = "id -u; id -g; pwd; stat -c %u:%g . readme.txt; touch new && echo $HOME && cd ~ && pwd"
    _, log = server.run(projects.ANY, projects.shell(script))
    assert log.decode().split() == [
        *("1000", "1000", "/workspace"),
        *("1000:1000", "1000:1000"),
        *("/home/ci", "/home/ci"),
    ]


def test_the_job_has_no_privileges(server):
    script = "grep -E '^(CapPrm|CapEff|NoNewPrivs):' /proc/self/status; ls /var/run/docker.sock"
    _, log = server.run(projects.ANY, projects.shell(script))
    said = log.decode().split("\n")
    assert [line.split()[-1] for line in said[:3]] == ["0" * 16, "0" * 16, "1"]
    assert "No such file" in said[3]


def test_the_job_has_no_input(server):
    job, log = server.run(projects.ANY, projects.shell("cat; echo read to the end"))
    assert (log, job["success"]) == (b"read to the end\n", True)


def test_one_job_sees_nothing_of_another(server):
    server.run(projects.ANY, projects.shell("touch /tmp/trace ~/trace trace"))
    _, log = server.run(projects.ANY, projects.shell("ls /tmp ~ ."))
    assert b"trace" not in log


def test_what_a_job_leaves_running_ends_with_it(server):
    script = "sleep 1000 & echo left it running"
    job, log = server.run(projects.ANY, projects.shell(script))
    assert (log, job["success"]) == (b"left it running\n", True)


def test_a_job_that_closes_its_output_is_waited_for(server):
    job, log = server.run(projects.ANY, projects.shell("echo a; exec >&- 2>&-; sleep 1; exit 5"))
    assert (log, job["status"], job["exit_code"]) == (b"a\n", "completed", 5)


def test_a_signal_is_an_exit_code(server):
    job, _ = server.run(projects.ANY, projects.shell("kill -9 $$"))
    assert (job["status"], job["success"], job["exit_code"]) == ("completed", False, 137)
    assert job["reason"] == "exit"


def test_containers_are_named_and_labelled_while_they_run_and_then_gone(server):
    job_id = server.submit(projects.ANY, projects.WAITING)
    server.under_way(job_id, b"waiting")
    assert f"{server.prefix}{job_id}" in engine.names_of(server)
    engine.release(server, job_id)
    server.finished(job_id)
    server.until(
        lambda: engine.containers_of(server), lambda found: job_id not in found, "no container"
    )
    assert f"{job_id}.zip" in server.stored_files()  # kept, so that it can be run again


def test_a_container_removed_by_hand_is_a_lost_job(own_server):
    server = own_server(reconcile_seconds=0.2).start().ready()
    job_id = server.submit(projects.ANY, projects.ENDLESS)
    server.under_way(job_id, b"started")
    with engine.engine() as client:
        client.api.remove_container(f"{server.prefix}{job_id}", force=True)
    job = server.finished(job_id)
    assert (job["status"], job["reason"], job["exit_code"]) == ("failed", "lost", None)
    log = server.log(job_id)
    log = without_failure_line(log, job)
    assert log.startswith(b"started\n\n[... output may be missing here: ")
    assert log.endswith(b"...]\n")
    assert job["log_dropped"] == "unknown"


NAMES = """
import getpass, os, socket
with socket.socket(socket.AF_INET6) as ipv6, socket.socket() as own:
    ipv6.bind(("localhost", 0))
    own.bind((socket.gethostname(), 0))
    bound = ipv6.getsockname()[0]
    print(bound, own.getsockname()[0] != "", getpass.getuser(), os.environ["LOGNAME"])
"""


@pytest.mark.parametrize("network", ["none", "bridge"])
def test_the_loopback_address_of_ipv6_and_the_names_of_host_and_user(server, network):
    table = f'[tool.ci.jobs.test]\nnetwork = "{network}"\n'
    job, log = server.run(projects.table(table), projects.python(NAMES))
    assert log == b"::1 True ci ci\n"
    assert job["success"] is True
