"""Artifacts and test reports in library and commands, against a scripted server."""

import hashlib
import json
import tracemalloc
from functools import partial

import pytest
from client_scripted_artifacts import CONTENT, LIST, Stored, artifact, run_command, serve, tree
from client_scripted_server import (
    DETAILS,
    FINISHED,
    JOB,
    complete,
    error,
    reply_json,
    stream,
)

from ci_client import client as library
from ci_client.client import Client
from ci_client.command.report_display import (
    coverage_line,
    full_report,
    printable,
    remarks,
    short_report,
    totals,
)
from ci_client.errors import (
    DownloadError,
    JobNotFound,
    ServerUnreachable,
    UnexpectedAnswer,
    UsageError,
)
from ci_client.library.artifact_choice import ArtifactChoice

TESTS = {
    "total": 27, "passed": 24, "failed": 1, "errors": 1, "skipped": 1, "seconds": 3.5,
    "failures": [
        {"name": "tests/test_a.py::test_x", "seconds": 0.1, "message": "assert 1 == 2\nmore"},
        {"name": "tests/test_b.py", "seconds": 0, "message": "\x1b[31mSyntaxError"},
    ],
    "slowest": [{"name": "tests/test_a.py::test_slow", "seconds": 1.25, "message": ""}],
}  # fmt: skip


@pytest.fixture
def server(server):
    server.on(f"GET /jobs/{JOB}", reply_json(FINISHED))
    return server


@pytest.fixture
def run(server, tmp_path):
    return partial(run_command, server, tmp_path)


# ------------------------------------------------------------------ the library


def test_list(server):
    found = [artifact("output/a", b"x")]
    server.on(LIST, reply_json(found))
    assert library.list_artifacts(JOB.upper(), server.url) == found


@pytest.mark.parametrize("answer", [{}, [1], [{"path": "a", "size": "1", "sha256": ""}]])
def test_a_list_that_is_none(server, answer):
    server.on(LIST, reply_json(answer))
    with pytest.raises(UnexpectedAnswer):
        library.list_artifacts(JOB, server.url)


def test_list_of_an_unknown_job(server):
    server.on(LIST, error(404, "job_not_found", "no"))
    with pytest.raises(JobNotFound):
        library.list_artifacts(JOB, server.url)


FILES = {
    "output/junit.xml": b"<testsuite/>",
    "output/a b/ü%2F?#\n": CONTENT,
    "top": b"",
}


def test_download(server, target):
    serve(server, FILES)
    places = library.download_artifacts(JOB, target, server.url)
    assert tree(target) == FILES
    assert places == [target / path for path in FILES]


def test_a_file_has_the_time_at_which_the_job_wrote_it(server, target):
    serve(server, {"a": b"1"}, modified="2020-03-01T12:00:00.000Z")
    (place,) = library.download_artifacts(JOB, target, server.url)
    assert place.stat().st_mtime == 1_583_064_000


@pytest.mark.parametrize(
    "modified",
    [None, 5, "", "soon", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00", "1600-01-01", ["x"]],
)
def test_a_time_that_no_file_can_have_keeps_nothing_from_being_fetched(server, target, modified):
    serve(server, {"a": b"1"}, modified=modified)
    (place,) = library.download_artifacts(JOB, target, server.url)
    assert place.read_bytes() == b"1"


def test_again_fetches_only_what_is_missing_or_differs(server, target):
    serve(server, FILES)
    library.download_artifacts(JOB, target, server.url)
    (target / "top").unlink()
    (target / "output/junit.xml").write_bytes(b"<testsuite!>")
    server.requests.clear()
    library.download_artifacts(JOB, target, server.url)
    assert tree(target) == FILES
    assert [a.path.rpartition("/")[2] for a in server.requests[1:]] == ["junit.xml", "top"]


@pytest.mark.parametrize("ranges", [True, False])
def test_a_drop_is_resumed(server, target, ranges):
    serve(server, {"a": CONTENT})
    server.on(f"{LIST}/a", Stored(CONTENT, [0, 1, 5000, 0, 700], ranges))
    with Client(server.url) as client:
        client.download_artifacts(JOB, target)
    assert tree(target) == {"a": CONTENT}
    asked = [a.headers.get("range") for a in server.asked(f"{LIST}/a")]
    if ranges:
        assert asked == [None, None, *(f"bytes={n}-" for n in (1, 5001, 5001, 5701))]
    tag = f'"{hashlib.sha256(CONTENT).hexdigest()}"'
    assert {a.headers.get("if-range") for a in server.asked(f"{LIST}/a")} == {None, tag}


def test_a_server_that_stays_away(server, target):
    serve(server, {"a": CONTENT})
    server.on(f"{LIST}/a", error(503, "not_ready", "later"))
    with Client(server.url, patience=0.1) as client, pytest.raises(ServerUnreachable):
        client.download_artifacts(JOB, target)
    assert tree(target) == {}


@pytest.mark.parametrize("wrong", [CONTENT[:-1] + b"x", CONTENT + b"more"])
def test_damage_is_noticed_and_nothing_stays(server, target, wrong):
    serve(server, {"a": CONTENT})
    server.on(f"{LIST}/a", Stored(wrong))
    with pytest.raises(DownloadError, match="damaged"):
        library.download_artifacts(JOB, target, server.url)
    assert tree(target) == {}


def test_links_on_the_way_are_not_followed(server, target):
    outside = target.parent.parent / "outside"
    outside.mkdir()
    target.mkdir(parents=True)
    (target / "output").symlink_to(outside)
    serve(server, {"output/a": b"x"})
    with pytest.raises(DownloadError, match="is a symbolic link"):
        library.download_artifacts(JOB, target, server.url)
    assert tree(outside) == {}


def test_a_link_in_a_files_place_is_replaced(server, target):
    outside = target.parent.parent / "outside"
    outside.write_bytes(b"precious")
    target.mkdir(parents=True)
    (target / "a").symlink_to(outside)
    serve(server, {"a": b"x"})
    library.download_artifacts(JOB, target, server.url)
    assert outside.read_bytes() == b"precious"
    assert not (target / "a").is_symlink()


def test_constant_memory(server, target):
    content = CONTENT * 3000
    serve(server, {"big": content})
    tracemalloc.start()
    try:
        with Client(server.url) as client:
            before = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            client.download_artifacts(JOB, target)
            peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    # The scripted server is in this process and holds one copy more.
    assert peak < 1.5 * len(content)
    assert (target / "big").read_bytes() == content


# ------------------------------------------------------------------ the commands


def test_artifacts_as_a_table(server, run):
    serve(server, {"output/a": b"12345", "output/\x1b[31m": CONTENT * 100})
    code, out, _ = run("artifacts", JOB)
    assert code == 0
    assert [line.split() for line in out.splitlines()] == [
        ["SIZE", "SHA-256", "PATH"],
        ["5", "B", hashlib.sha256(b"12345").hexdigest()[:12], "output/a"],
        ["1000", "KiB", hashlib.sha256(CONTENT * 100).hexdigest()[:12], "output/\\x1b[31m"],
    ]


def test_a_digest_does_nothing_to_a_terminal(server, run):
    found = [{"path": "a", "size": 1, "sha256": "\x1b[2J"}]
    server.on(f"GET /jobs/{JOB}/artifacts", reply_json(found))
    code, out, _ = run("artifacts", JOB)
    assert (code, "\x1b" in out) == (0, False)


def test_artifacts_as_json(server, run):
    serve(server, FILES)
    code, out, _ = run("artifacts", JOB, "--json")
    assert code == 0
    assert [a["path"] for a in json.loads(out)] == list(FILES)


@pytest.mark.parametrize(
    ("job", "says"), [(FINISHED, "left no artifacts"), (DETAILS, "is not finished")]
)
@pytest.mark.parametrize("options", [[], ["--download", "x"]])
def test_no_artifacts(server, run, job, says, options):
    server.on(LIST, reply_json([]))
    server.on(f"GET /jobs/{JOB}", reply_json(job))
    code, out, err = run("artifacts", JOB, *options)
    assert (code, out) == (0, "")
    assert says in err


@pytest.mark.parametrize("options", [[], ["--json"], ["--download", "got"]])
@pytest.mark.parametrize("files", [{"output/a": b"12345"}, {}])
def test_what_the_server_did_not_keep_is_told(server, run, files, options):
    serve(server, files)
    why = "at least 1001 beyond the limit of 1 files, everything from 'output/b\x1b' on"
    message = f"exited with code 0; artifacts left out: {why}"
    server.on(f"GET /jobs/{JOB}", reply_json({**FINISHED, "message": message}))
    code, _, err = run("artifacts", JOB, *options)
    assert code == 0
    assert "Not kept by the server: at least 1001 beyond the limit" in err
    assert "output/b\\x1b' on" in err
    assert "left no artifacts" not in err


def test_download_command(server, run, tmp_path):
    serve(server, {"output/a": b"12345", "b": b"1"})
    code, out, err = run("artifacts", JOB, "--download", "got")
    assert (code, out.splitlines()) == (0, ["got/output/a", "got/b"])
    assert "2 artifacts (6 B) in got" in err
    assert tree(tmp_path / "got") == {"output/a": b"12345", "b": b"1"}


TREE = {
    "dist/a.whl": b"wheel",
    "output/deep/plot.png": b"deep",
    "output/plot.png": b"plot",
    "output/report.XML": b"report",
}


@pytest.mark.parametrize(
    ("patterns", "chosen"),
    [
        (["dist/a.whl"], ["dist/a.whl"]),
        (["dist"], ["dist/a.whl"]),
        (["output/", "dist"], list(TREE)),
        (["output/*.png"], ["output/plot.png"]),
        (["output/**/*.png"], ["output/deep/plot.png", "output/plot.png"]),
        (["**/plot.???"], ["output/deep/plot.png", "output/plot.png"]),
        (["**"], list(TREE)),
        (["./output/deep"], ["output/deep/plot.png"]),
        (["/workspace/dist"], ["dist/a.whl"]),
        (["output/*.XML"], ["output/report.XML"]),
        (["*/plot.png", "output/plot.png"], ["output/plot.png"]),
    ],
)
def test_what_matches(patterns, chosen):
    listed = [artifact(path, content) for path, content in TREE.items()]
    assert [one["path"] for one in ArtifactChoice(patterns).of(listed)] == chosen


def test_only_what_matches_is_listed_and_fetched(server, run, tmp_path):
    serve(server, TREE)
    patterns, chosen = ["output/**/*.png"], ["output/deep/plot.png", "output/plot.png"]
    code, out, err = run("artifacts", JOB, *patterns)
    assert (code, err) == (0, "")
    assert [line.split()[-1] for line in out.splitlines()[1:]] == chosen
    code, out, _ = run("artifacts", JOB, *patterns, "--json")
    assert [one["path"] for one in json.loads(out)] == chosen
    code, out, err = run("artifacts", JOB, *patterns, "--download", "got")
    assert code == 0
    assert "2 artifacts (8 B) in got" in err
    assert tree(tmp_path / "got") == {path: TREE[path] for path in chosen}
    asked = {request.path for request in server.requests}
    assert f"/jobs/{JOB}/artifacts/output/plot.png" in asked
    assert f"/jobs/{JOB}/artifacts/dist/a.whl" not in asked


@pytest.mark.parametrize("options", [["--json"], ["--download", "got"]])
def test_a_pattern_that_matches_nothing_is_an_error_after_the_others(
    server, run, tmp_path, options
):
    serve(server, TREE)
    code, _, err = run("artifacts", JOB, "*.xml", "plot.png", *options)
    assert code == 2
    assert f"Error: No artifact of job {JOB} matches '*.xml' or 'plot.png'." in err
    assert "The job has 4 artifacts" in err
    assert not (tmp_path / "got").exists()
    code, out, err = run("artifacts", JOB, "dist", "output/*.xml", *options)
    assert (code, "a.whl" in out) == (2, True)
    assert "matches 'output/*.xml'. " in err


@pytest.mark.parametrize("pattern", ["/etc/passwd", "../up", "output/../../up", ""])
def test_a_pattern_that_leads_out_of_the_project_is_refused(pattern):
    with pytest.raises(UsageError, match="is not a path or pattern within the project"):
        ArtifactChoice([pattern])


def test_a_refused_pattern_asks_nothing(server, run):
    code, out, err = run("artifacts", JOB, "../up", "--download", "got")
    assert (code, out) == (2, "")
    assert "Error: '../up' is not a path" in err
    assert server.requests == []


@pytest.mark.parametrize(
    ("job", "says"), [(DETAILS, "is not finished"), (FINISHED, "left no artifacts")]
)
def test_a_pattern_and_no_artifacts_at_all(server, run, job, says):
    serve(server, {})
    server.on(f"GET /jobs/{JOB}", reply_json(job))
    code, out, err = run("artifacts", JOB, "dist", "--download", "got")
    assert (code, out) == (2, "")
    assert says in err
    assert "The job has 0 artifacts" in err


def test_the_library_fetches_what_matches(server, target):
    serve(server, TREE)
    with Client(server.url) as client:
        client.download_artifacts(JOB, target, patterns=["dist"])
        assert tree(target) == {"dist/a.whl": b"wheel"}
        assert client.download_artifacts(JOB, target, patterns=["none"]) == []


def test_status_tells_of_tests_and_artifacts(server, run):
    server.on(f"GET /jobs/{JOB}", reply_json({**FINISHED, "tests": TESTS, "artifacts_size": 1234}))
    code, out, _ = run("status", JOB)
    assert code == 0
    assert "Tests:      24 passed, 1 failed, 1 error, 1 skipped\n" in out
    assert f"Artifacts:  1.2 KiB (ci artifacts {JOB})\n" in out
    assert "✗ tests/test_a.py::test_x\n      assert 1 == 2\n" in out
    assert "more" not in out
    assert "1.250 s  tests/test_a.py::test_slow" in out
    assert "\x1b" not in out


def test_wait_tells_of_tests_before_the_result(server, run):
    wire = complete(success=False, exit_code=1, tests=TESTS)
    server.on(f"GET /jobs/{JOB}", reply_json(DETAILS))
    server.on(f"GET /jobs/{JOB}/stream", stream(wire))
    code, out, err = run("wait", JOB)
    assert (code, out) == (1, "")
    assert "24 passed, 1 failed, 1 error, 1 skipped\n  ✗ tests/test_a.py::test_x\n" in err
    assert err.index("24 passed") < err.index("✗ failed: exit code 1")


def test_wait_tells_what_the_server_did_not_keep(server, run):
    message = "exited with code 0; artifacts left out: 3 beyond the limit of 2 files"
    server.on(f"GET /jobs/{JOB}", reply_json(DETAILS))
    server.on(f"GET /jobs/{JOB}/stream", stream(complete(success=True, message=message)))
    code, _, err = run("wait", JOB)
    assert code == 0
    assert "Not kept by the server: 3 beyond the limit of 2 files\n✓ passed" in err


def test_wait_on_a_finished_job_tells_of_tests(server, run):
    server.on(f"GET /jobs/{JOB}", reply_json({**FINISHED, "tests": TESTS}))
    code, _, err = run("wait", JOB)
    assert code == 1
    assert "24 passed, 1 failed" in err


# ------------------------------------------------------------------ words


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({}, "no tests"),
        ({"passed": 1}, "1 passed"),
        (
            {"passed": 2, "failed": 3, "errors": 2, "skipped": 1},
            "2 passed, 3 failed, 2 errors, 1 skipped",
        ),
        ({"failed": None, "errors": 1}, "1 error"),
    ],
)
def test_totals(counts, expected):
    assert totals(counts) == expected


@pytest.mark.parametrize(
    ("coverage", "line"),
    [
        ({"lines_covered": 1051, "lines_total": 1204}, "Coverage 87.2 % of 1,204 lines"),
        (
            {"lines_covered": 5, "lines_total": 5, "branches_covered": 1, "branches_total": 3},
            "Coverage 100.0 % of 5 lines, 33.3 % of 3 branches",
        ),
        ({"lines_covered": 99_999, "lines_total": 100_000}, "Coverage 99.9 % of 100,000 lines"),
        ({"lines_covered": 0, "lines_total": 0}, "Coverage of no lines"),
        ({"new": 1}, "Coverage of no lines"),
    ],
)
def test_coverage_in_a_line(coverage, line):
    assert coverage_line(coverage) == line


def test_status_and_wait_tell_of_coverage(server, run):
    coverage = {"lines_covered": 3, "lines_total": 4}
    server.on(f"GET /jobs/{JOB}", reply_json({**FINISHED, "coverage": coverage}))
    assert "Coverage:   75.0 % of 4 lines" in run("status", JOB)[1]
    assert run("wait", JOB)[2].startswith("Coverage 75.0 % of 4 lines\n")
    server.on(f"GET /jobs/{JOB}", reply_json(DETAILS))
    server.on(f"GET /jobs/{JOB}/stream", stream(complete(success=True, coverage=coverage)))
    assert "Coverage 75.0 % of 4 lines\n✓ passed" in run("wait", JOB)[2]


def test_a_short_report_says_why_a_module_could_not_be_imported():
    message = (
        "tests/test_a.py:1: in <module>\n    import six\nModuleNotFoundError: No module named 'six'"
    )
    failures = [
        {"name": "tests/test_a.py", "message": message},
        {"name": "tests/test_b.py::test_x", "message": "assert 0"},
    ]
    assert short_report({"errors": 1, "failed": 1, "failures": failures}).splitlines() == [
        "1 failed, 1 error",
        "  ✗ tests/test_a.py",
        "      ModuleNotFoundError: No module named 'six'",
        "  ✗ tests/test_b.py::test_x",
    ]


@pytest.mark.parametrize(
    ("message", "reason", "told"),
    [
        ("exited with code 0", "exit", []),
        (
            "exited with code 1; 1 test report could not be read: 'output/a.xml' (x; y)",
            "exit",
            ["Note: 1 test report could not be read: 'output/a.xml' (x; y)"],
        ),
        (
            "exited with code 1; some of its output may be missing from the log; artifacts left "
            "out: 2 beyond the limit of 1 files; 1 test report could not be read: 'b' (c)",
            "exit",
            [
                "Note: some of its output may be missing from the log",
                "Not kept by the server: 2 beyond the limit of 1 files; 1 test report could not be "
                "read: 'b' (c)",
            ],
        ),
        ("exited with code 0; its log is larger; cut", "log_limit", []),
        (None, "exit", []),
    ],
    ids=range(5),
)
def test_what_a_message_says_besides(message, reason, told):
    assert remarks({"message": message, "reason": reason}) == told


def test_a_short_report_is_short():
    failures = [{"name": f"test_{n}\n"} for n in range(100)]
    lines = short_report({"failed": 150, "failures": failures}).splitlines()
    assert lines[0] == "150 failed"
    assert lines[1] == "  ✗ test_0\\n"
    assert len(lines) == 12
    assert lines[-1] == "  and 140 more"


def test_reports_of_servers_to_come():
    assert short_report({"passed": 1, "failures": None}) == "1 passed"
    assert full_report({}) == ""
    assert "None" in full_report({"failures": [{}], "slowest": [{}]})


def test_long_names_are_cut():
    report = full_report({"failures": [{"name": "n" * 999, "message": "m" * 999}]})
    assert max(map(len, report.splitlines())) < 210


def test_printable():
    assert printable("a ü\n\x1b[0m\u202e\udce9") == "a ü\\n\\x1b[0m\\u202e\\udce9"
