"""Lines of progress stay within what readers accept."""

import io

import pytest

from ci_common.progress import read_progress
from haystack.progress import MAX_LINE_BYTES, Progress


@pytest.mark.parametrize("message", ["x" * 5000, "é" * 5000, "🙂" * 3000, '"\\' * 900, "\n\x00"])
def test_a_long_message_is_cut(message):
    output = io.StringIO()
    Progress(5, output).begin("inference", message, 3)
    line = output.getvalue().removesuffix("\n").encode()
    assert len(line) <= MAX_LINE_BYTES
    found = read_progress(line)
    assert (found.phase, found.iteration, found.total) == ("inference", 3, 17)
    assert message.startswith(found.message)


def test_only_the_end_of_an_iteration_has_a_score():
    output = io.StringIO()
    progress = Progress(1, output)
    progress.begin("query_analysis", "a")
    progress.begin("evaluation", "b", 1)
    progress.scored(1, 4.5, {"x": 4.5})
    progress.begin("output_generation", "c")
    progress.finish("d")
    found = [read_progress(line.encode()) for line in output.getvalue().splitlines()]
    assert [(p.current, p.iteration, p.score) for p in found] == [
        (0, None, None),
        (1, 1, None),
        (2, 1, 4.5),
        (4, None, None),
        (5, None, None),
    ]
