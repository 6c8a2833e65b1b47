"""`ci list` says when there are more jobs than it shows: on a terminal, and only there."""

import json
import re
import shlex

import pytest

from ci_common.job import JobStatus
from support import projects
from support.live_server import LiveServer

LIMIT = 3
HINT = "to list older ones: "


@pytest.fixture(scope="module")
def queued(tmp_path_factory):
    """Servers without a controller, by how many queued jobs they have; with the ids."""
    servers = {}

    def with_jobs(count):
        if count not in servers:
            directory = tmp_path_factory.mktemp(f"with-{count}")
            server = LiveServer(directory, controller="external").start()
            servers[count] = server, [server.submit(projects.ANY) for _ in range(count)][::-1]
        return servers[count]

    yield with_jobs
    for server, _ in servers.values():
        server.close()


def shown_on_terminal(line, *arguments):
    """The ids of the jobs that are shown, and the line that follows them, if there is one."""
    code, text = line.on_terminal("list", *arguments).end()
    assert code == 0, text
    # A terminal of a test does not wrap lines.
    head, *rest = text.replace("\r", "").splitlines()
    assert head.startswith("JOB ID")
    hint = [row for row in rest if HINT in row]
    assert rest[len(rest) - len(hint) :] == hint, "it is the last line, and one only"
    return [row.split()[0] for row in rest[: len(rest) - len(hint)]], "".join(hint)


@pytest.mark.parametrize("count", [0, LIMIT - 1, LIMIT, LIMIT + 1])
@pytest.mark.parametrize("status", [None, "queued"])
def test_a_line_says_so_exactly_when_there_are_more(queued, user_of, count, status):
    server, ids = queued(count)
    options = ["--limit", str(LIMIT), *(["--status", status] if status else [])]
    shown, hint = shown_on_terminal(user_of(server.url), *options)
    assert shown == ids[:LIMIT]
    assert bool(hint) == (count > LIMIT)
    assert hint.startswith("showing 3 jobs; ") or not hint


@pytest.mark.parametrize("status", [status for status in JobStatus if status != "queued"])
def test_jobs_that_the_filter_leaves_out_are_no_more(queued, user_of, status):
    server, _ = queued(LIMIT + 1)
    shown, hint = shown_on_terminal(user_of(server.url), "--status", status, "--limit", "1")
    assert (shown, hint) == ([], "")


@pytest.mark.parametrize("options", [[], ["--status", "queued"]])
def test_the_command_that_is_told_shows_the_next_ones_to_the_end(queued, user_of, options):
    server, ids = queued(LIMIT + 1)
    line, arguments, seen = user_of(server.url), ["--limit", "2", *options], []
    for _ in range(3):
        shown, hint = shown_on_terminal(line, *arguments)
        seen += shown
        if not hint:
            break
        told = re.search(rf"{HINT}(ci list .*) \(or raise --limit\)$", hint)
        ci, name, *arguments = shlex.split(told[1])
        assert (ci, name) == ("ci", "list")
    assert seen == ids


def test_into_a_pipe_and_as_json_there_are_only_the_jobs(queued, user_of):
    server, ids = queued(LIMIT + 1)
    line = user_of(server.url)
    done = line.run("list", "--limit", "1")
    assert (done.err, len(done.text.splitlines())) == ("", 2)
    assert HINT not in done.text
    for options in (["--limit", "1"], ["--limit", "1", "--before", ids[0]]):
        done = line.run("list", "--json", *options)
        assert done.err == ""
        assert [job["job_id"] for job in json.loads(done.out)] == [ids[len(options) // 2 - 1]]
    code, text = line.on_terminal("list", "--json", "--limit", "1").end()
    assert (code, [job["job_id"] for job in json.loads(text)]) == (0, ids[:1])


def test_one_job(queued, user_of):
    server, ids = queued(LIMIT + 1)
    shown, hint = shown_on_terminal(user_of(server.url), "--limit", "1")
    assert shown == ids[:1]
    assert hint.startswith("showing 1 job; to list older ones: ci list --limit 1 --before ")


def test_before_a_job_that_is_not_there(queued, user_of):
    server, _ = queued(LIMIT + 1)
    done = user_of(server.url).run("list", "--before", "nonsense")
    assert (done.code, done.out) == (2, b"")
    assert "'nonsense' is not a job of this list" in done.err
