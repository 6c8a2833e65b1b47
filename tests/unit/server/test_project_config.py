"""The project's table of jobs, and what a submission may say over it."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_common.errors import InvalidConfigError, InvalidUploadError, UnknownJobNameError
from ci_common.job import Network
from ci_server.apis.native.submitted import read_submitted_request
from ci_server.submission.job_limits import DefaultLimits, LimitCeilings
from ci_server.submission.project_config import (
    DEFAULT_COMMAND,
    JobTable,
    ProjectTable,
    read_table,
)
from ci_server.submission.request import SubmissionRequest, resolve_spec

DEFAULTS = DefaultLimits(
    timeout_seconds=100, cpu_percent=None, memory_mb=None, pids=64, log_mb=10, grace_seconds=7
)


def resolve(ci_toml="", **submitted):
    request = read_submitted_request(json.dumps(submitted).encode())
    return resolve_spec({"ci.toml": ci_toml.encode()}, request, DEFAULTS)


def test_without_a_table():
    for files in ({}, {"pyproject.toml": b"[project]\nname='x'"}, {"ci.toml": b""}):
        spec = resolve_spec(files, SubmissionRequest(), DEFAULTS)
        assert (spec.name, spec.command) == ("test", DEFAULT_COMMAND)
        assert (spec.limits.timeout_seconds, spec.limits.pids) == (100, 64)
        assert spec.limits.network is Network.BRIDGE


def test_every_key():
    spec = resolve(
        """
        [jobs.lint]
        command = ["ruff", "check"]
        image = "other:1"
        env = {A = "1"}
        timeout = "2m"
        cpu = 150
        memory = 256
        pids = 99
        block_io = 2000000
        shm = 128
        log = 5
        grace = "1m"
        network = "none"
        retries = 2
        artifacts = ["*.xml"]
        """,
        job="lint",
    )
    assert (spec.name, spec.command, spec.image) == ("lint", ("ruff", "check"), "other:1")
    assert (spec.env, spec.artifacts) == ({"A": "1"}, ("*.xml",))
    assert (spec.limits.timeout_seconds, spec.limits.cpu_percent) == (120, 150)
    assert (spec.limits.memory_mb, spec.limits.network) == (256, Network.NONE)
    assert (spec.limits.pids, spec.limits.block_io_bytes) == (99, 2_000_000)
    assert (spec.limits.shm_mb, spec.limits.log_mb, spec.limits.grace_seconds) == (128, 5, 60)
    assert (spec.retries, spec.priority) == (2, 0)


def test_what_the_table_does_not_say_is_the_servers():
    limits = resolve("[jobs.test]").limits
    assert (limits.timeout_seconds, limits.pids) == (100, 64)
    assert (limits.log_mb, limits.grace_seconds) == (10, 7)
    assert (limits.block_io_bytes, limits.shm_mb) == (None, None)


def test_a_log_is_no_larger_than_the_server_allows_and_a_grace_may_be_none():
    limits = resolve("[jobs.test]\nlog = 1000\ngrace = 0").limits
    assert (limits.log_mb, limits.grace_seconds) == (10, 0)


def test_a_submission_says_its_priority_and_may_say_retries_and_timeout():
    table = "[jobs.test]\nretries = 2\ntimeout = 50"
    spec = resolve(table, priority=10, retries=0, timeout="2m")
    assert (spec.priority, spec.retries, spec.limits.timeout_seconds) == (10, 0, 120)
    assert resolve(table).retries == 2
    for wrong in ({"priority": 11}, {"priority": -1}, {"retries": 11}):
        with pytest.raises(InvalidUploadError):
            read_submitted_request(json.dumps(wrong).encode())


def test_the_table_is_in_pyproject_or_in_ci_toml_and_not_in_both():
    files = {"pyproject.toml": b"[tool.ci.jobs.test]\ncommand=['from-pyproject']"}
    assert resolve_spec(files, SubmissionRequest(), DEFAULTS).command == ("from-pyproject",)
    files["ci.toml"] = b"[jobs.test]\ncommand=['from-ci-toml']"
    with pytest.raises(
        InvalidConfigError, match=r"^ci.toml and pyproject.toml both configure jobs"
    ):
        resolve_spec(files, SubmissionRequest(), DEFAULTS)


@pytest.mark.parametrize(
    "pyproject", [b"[project]\nname='x'", b"[tool.ci]", b"[tool]\nci=1", b"broken", b"\xff"]
)
def test_ci_toml_beside_a_pyproject_without_a_table(pyproject):
    files = {"pyproject.toml": pyproject, "ci.toml": b"[jobs.test]\ncommand=['own']"}
    assert resolve_spec(files, SubmissionRequest(), DEFAULTS).command == ("own",)


@pytest.mark.parametrize(
    ("files", "name", "told"),
    [
        ({"ci.toml": b"[jobs.lint]"}, "lnt", "it has: lint, test. Jobs are configured "
         "as [jobs.NAME] in its ci.toml. Did you mean 'lint'?"),
        ({"pyproject.toml": b"[tool.ci.jobs.lint]"}, "docs", "it has: lint, test. Jobs are "
         "configured as [tool.ci.jobs.NAME] in its pyproject.toml"),
    ],
)  # fmt: skip
def test_an_unknown_job_is_told_the_file_and_what_may_be_meant(files, name, told):
    with pytest.raises(UnknownJobNameError) as error:
        resolve_spec(files, SubmissionRequest(job=name), DEFAULTS)
    assert error.value.message == f"the project has no job {name!r}; {told}"


@pytest.mark.parametrize(
    ("file", "table"), [("ci.toml", "jobs"), ("pyproject.toml", "tool.ci.jobs")]
)
def test_a_wrong_name_is_told_the_table_of_its_file(file, table):
    with pytest.raises(InvalidConfigError) as error:
        resolve_spec({file: f"[{table}.'<jobs>']".encode()}, SubmissionRequest(), DEFAULTS)
    assert error.value.message == (
        f'{file}: {table}.<jobs>: "<jobs>" is not allowed; it must be tables [{table}.NAME]; a '
        "NAME has at most 64 letters, digits, and _ . -"
    )


def test_an_unknown_key_is_told_what_may_be_meant():
    with pytest.raises(
        InvalidConfigError, match=r"comand: is not a known key; .*did you mean command"
    ):
        resolve("[jobs.test]\ncomand='x'")
    with pytest.raises(InvalidConfigError, match=r"job: is not a known key; .*did you mean jobs"):
        resolve("[job.test]")


@pytest.mark.parametrize(
    ("text", "mebibytes"),
    [("'512MB'", 512), ("'512 MiB'", 512), ("'1g'", 1024), ("'1.5GB'", 1536), ("'2GiB'", 2048)],
)
def test_memory_as_text(text, mebibytes):
    limits = resolve(f"[jobs.test]\nmemory={text}\nshm={text}").limits
    assert (limits.memory_mb, limits.shm_mb) == (mebibytes, mebibytes)


@pytest.mark.parametrize("text", ["'512'", "'1.0001MB'", "'MB'", "'-1MB'", "'8MB'", "'9000TB'"])
def test_memory_that_is_none(text):
    with pytest.raises(InvalidConfigError, match=r"jobs\.test\.memory: .*must be"):
        resolve(f"[jobs.test]\nmemory={text}")


@pytest.mark.parametrize(
    ("text", "seconds"), [("1", 1), ("1.5", 1.5), ('"30s"', 30), ('"10m"', 600), ('"1.5h"', 5400)]
)
def test_timeouts(text, seconds):
    assert resolve(f"[jobs.test]\ntimeout={text}").limits.timeout_seconds == seconds


def test_a_command_as_text_is_a_shells():
    assert resolve("[jobs.test]\ncommand='a && b'").command == ("/bin/sh", "-c", "a && b")


def test_a_submitted_command_comes_first_and_keeps_the_rest():
    table = "[jobs.test]\ncommand=['x']\nmemory=64"
    spec = resolve(table, command=["a", "b"])
    assert (spec.command, spec.limits.memory_mb) == (("a", "b"), 64)
    assert resolve(table, job="new", command=["a"]).name == "new"


def test_an_unknown_job_is_told_the_known_ones():
    with pytest.raises(UnknownJobNameError, match="it has: lint, test"):
        resolve("[jobs.lint]", job="tset")


@pytest.mark.parametrize(
    ("table", "where"),
    [
        ("[jobs.test]\ncomand=['x']", "jobs.test.comand: is not a known key"),
        ("[jbos.test]", "jbos: is not a known key"),
        ("[jobs.test]\ncommand=[]", "jobs.test.command"),
        ("[jobs.test]\ncommand=''", "jobs.test.command"),
        ("[jobs.test]\ncommand='  '", "jobs.test.command"),
        ("[jobs.test]\ncommand=3", "jobs.test.command"),
        ("[jobs.test]\ncommand=['a', 1]", "jobs.test.command.1"),
        ('[jobs.test]\ncommand=["a\\u0000b"]', "jobs.test.command"),
        ("[jobs.test]\ntimeout='soon'", "jobs.test.timeout"),
        ("[jobs.test]\ntimeout=0", "jobs.test.timeout"),
        ("[jobs.test]\ntimeout=-1", "jobs.test.timeout"),
        ("[jobs.test]\ntimeout=inf", "jobs.test.timeout"),
        ("[jobs.test]\ntimeout=nan", "jobs.test.timeout"),
        ("[jobs.test]\ntimeout='99999999h'", "jobs.test.timeout"),
        ("[jobs.test]\nmemory=1", "jobs.test.memory"),
        ("[jobs.test]\nmemory='1 giga'", "jobs.test.memory"),
        ("[jobs.test]\ncpu=0", "jobs.test.cpu"),
        ("[jobs.test]\nnetwork='host'", "jobs.test.network"),
        ("[jobs.test]\nimage=''", "jobs.test.image"),
        ("[jobs.test.env]\nA=1", "jobs.test.env.A"),
        ("[jobs.test.env]\n'A=B'='1'", "jobs.test.env"),
        ("[jobs.test.env]\n''='1'", "jobs.test.env"),
        ('[jobs.test.env]\nA="\\u0000"', "jobs.test.env"),
        ("jobs=3", "jobs"),
        ("x=" + "[" * 10_000, "not valid TOML"),
        ("[jobs]\ntest=3", "jobs.test"),
        ("[jobs.test", "not valid TOML"),
    ],
)
def test_broken_tables_say_where(table, where):
    with pytest.raises(InvalidConfigError) as caught:
        resolve(table)
    assert caught.value.message.startswith("ci.toml")
    assert where in caught.value.message


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            "memory=1",
            "memory: 1 is not allowed; it must be an integer from 16 to 1073741824 (MiB)",
        ),
        (
            "memory='1 giga'",
            "memory: '1 giga' is not allowed; it must be an integer (MiB), or a string",
        ),
        ("memory=8", "memory: 8 is not allowed; it must be an integer from 16"),
        ("cpu=1.5", "cpu: 1.5 is not allowed; it must be an integer"),
        ("network='host'", "network: \"host\" is not allowed; it must be 'bridge' or 'none'"),
        ("command=['a', 1]", "command.1: 1 is not allowed; it must be a string (run by /bin/sh)"),
        ("timeout='soon'", "timeout: 'soon' is not allowed; it must be a number of seconds"),
        ("timeout=0", "timeout: 0 is not allowed; it must be a number of seconds"),
        ("retries=11", "retries: 11 is not allowed; it must be an integer from 0 to 10"),
        (
            "env={TOKEN=12345}",
            "env.TOKEN: this value is not allowed; it must be a table of strings",
        ),
        ("env={'A B'='1'}", "env.A B: must be the name of a variable: letters, digits and _"),
        ("env={'a.b'='1'}", "env.a.b: must be the name of a variable"),
        ("env={1A='1'}", "env.1A: must be the name of a variable"),
        ("comand='x'", "comand: is not a known key; known are: command, image"),
    ],
)
def test_a_problem_has_key_value_and_what_is_allowed(table, message):
    with pytest.raises(InvalidConfigError) as caught:
        resolve(f"[jobs.test]\n{table}")
    assert f"ci.toml: jobs.test.{message}" in caught.value.message
    assert "Input should" not in caught.value.message
    assert "12345" not in caught.value.message


@pytest.mark.parametrize("key", JobTable.model_fields)
def test_every_key_of_a_job_is_described(key):
    with pytest.raises(InvalidConfigError, match=rf"jobs\.test\.{key}: .* is not allowed; it must"):
        resolve(f"[jobs.test]\n{key}=2020-01-01")


@pytest.mark.parametrize("key", ProjectTable.model_fields)
def test_every_key_beside_the_jobs_is_described(key):
    with pytest.raises(InvalidConfigError, match=rf"ci\.toml: {key}: .* is not allowed; it must"):
        resolve(f"{key}=2020-01-01")


def test_what_clients_do_not_send():
    assert read_table({"ci.toml": b'exclude = ["data/", "*.bin"]'}).exclude == ["data/", "*.bin"]
    for value in ('"data/"', "[1]", f"{['a'] * 1001}"):
        with pytest.raises(InvalidConfigError, match="a list of at most 1000 patterns"):
            resolve(f"exclude = {value}")


def test_the_server_in_the_table_is_for_clients():
    assert read_table({"ci.toml": b'server = "https://ci.example.com"'}).server is not None
    for value in ("3", "true", '""', "[]"):
        with pytest.raises(InvalidConfigError, match=r"server: .*must be the address of a server"):
            resolve(f"server = {value}")


def test_known_keys_of_the_table_and_of_a_submission():
    known = "known are: server, exclude"
    with pytest.raises(InvalidConfigError, match=f"jbos: is not a known key; {known}"):
        resolve("[jbos]")
    with pytest.raises(InvalidUploadError, match="x: is not a known key; known are: job, command"):
        read_submitted_request(b'{"x": 1}')


def test_a_broken_table_in_pyproject_names_the_file_and_the_table():
    for content in (b"[tool.ci.jobs.test]\nx=1", b"tool=1", b"[tool]\nci=1", b"\xff"):
        with pytest.raises(InvalidConfigError, match=r"pyproject\.toml"):
            resolve_spec({"pyproject.toml": content}, SubmissionRequest(), DEFAULTS)


def test_another_broken_job_is_an_error_too():
    with pytest.raises(InvalidConfigError, match=r"jobs\.other"):
        resolve("[jobs.test]\n[jobs.other]\nmemory=1")


def test_the_submitted_spec():
    assert read_submitted_request(b"") == SubmissionRequest()
    assert read_submitted_request(b'{"job": "lint"}').job == "lint"


def test_a_submission_in_place_of_the_table():
    table = "[jobs.test]\nimage='a:1'\nenv={A='1', B='2'}\nmemory=64\ncpu=50\nartifacts=['x']"
    spec = resolve(table)
    assert (spec.image, dict(spec.env), spec.artifacts) == ("a:1", {"A": "1", "B": "2"}, ("x",))
    spec = resolve(
        table, image="b:2", env={"B": "3", "C": ""}, memory="1GB", cpu=200, artifacts=["y/**"]
    )
    assert (spec.image, spec.artifacts) == ("b:2", ("y/**",))
    assert dict(spec.env) == {"A": "1", "B": "3", "C": ""}
    assert (spec.limits.memory_mb, spec.limits.cpu_percent) == (1024, 200)
    assert resolve(table, artifacts=[]).artifacts == ()


@pytest.mark.parametrize(
    ("submitted", "told"),
    [
        ({"image": "a b"}, "image: "),
        ({"image": ""}, "image: "),
        ({"env": {"A=B": "x"}}, "env.A=B"),
        ({"env": {"A": "x\0"}}, "env.A: must not contain a NUL"),
        ({"env": {"A": 1}}, "env.A: this value is not allowed"),
        ({"artifacts": ["../x"]}, "artifacts.0"),
        ({"cpu": 0}, "cpu: 0 is not allowed"),
        ({"memory": "15MB"}, "memory: "),
        ({"memory": "lots"}, "memory: 'lots' is not allowed; it must be an integer"),
    ],
)
def test_a_submission_follows_the_rules_of_the_table(submitted, told):
    with pytest.raises(InvalidUploadError) as caught:
        read_submitted_request(json.dumps(submitted).encode())
    assert told in caught.value.message


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"[]",
        b"null",
        b'{"x": 1}',
        b'{"command": []}',
        b'{"command": "a b"}',
        b'{"command": ["a\\u0000b"]}',
        b'{"command": ["\\ud800"]}',
        b"\xff",
        b"[" * 60_000,
    ],
)
def test_a_broken_submitted_spec(content):
    with pytest.raises(InvalidUploadError, match="'spec'"):
        read_submitted_request(content)


@given(st.binary(max_size=80))
def test_any_submitted_spec(content):
    try:
        read_submitted_request(content)
    except InvalidUploadError:
        return


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["job", "command"]), inner, max_size=2)
        ),
    )
)
def test_any_json_as_submitted_spec(value):
    try:
        spec = read_submitted_request(json.dumps(value).encode())
    except InvalidUploadError:
        return
    assert spec.command is None or spec.command


def test_a_job_without_a_package_is_its_command():
    spec = resolve_spec(None, SubmissionRequest(job="model", command=("true",)), DEFAULTS)
    assert (spec.name, spec.command, spec.limits.timeout_seconds) == ("model", ("true",), 100)
    with pytest.raises(InvalidConfigError, match="specify a command"):
        resolve_spec(None, SubmissionRequest(), DEFAULTS)


@pytest.mark.parametrize(
    "asked",
    [
        {"job": "a b"},
        {"job": "lint\n"},
        {"command": ()},
        {"command": ("",)},
        {"command": ("a\0b",)},
        {"priority": 11},
        {"priority": -1},
        {"retries": 11},
        {"timeout_seconds": 0},
        {"timeout_seconds": float("nan")},
        {"timeout_seconds": 1e9},
    ],
)
def test_no_door_can_ask_for_what_no_job_may_be(asked):
    (name,) = asked
    with pytest.raises(InvalidConfigError, match=f"^{name.partition('_')[0]}: "):
        SubmissionRequest(**asked)


OF_A_REQUEST = {
    "image": "other:1",
    "env": {"A": "request", "C": "new"},
    "artifacts": ("out/**",),
    "cpu_percent": 50,
    "memory_mb": 64,
    "block_io_bytes": 1 << 20,
    "grace_seconds": 0.1,
}


def test_a_request_says_what_is_otherwise_in_the_table():
    spec = resolve_spec(
        {"ci.toml": b"[jobs.test]\nimage = 'own'\nenv = {A = 'table', B = 'kept'}\ncpu = 100"},
        SubmissionRequest(**OF_A_REQUEST),
        DEFAULTS,
    )
    assert (spec.image, spec.artifacts) == ("other:1", ("out/**",))
    assert spec.env == {"A": "request", "B": "kept", "C": "new"}
    limits = spec.limits
    assert (limits.cpu_percent, limits.memory_mb, limits.block_io_bytes) == (50, 64, 1 << 20)
    assert limits.grace_seconds == 0.1


@pytest.mark.parametrize("with_table", [True, False])
@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        ({"image": "a b"}, 'image: "a b" is not allowed; it must be the name of an image'),
        ({"env": {"A=B": "x"}}, "env.A=B: must be the name of a variable"),
        ({"env": {"A": "x\0secret"}}, "env.A: must not contain a NUL character"),
        ({"artifacts": ("../x",)}, "artifacts.0: "),
        ({"cpu_percent": -1}, "cpu: -1 is not allowed; it must be an integer from 1 to 1000000"),
        ({"cpu_percent": 1_000_001}, "cpu: "),
        ({"memory_mb": 15}, "memory: 15 is not allowed; it must be an integer from 16 to"),
        ({"block_io_bytes": 1}, "block_io: "),
        ({"grace_seconds": 601.0}, "grace: "),
    ],
)
def test_a_request_keeps_to_the_rules_of_the_table(asked, problem, with_table):
    files = {"ci.toml": b""} if with_table else None
    with pytest.raises(InvalidConfigError) as caught:
        resolve_spec(files, SubmissionRequest(command=("true",), **asked), DEFAULTS)
    assert str(caught.value).startswith(problem)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["cpu_percent", "memory_mb"])
def test_a_request_keeps_to_the_ceilings(name):
    ceilings = LimitCeilings(cpu_percent=40, memory_mb=32)
    with pytest.raises(InvalidConfigError, match="this server allows at most"):
        resolve_spec(
            None,
            SubmissionRequest(command=("true",), **{name: OF_A_REQUEST[name]}),
            DEFAULTS,
            ceilings,
        )


ALIKE = 60_000


@pytest.mark.parametrize(
    "table",
    [
        'x = "' + '\\"' * ALIKE + "." * 200,
        'x = """' + '\\"""' * ALIKE + "\\",
        '"\u2028".' * (ALIKE // 2) + "a = 1",
        "x = ['''\n''', {" + "a." * ALIKE + "a = 1}, '']",
        'x = ["""a"""", {' + "a." * ALIKE + "a = 1}]",
        "x = ['''a'''', {" + "a." * ALIKE + "a = 1}]",
    ],
    ids=["escaped quotes", "open", "line separators", "two lines", "four quotes", "apostrophes"],
)
def test_a_table_that_is_dear_to_read_is_refused_soon(table):
    began = time.process_time()
    with pytest.raises(InvalidConfigError):
        resolve(table)
    assert time.process_time() - began < 2


def test_dots_in_strings_and_comments_cost_nothing():
    dots = "a.b." * 200
    table = f"""
        # {dots}
        [jobs.test]  # {dots}
        command = ["{dots}", '{dots}', "\\"{dots}"]
        artifacts = ['''{dots}''''']
        env = {{ A = \"\"\"\n{dots} "" \\" {dots}\n{dots}\"\"\" }}
        """.replace("{{", "{").replace("}}", "}")
    assert resolve(table).artifacts == (f"{dots}''",)


@pytest.mark.parametrize(
    ("table", "submitted", "install"),
    [
        ("", {}, None),
        ("install = false", {}, ()),
        ("install = []", {}, ()),
        ('install = ["-e .[test]"]', {}, ("-e .[test]",)),
        ('install = ["-e ."]', {"install": False}, ()),
        ("install = false", {"install": ["six"]}, ("six",)),
    ],
)
def test_what_is_to_be_installed(table, submitted, install):
    assert resolve(f"[jobs.test]\n{table}\n", **submitted).install == install


@pytest.mark.parametrize("line", ["", " ", "a\\nb", "\\u0000"])
def test_what_is_to_be_installed_is_made_of_lines(line):
    with pytest.raises(InvalidConfigError, match="install"):
        resolve(f'[jobs.test]\ninstall = ["{line}"]\n')
    with pytest.raises(InvalidConfigError, match="install"):
        SubmissionRequest(install=(line.replace("\\n", "\n").replace("\\u0000", "\0"),))


@pytest.mark.parametrize(
    ("table", "submitted", "wanted"),
    [(None, None, False), ("true", None, True), ("false", True, True), ("true", False, False)],
)
@pytest.mark.parametrize("flag", ["tty", "private"])
def test_whether_there_is_a_terminal_and_who_sees_the_job(flag, table, submitted, wanted):
    line = "" if table is None else f"{flag} = {table}"
    asked = {} if submitted is None else {flag: submitted}
    assert getattr(resolve(f"[jobs.test]\n{line}\n", **asked), flag) is wanted


@pytest.mark.parametrize(("submitted", "color"), [({}, False), ({"color": True}, True)])
def test_whether_there_are_colours_only_the_submission_says(submitted, color):
    assert resolve(**submitted).color is color
    with pytest.raises(InvalidConfigError, match=r"jobs\.test\.color: is not a known key"):
        resolve("[jobs.test]\ncolor = true\n")


def test_a_terminal_is_there_or_not():
    with pytest.raises(
        InvalidConfigError, match=r"tty: 1 is not allowed; it must be true or false"
    ):
        resolve("[jobs.test]\ntty = 1\n")
