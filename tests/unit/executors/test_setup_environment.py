"""The variables of an installation: whose index it is, and what makes it another one."""

import subprocess

import pytest

from ci_common.ports.launch_request import LaunchRequest
from ci_common.secret import Secret
from ci_controller.executors.docker.install_script import environment_file, install_script
from ci_controller.executors.shared.install_layers import Layer, Lock, Step
from ci_controller.executors.shared.setup_environment import environment_key, setup_environment

URL, OTHER = "https://index.example/simple", "https://other.example/simple"


def request(env=None, *secrets):
    return LaunchRequest("id", 1, 1, ("true",), env=env or {}, secrets=secrets)


def variables(env=None, *secrets, operator=None, of_project=False):
    return setup_environment(operator or {}, request(env, *secrets), of_project=of_project)


@pytest.mark.parametrize("name", ["UV_INDEX_URL", "UV_DEFAULT_INDEX", "PIP_INDEX_URL"])
def test_an_index_is_chosen_for_both_installers(name):
    assert variables({name: URL}) == {"UV_DEFAULT_INDEX": URL, "PIP_INDEX_URL": URL}


def test_the_index_of_the_job_is_not_mixed_with_the_operators():
    found = variables({"PIP_INDEX_URL": URL}, operator={"UV_DEFAULT_INDEX": OTHER, "A": "b"})
    assert found == {"UV_DEFAULT_INDEX": URL, "PIP_INDEX_URL": URL, "A": "b"}


def test_more_indexes_without_their_names():
    found = variables({"UV_INDEX": f"own={URL} {OTHER}?a=b"})
    assert found["PIP_EXTRA_INDEX_URL"] == f"{URL} {OTHER}?a=b"


def test_an_index_may_be_a_secret():
    assert variables({}, Secret("PIP_INDEX_URL", URL.encode()))["UV_DEFAULT_INDEX"] == URL


def test_secrets_come_last_unless_they_are_files_only():
    secrets = Secret("A", b"secret\xff"), Secret("B", b"file", in_environment=False)
    found = variables({"A": "plain", "B": "plain"}, *secrets)
    assert found == {"A": "secret\udcff", "B": "plain"}


def test_the_commit_is_for_the_project_only():
    env = {"CI_COMMIT_SHA": "0" * 40, "SETUPTOOLS_SCM_PRETEND_VERSION": "1.2"}
    assert variables(env) == {}
    assert variables(env, of_project=True) == env


def test_the_key_is_of_all_that_is_given_and_tells_no_value():
    cases = [
        request(),
        request({"A": "b"}),
        request({"A": "c"}),
        request({"Ab": ""}),
        request({}, Secret("A", b"secret-value")),
        request({}, Secret("A", b"secret-value", in_environment=False)),
        request({}, Secret("A", b"other-value", in_environment=False)),
    ]
    keys = [environment_key(setup_environment({}, one, of_project=True), one) for one in cases]
    assert len(set(keys)) == len(keys)
    assert keys[0] == ""
    assert not any("secret" in key for key in keys)


@pytest.mark.parametrize(
    "value", ["", "a b", 'it\'s $HOME `id` "x"', "two\nlines\n", "é", "\udcff"]
)
def test_the_file_of_variables_gives_a_shell_their_values(tmp_path, value):
    file = tmp_path / "environment"
    file.write_bytes(environment_file({"NAME": value, "no name": "x"}, has_files=False))
    shown = subprocess.run(
        ["/bin/sh", "-c", f'. {file}; printf "%s" "$NAME"'], capture_output=True, check=True
    )
    assert (shown.stdout, shown.stderr) == (value.encode(errors="surrogateescape"), b"")


def test_the_file_is_empty_when_there_is_nothing_to_say():
    assert environment_file({}, has_files=False) == b""
    assert b"CI_SECRETS_DIR" in environment_file({}, has_files=True)


STEPS = [
    Step(("-r", "requirements.txt")),
    Step(("-r", "a b;c"), without_dependencies=True, builds_project=True),
    *(Step(("--extra", "test"), lock) for lock in Lock),
]


@pytest.mark.parametrize("step", STEPS, ids=str)
def test_the_script_of_a_layer_is_one_that_a_shell_reads(step):
    for has_secrets in (True, False):
        script = install_script(Layer((step,), {}), has_secrets=has_secrets, needs_python=True)
        subprocess.run(["/bin/sh", "-n", "-c", script], check=True)
