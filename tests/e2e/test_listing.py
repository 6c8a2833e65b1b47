"""`ci list` says when there are more jobs than it shows: on a terminal, and only there."""

import json
import re
import shlex

import pytest

from ci_common.job import JobStatus
from support import projects
from support.live_server import LiveServer
from support.screen import CONTROL

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


def short(ids):
    return [job_id[:8] for job_id in ids]


def shown_on_terminal(line, *arguments):
    """The short ids of the jobs that are shown, and the line that follows, if there is one."""
    code, text = line.on_terminal("list", *arguments).end()
    assert code == 0, text
    # A terminal of a test does not wrap lines.
    head, *rest = text.replace("\r", "").splitlines()
    if head.startswith("No jobs"):
        assert not rest
        return [], ""
    assert head.split()[:3] == ["ID", "RESULT", "JOB"]
    hint = [row for row in rest if HINT in row]
    assert rest[len(rest) - len(hint) :] == hint, "it is the last line, and one only"
    return [row.split()[0] for row in rest[: len(rest) - len(hint)]], "".join(hint)


@pytest.mark.parametrize("count", [0, LIMIT - 1, LIMIT, LIMIT + 1])
@pytest.mark.parametrize("status", [None, "queued"])
def test_a_line_says_so_exactly_when_there_are_more(queued, user_of, count, status):
    server, ids = queued(count)
    options = ["--limit", str(LIMIT), *(["--status", status] if status else [])]
    shown, hint = shown_on_terminal(user_of(server.url), *options)
    assert shown == short(ids[:LIMIT])
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
    assert seen == short(ids)


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
    assert shown == short(ids[:1])
    assert hint.startswith("showing 1 job; to list older ones: ci list --limit 1 --before ")


def test_before_a_job_that_is_not_there(queued, user_of):
    server, _ = queued(LIMIT + 1)
    done = user_of(server.url).run("list", "--before", "nonsense")
    assert (done.code, done.out) == (2, b"")
    assert done.err == "Error: There is no job nonsense in this list (--before).\n"


ROWS = [
    # Status, exit code, reason, seconds, and the failed tests of a report.
    ("completed", 0, "exit", 75, None),
    ("completed", 1, "exit", 7, 3),
    ("completed", 2, "exit", 7, None),
    ("failed", None, "timeout", 3600, None),
    ("cancelled", None, "cancelled", None, None),
]


@pytest.fixture(scope="module")
def various(tmp_path_factory):
    """A server without a controller, and its jobs, newest first: of a branch with a long name, and
    one of each end.
    """
    server = LiveServer(tmp_path_factory.mktemp("various"), controller="external").start()
    spec = {
        "git": {"commit": "0123456789" * 4, "branch": "feature/a-rather-long-name-of-a-branch"},
        "labels": {
            "git.branch": "feature/a-rather-long-name-of-a-branch",
            "git.commit": "0123456789" * 4,
            "git.dirty": "true",
            "git.remote": "https://git.example.com/team/warehouse.git",
        },
    }
    form = {"file": ("project.zip", projects.ANY)}
    ids = []
    for _ in range(len(ROWS) + 1):
        answer = server.http.post("/submit-async", data={"spec": json.dumps(spec)}, files=form)
        ids.append(answer.json()["job_id"])
    for job_id, (status, code, reason, seconds, failed) in zip(ids, ROWS, strict=False):
        tests = {"total": 9, "passed": 6, "failed": failed, "errors": 0, "skipped": 0}
        tests |= {"seconds": 1.0, "failures": [], "slowest": []}
        server.execute(
            "UPDATE jobs SET status = ?, exit_code = ?, reason = ?, message = 'told', "
            "log_size = 0, started_at = CASE WHEN ? THEN '2030-01-01T12:00:00.000Z' END, "
            "ended_at = strftime('%Y-%m-%dT%H:%M:%fZ', '2030-01-01 12:00:00', ? || ' seconds'), "
            "tests = ? WHERE job_id = ?",
            *(status, code, reason, seconds is not None, seconds or 0),
            *(json.dumps(tests) if failed else None, job_id),
        )
    yield server, ids[::-1]
    server.close()


@pytest.mark.parametrize("columns", [80, 120])
def test_a_terminal_shows_what_identifies_a_job_in_its_width(various, user_of, columns):
    server, ids = various
    code, text = user_of(server.url).on_terminal("list", columns=columns).end()
    lines = CONTROL.sub("", text).replace("\r", "").splitlines()
    assert code == 0
    assert max(map(len, lines)) <= columns
    head, *rows = lines
    assert head.split() == [
        *("ID", "RESULT", "JOB", "PROJECT", "BRANCH", "COMMIT", "USER", "AGE", "TIME")
    ]
    assert [row[:8] for row in rows] == short(ids)
    assert [row[10 : head.index("JOB")].strip() for row in rows] == [
        *("- queued", "✗ cancelled", "✗ timed out", "✗ exit code 2", "✗ 3 tests failed"),
        "✓ passed",
    ]
    assert all(" 0123456* " in row for row in rows)
    assert [row.split()[-1] for row in rows] == ["-", "-", "1h00m", "7s", "7s", "1m15s"]
    whole = "warehouse  feature/a-rather-long-name-of-a-branch"
    assert (whole in text) == (columns == 120), text
    assert " feature" in text
    assert "wareho" in text


def test_a_pipe_gets_the_published_table_with_more_columns_behind(various, user_of):
    server, ids = various
    head, *rows = user_of(server.url).run("list", COLUMNS="40").text.splitlines()
    published = "JOB ID  STATUS  START TIME  END TIME  SUCCESS"
    assert re.sub(" {2,}", "  ", head).startswith(published)
    cells = [re.split(" {2,}", row) for row in rows]
    assert [row[0] for row in cells] == ids
    assert [row[4] for row in cells] == ["-", "✗", "✗", "✗", "✗", "✓"]
    branch = "feature/a-rather-long-name-of-a-branch"
    assert {tuple(row[-3:]) for row in cells} == {("warehouse", branch, "0123456*")}


@pytest.mark.parametrize(
    ("options", "at"),
    [
        (["--failed"], [2, 3, 4]),
        (["--status", "failed"], [2, 3, 4]),
        (["--status", "failed", "--failed"], [2, 3, 4]),
        (["--status", "passed"], [5]),
        (["--status", "completed", "--failed"], [3, 4]),
        (["--reason", "timeout", "--mine"], [2]),
        (["--name", "test", "--label", "git.dirty=true", "--limit", "2"], [0, 1]),
        (["--label", "git.dirty=false"], []),
        (["--text", "WAREHOUSE cancelled"], []),
        (["--text", "WAREHOUSE pytest", "--failed"], [2, 3, 4]),
        (["--since", "1h"], [0, 1, 2, 3, 4, 5]),
        (["--until", "1h"], []),
        (["--user", "nobody"], []),
    ],
)
def test_options_narrow_the_list(various, user_of, options, at):
    server, ids = various
    done = user_of(server.url).run("list", "--json", *options)
    assert done.code == 0, done.err
    assert [job["job_id"] for job in json.loads(done.out)] == [ids[number] for number in at]


@pytest.mark.parametrize(
    "options",
    [
        ["--since", "yesterday"],
        ["--label", "x"],
        ["--label", "a=1", "--label", "a=2"],
        ["--failed", "--status", "passed"],
    ],
)
def test_options_that_mean_nothing_are_usage_errors(various, user_of, options):
    done = user_of(various[0].url).run("list", *options)
    assert (done.code, done.out) == (2, b"")
    assert options[0] in done.err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--reason", "tiemout"], "Did you mean timeout?"),
        (["--reason", "foo"], "--reason: 'foo' is not one of exit, oom, timeout,"),
        (["--status", "success"], "Did you mean passed?"),
        (["--status", "fail"], "Did you mean failed?"),
        (["--before", "abc"], "give at least 4 characters of the id"),
    ],
)
def test_a_value_that_there_is_not_is_answered_with_those_there_are(
    various, user_of, options, says
):
    done = user_of(various[0].url).run("list", *options)
    assert (done.code, done.out) == (2, b"")
    assert says in done.err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--user", "alice"], "No jobs match --user alice. --user needs the whole name"),
        (["--text", "a b", "--label", "x=1"], "No jobs match --text 'a b' --label x=1."),
    ],
)
def test_a_terminal_says_that_no_job_matches(various, user_of, options, says):
    code, text = user_of(various[0].url).on_terminal("list", *options).end()
    assert code == 0
    assert text.startswith(says)
    assert "RESULT" not in text


def test_status_on_a_terminal_tells_what_people_ask(various, user_of):
    server, ids = various
    line = user_of(server.url)
    code, text = line.on_terminal("status", ids[4], NO_COLOR="1", TZ="UTC").end()
    facts = dict(re.findall(r"^([A-Z][a-z]+): +(.+?)\r?$", text, re.MULTILINE))
    assert code == 0
    branch = "feature/a-rather-long-name-of-a-branch"
    wanted = {"Job": ids[4][:8], "Result": "✗ 3 tests failed", "Message": "told", "User": "local"}
    wanted |= {"Project": "warehouse", "Branch": branch, "Commit": "0123456*", "Duration": "7.0 s"}
    wanted |= {"Started": "2030-01-01 12:00:00", "Ended": "2030-01-01 12:00:07"}
    assert wanted.items() <= facts.items(), text
    assert {"Timeout", "Image", "Submitted", "Tests"} <= facts.keys()
    assert not {"Status", "Success", "Reason", "Labels"} & facts.keys()
    published = line.run("status", ids[4]).text
    assert f"Job:        {ids[4]}\nName:" in published
    assert "Status:     completed\nSuccess:    ✗\n" in published
    assert "Started:    2030-01-01T12:00:00.000Z\n" in published


def test_the_next_page_has_the_same_filters(various, user_of):
    server, ids = various
    line = user_of(server.url)
    _, hint = shown_on_terminal(
        *(line, "--failed", "--label", "git.dirty=true", "--mine", "--limit", "2")
    )
    told = re.search(rf"{HINT}ci list (.*) \(or raise --limit\)$", hint)
    shown, _ = shown_on_terminal(line, *shlex.split(told[1]))
    assert shown == short(ids[4:5])


def test_a_job_is_named_by_the_beginning_of_its_id_or_not_at_all(various, user_of):
    server, ids = various
    line = user_of(server.url)
    newest = json.loads(line.run("status", "--json").out)
    assert newest["job_id"] == ids[0]
    shown = json.loads(line.run("status", ids[-1][:8], "--json").out)
    assert (shown["job_id"], shown["success"]) == (ids[-1], True)
    done = line.run("wait", ids[-1][:8].upper())
    assert (done.code, done.out) == (0, b"")
    assert f"Job {ids[-1]} already completed: ✓ passed" in done.err
    assert line.run("cancel", ids[0][:8]).text == f"Job {ids[0]} cancelled.\n"


def test_without_any_job_there_is_no_newest_one(queued, user_of):
    server, _ = queued(0)
    for name in ("wait", "logs", "status"):
        done = user_of(server.url).run(name)
        assert (done.code, "You have no job" in done.err) == (2, True)
