"""`python -m haystack` as a job starts it."""

import json
import os
import resource
import signal
import subprocess
import sys

import pytest

from ci_common.progress import PREFIX, read_progress
from haystack.progress import PHASES
from setup_steps.paths import EXAMPLES

RESULT = "output/result.json"


@pytest.fixture
def start(data, tmp_path):
    """A function that starts the command in a directory of its own; all are dead at the end."""
    started = []

    def start_(**environment):
        plain = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "COV"))}
        given = {
            "PYTHONPATH": str(EXAMPLES / "haystack"),
            "HAYSTACK_DATA": str(data),
            "RUN_ID": "run_0123456789ab",
            "QUERY": "How do CD4 T cells respond to IFN-beta?",
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "haystack"],
            cwd=tmp_path,
            env={**plain, **given, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        started.append(process)
        return process

    yield start_
    for process in started:
        process.kill()
        process.communicate()


def lines_until(process, wanted):
    """Lines of the output up to one with progress that is wanted."""
    for line in process.stdout:
        progress = read_progress(line.rstrip(b"\n"))
        if progress and wanted(progress):
            return
    pytest.fail("the output ended before")


def computed_seconds():
    """Of all children so far: what a run takes where nothing else runs."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def test_a_run_reports_progress_and_takes_less_than_20_seconds(start, tmp_path):
    before, process = computed_seconds(), start()
    output, errors = process.communicate()
    assert computed_seconds() - before < 20
    assert (process.returncode, errors) == (0, b"")
    lines = [line for line in output.splitlines() if line.startswith(PREFIX)]
    found = [read_progress(line) for line in lines]
    assert None not in found
    assert list(dict.fromkeys(item.phase for item in found)) == list(PHASES)
    assert [i.current for i in found] == sorted(i.current for i in found)
    assert found[-1].current == found[-1].total
    result = json.loads((tmp_path / RESULT).read_text())
    told = [(i.iteration, i.score, dict(i.scores)) for i in found if i.score is not None]
    assert told == [(i["iteration"], i["score"], i["scores"]) for i in result["iterations"]]


def test_a_killed_run_that_is_started_again_ends_with_the_same_bytes(start, tmp_path):
    killed = start()
    lines_until(killed, lambda progress: progress.score is not None)
    killed.kill()
    killed.wait()
    assert start().wait() == 0
    again = (tmp_path / RESULT).read_bytes()
    (tmp_path / RESULT).unlink()
    assert start().wait() == 0
    assert (tmp_path / RESULT).read_bytes() == again


def test_sigterm_stops_between_iterations_and_keeps_the_files(start, tmp_path):
    process = start(SCORE_THRESHOLD="10", MAX_ITERATIONS="10")
    lines_until(process, lambda progress: progress.phase == PHASES[0])
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate()
    assert (process.returncode, errors) == (143, b"")
    result = json.loads((tmp_path / RESULT).read_text())
    assert (result["success"], result["termination_reason"]) == (False, "stopped")
    assert len(list((tmp_path / "output").iterdir())) == 4


@pytest.mark.parametrize(
    ("environment", "code", "told"),
    [
        ({"QUERY": "what does aspirin do?"}, 1, b"names no treatment"),
        ({"QUERY": "short"}, 2, b"QUERY must have"),
        ({"MAX_ITERATIONS": "many"}, 2, b"MAX_ITERATIONS must be an integer from 1 to 10"),
        ({"RUN_CONFIG": "{"}, 2, b"RUN_CONFIG is not JSON"),
        ({"HAYSTACK_DATA": ""}, 2, b"haystack.atlas_generator DIRECTORY"),
        ({"HAYSTACK_DATA": "/nowhere"}, 1, b"/nowhere/cells.csv"),
    ],
)
def test_what_cannot_be_done_is_told_without_a_traceback(start, environment, code, told):
    process = start(**environment)
    _, errors = process.communicate()
    assert process.returncode == code
    assert told in errors
    assert errors.startswith(b"haystack: ")
    assert errors.count(b"\n") == 1


def test_an_output_directory_that_cannot_be_made_is_told(start, tmp_path):
    (tmp_path / "output").write_text("in the way")
    process = start(MAX_ITERATIONS="1")
    _, errors = process.communicate()
    assert process.returncode == 1
    assert errors.startswith(b"haystack: ")
    assert b"Traceback" not in errors
