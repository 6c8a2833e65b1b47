"""`ci submit NAME`, where NAME is meant to be something else: a directory, a file, a command, or
the value of an option.
"""

import pytest
from client_scripted_server import (
    JOB,
    STREAM,
    answer_commands,
    complete,
    error,
    reply_json,
    stream,
)

UNKNOWN = error(400, "unknown_job_name", "the project has no job 'lint'; it has: test")


@pytest.fixture
def server(server):
    answer_commands(server)
    server.on("GET /limits", reply_json({}))
    server.on(STREAM, stream(complete()))
    return server


@pytest.fixture
def full_project(project):
    (project / "ci.toml").write_text("[jobs.lint]\ncommand = 'true'\n")
    (project / "tests").mkdir()
    (project / "tests/test_calc.py").write_text("")
    (project / "tool.py").write_text("")
    (project / "run.sh").write_text("")
    (project / "two words").mkdir()
    return project


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (".", "For a directory: ci submit --path ."),
        ("tests", "For a directory: ci submit --path tests"),
        ("two words|", "For a directory: ci submit --path 'two words'"),
        ("./run.sh", "To run a file: ci submit -- ./run.sh"),
        ("run.sh", "To run a file: ci submit -- ./run.sh"),
        ("tool.py", "To run a file: ci submit -- python tool.py"),
        ("bin/nothing", "To run a file: ci submit -- bin/nothing"),
        ("tests/test_calc.py", "ci submit -- python -m pytest tests/test_calc.py"),
        ("tests/test_calc.py::test_a", "ci submit -- python -m pytest tests/test_calc.py::test_a"),
        ("engine", "The job engine values a model, but . is not a model: it has neither"),
        ("make check", "extra argument (check). To run a command: ci submit -- make check"),
        ("python -m pytest", "option: -m. To run a command: ci submit -- python -m pytest"),
        ("--priority 3 make a", "To run a command: ci submit --priority 3 -- make a"),
        ("--download results -- ./run.sh", "did you mean --download=results?"),
        ("--download lint -- ./run.sh", "did you mean --download=lint?"),
        ("--download results", "no job 'results'; did you mean --download=results?"),
        ("--download ./results", "did you mean --download=./results?"),
        ("--download results lint", "Did you mean --download=results?"),
    ],
)
@pytest.mark.usefixtures("full_project")
def test_what_is_meant_is_said_before_anything_is_sent(server, run, arguments, says):
    words = [arguments[:-1]] if arguments.endswith("|") else arguments.split()
    code, out, err = run("submit", *words)
    assert (code, out) == (2, b"")
    assert says in err
    assert server.asked("POST /submit-async") == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--download", "results", JOB], "Did you mean --download=results?"),
        (["--download", "results"], "not a job id; did you mean --download=results?"),
    ],
)
def test_a_rerun_does_not_take_a_directory_for_an_id(run, arguments, says):
    code, _, err = run("rerun", *arguments)
    assert (code, says in err) == (2, True)


@pytest.mark.parametrize("arguments", ["lint --nonsense", "lint more"])
@pytest.mark.usefixtures("full_project")
def test_a_job_is_not_taken_for_a_command(run, arguments):
    code, _, err = run("submit", *arguments.split())
    assert (code, "To run a command" in err) == (2, False)


@pytest.mark.parametrize("name", ["lint", "tests"])
def test_a_job_may_be_called_like_a_directory(server, run, full_project, name):
    (full_project / "lint").mkdir()
    (full_project / "ci.toml").write_text("[jobs.lint]\n[jobs.tests]\n")
    assert run("submit", name)[0] == 0


def test_a_table_that_is_broken_is_the_servers_to_explain(server, run, full_project):
    (full_project / "ci.toml").write_text("[jobs")
    server.on("POST /submit-async", error(400, "invalid_config", "The table is broken"))
    assert "The table is broken" in run("submit", "tests")[2]


@pytest.mark.parametrize("is_git", [False, True])
def test_a_job_of_a_directory_above(server, run, full_project, is_git):
    below = full_project / "src/package"
    below.mkdir(parents=True)
    (below / "a.py").write_text("")
    if is_git:
        (full_project / "src/.git").mkdir()
    server.on("POST /submit-async", UNKNOWN)
    code, _, err = run("submit", "lint", "--path", "src/package", "--no-git")
    told = "the directory . has this job: ci submit lint --path ."
    assert (code, "no job 'lint'" in err, told in err) == (2, True, not is_git)
