"""What the library refuses to ask for, before anything is packed or sent."""

import dataclasses
import json
import math

import pytest

from ci_client.client import submit_tests_async, submit_tests_streaming
from ci_client.errors import UsageError
from ci_client.library.job_request import JobRequest
from ci_server.apis.native.submitted import read_submitted_request

NUMBERS = [True, False, 5.0, "5", math.nan, math.inf, 1e400, 10**30, -1, 11, [5], {}, b"5"]
TEXTS = [True, 5, 5.0, b"test", ["test"], {}, "\udcff"]
WRONG = {
    "job": [*TEXTS, "", "python t.py", "a/b", "-x", "n" * 65],
    "command": ["pytest -q", b"pytest", "", *([text] for text in TEXTS), ["true", None]],
    "priority": NUMBERS,
    "retries": NUMBERS,
    "install": [True, 0, 5, "-e .", b"six", {}, ["six", None], ["\udcff"], [b"six"]],
    "tty": [0, 1, "yes", "true", []],
    "color": [0, 1, "always", {}],
    "image": [*TEXTS, "", "a b", "i" * 501],
    "env": [True, 5, "A=1", ["A=1"], {"A": 1}, {5: "A"}, {"": "x"}, {"A-B": "x"}, {"A": "\0"}],
    "artifacts": [True, "output/**", [5], [""], ["x"] * 101, {}, ["\udcff"]],
    "cpu": [True, 0, -1, 1.5, "100", 10**7],
    "memory": [True, 0, 15, 1.5, "512", "lots", "8MB", b"1g", 1 << 31, "1.0001MB"],
    "labels": [True, 5, "a=1", ["a=1"], {"a": 1}, {5: "a"}, {"": "x"}, {"a b": "x"}, {"a": ""}],
    "private": [0, 1, "yes", {}],
    "notify": [True, "https://e.com/", [5], ["e.com"], ["https://u@e.com/"], ["mailto:a"] * 6, {}],
    "timeout": [True, False, "5 s", "-5", "", "soon", "NaN", "1e400", math.nan, math.inf, 0, -1.0],
}
RIGHT = {
    "job": ["test", None],
    "command": [["true"], ("pytest", "-q"), None],
    "priority": [0, 5, 10, None],
    "retries": [0, 10, None],
    "install": [False, [], ["-e .[test]"], ("-r dev.txt", "six"), None],
    "tty": [True, False, None],
    "color": [True, False, None],
    "image": ["python:3.12-slim", None],
    "env": [{"A": "1", "B": ""}, None],
    "artifacts": [["output/**"], (), None],
    "cpu": [1, 150, None],
    "memory": [16, "512MB", "2 GiB", None],
    "labels": [{"team": "pricing", "a/b.c-d": "ü"}, None],
    "private": [True, False, None],
    "notify": [["https://example.com/hook?a=b", "mailto:ann@example.com"], (), None],
    "timeout": ["30s", "1.5h", 30, 0.5, None],
}


def cases(table):
    return [(name, value) for name, values in table.items() for value in values]


def test_every_field_is_tried():
    fields = {field.name for field in dataclasses.fields(JobRequest)}
    assert set(WRONG) == set(RIGHT) == fields - {"secrets"}, "secrets have their own test"


@pytest.mark.parametrize(("name", "value"), cases(WRONG))
def test_a_wrong_value_is_refused_and_named(name, value):
    with pytest.raises(UsageError, match=f"^{name}") as caught:
        JobRequest(**{name: value})
    caught.value.message.encode()


@pytest.mark.parametrize(("name", "value"), cases(RIGHT))
def test_what_is_allowed_here_the_server_reads_as_it_was_meant(name, value):
    spec = JobRequest(**{name: value}).to_spec()
    names = {"timeout": "timeout_seconds", "cpu": "cpu_percent", "memory": "memory_mb"}
    field = names.get(name, name)
    read = getattr(read_submitted_request(json.dumps(spec).encode()), field)
    assert read == (tuple(value) if isinstance(value, list | tuple) else read)
    assert (read is None or read == {}) == (value is None)


def test_a_command_in_the_place_of_a_job_is_recognised():
    with pytest.raises(UsageError, match=r"did you mean: ci submit -- python t\.py$"):
        JobRequest(job="python t.py")
    with pytest.raises(UsageError, match=r"did you mean: ci submit -- sh -c 'ls -l \| wc -l'$"):
        JobRequest(job="ls -l | wc -l")


@pytest.mark.parametrize("submit", [submit_tests_async, submit_tests_streaming])
def test_the_library_refuses_it_before_it_looks_at_the_directory(tmp_path, submit):
    with pytest.raises(UsageError, match="priority must be an integer from 0 to 10; this is True"):
        list(submit(tmp_path / "no such directory", "http://127.0.0.1:9", priority=True))
