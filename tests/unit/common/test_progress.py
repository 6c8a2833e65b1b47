"""Progress that a job reports in its output."""

import pytest

from ci_common.progress import (
    Initialized,
    Progress,
    ProgressLines,
    read_initialized,
    read_progress,
)

LOG = (
    b'before\n::progress {"current":0,"total":2,"phase":"load"}\n'
    b"::progressive\n::\n\n"
    b'not at the start ::progress {"current":1,"total":2,"phase":"load"}\n'
    b'::progress {"current":2,"total":2,"phase":"load"}\n::progress {broken\n'
    b"\xc3\xa4 after\n::prog"
)
SHOWN = b"".join(
    line
    for line in LOG.splitlines(keepends=True)
    if not line.startswith(b'::progress {"') and line != b"::prog"
)


def filtered(pieces):
    lines, shown, steps = ProgressLines(), b"", []
    for piece in pieces:
        more, told = lines.feed(piece)
        shown, steps = shown + more, steps + told
    return shown, steps, lines.rest()


@pytest.mark.parametrize("cut", range(len(LOG) + 1))
def test_progress_is_taken_out_wherever_the_log_is_cut(cut):
    steps = [Progress(0, 2, "load"), Progress(2, 2, "load")]
    assert filtered([LOG[:cut], LOG[cut:]]) == (SHOWN, steps, b"::prog")


def test_progress_is_taken_out_byte_by_byte():
    shown, steps, rest = filtered(LOG[i : i + 1] for i in range(len(LOG)))
    assert (shown, len(steps), rest) == (SHOWN, 2, b"::prog")


def test_only_what_may_be_progress_is_kept_back():
    lines = ProgressLines()
    assert lines.feed(b"password: ") == (b"password: ", [])
    assert lines.feed(b'::progress {"current":1,"total":1,"phase":"x"}\n')[1] == []
    assert lines.feed(b"::progress " + b"x" * 2000)[0] == b"::progress " + b"x" * 2000
    assert lines.rest() == b""


@pytest.mark.parametrize(
    "line",
    [
        b'::progress {"current":1,"total":2}',
        b'::progress {"current":"1","total":2,"phase":"x"}',
        b'::progress {"current":true,"total":2,"phase":"x"}',
        b'::progress {"current":9007199254740992,"total":2,"phase":"x"}',
        b'::progress {"current":1,"total":2,"phase":"x","score":9007199254740992}',
        b'::progress {"current":1,"total":2,"phase":"x","score":1e999}',
        b"::progress [1]",
        b"::progress 1",
        b"::progress \xff",
        b"::progress " + b"[" * 900,
        b' ::progress {"current":1,"total":2,"phase":"x"}',
        b'::progress {"current":1,"total":2,"phase":"x","phase":"y"}',
        b'::progress {"current":1,"total":2,"phase":"x","iteration":1.5}',
        b'::progress {"current":1,"total":2,"phase":"x","score":"1"}',
        b'::progress {"current":1,"total":2,"phase":"x","score":NaN}',
        b'::progress {"current":1,"total":2,"phase":"x","score":true}',
        b'::progress {"current":1,"total":2,"phase":"x","scores":[1]}',
        b'::progress {"current":1,"total":2,"phase":"x","scores":{"a":null}}',
        b'::progress {"current":1,"total":2,"phase":"x","message":1}',
    ],
)
def test_other_lines_are_not_progress(line):
    assert read_progress(line) is None


def test_what_may_be_said_besides():
    line = (
        b'::progress {"current":1,"total":2,"phase":"x","iteration":3,"score":7,'
        b'"scores":{"a":0.5,"b":1},"message":"so far","later":[]}'
    )
    assert read_progress(line) == Progress(1, 2, "x", 3, 7, {"a": 0.5, "b": 1}, "so far")


@pytest.mark.parametrize("name", ["iteration", "score", "scores", "message"])
def test_null_is_the_same_as_nothing(name):
    line = b'::progress {"current":1,"total":2,"phase":"x","%s":null}' % name.encode()
    assert read_progress(line) == Progress(1, 2, "x")


INITIALIZED = b'::initialized {"pipelineId":"term life","assetsHash":"ab12","nodeCount":4}'
FACTS = Initialized("term life", "ab12", 4)
STEP = b'::progress {"current":1,"total":2,"phase":"x"}'


@pytest.mark.parametrize("cut", range(len(INITIALIZED) + 20))
def test_what_the_job_works_on_is_taken_out_wherever_the_log_is_cut(cut):
    lines, log = ProgressLines(), b"before\n" + INITIALIZED + b"\nafter\n"
    shown = b"".join(lines.feed(piece)[0] for piece in (log[:cut], log[cut:]))
    assert (shown, lines.initialized) == (b"before\nafter\n", FACTS)


def test_only_the_first_that_comes_before_progress_counts():
    lines = ProgressLines()
    assert lines.feed(INITIALIZED + b"\n::initialized {}\n") == (b"", [])
    assert lines.initialized == FACTS
    late = ProgressLines()
    assert late.feed(STEP + b"\n" + INITIALIZED + b"\n") == (b"", [Progress(1, 2, "x")])
    assert late.initialized is None


@pytest.mark.parametrize(
    ("line", "facts"),
    [
        (INITIALIZED, FACTS),
        (b"::initialized {}", Initialized()),
        (b'::initialized {"pipelineId":null,"later":1}', Initialized()),
        (b'::initialized {"pipelineId":1}', None),
        (b'::initialized {"assetsHash":[]}', None),
        (b'::initialized {"nodeCount":true}', None),
        (b'::initialized {"nodeCount":1.5}', None),
        (b'::initialized {"nodeCount":1,"nodeCount":2}', None),
        (b"::initialized []", None),
        (b"::initialized", None),
        (b' ::initialized {"nodeCount":1}', None),
        (b'::initialized {"pipelineId":"%s"}' % (b"x" * 1000), None),
    ],
)
def test_what_says_what_the_job_works_on(line, facts):
    assert read_initialized(line) == facts


@pytest.mark.parametrize("before", [b"", b"::prog", b"note "])
def test_a_line_of_which_the_beginning_is_unknown_is_no_report(before):
    lines = ProgressLines()
    lines.feed(before)
    lines.skip_line()
    report = b'::progress {"current":1,"total":2,"phase":"load"}\n'
    assert lines.feed(report) == (report, [])
    assert lines.feed(report) == (b"", [Progress(1, 2, "load")])
