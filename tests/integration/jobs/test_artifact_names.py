"""Whatever a job calls its files: kept, listed, and fetched by route and command, byte for byte."""

import hashlib
import subprocess
import sys
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.live_server import LiveServer
from support.projects import ANY, python

LONGEST = "/".join(["ü" * 127] * 15)
"""15 names of 254 bytes: three times as long where they are quoted in a URL."""

NAMES = [
    "a\nb", "\n", "a\n", "\nb", "a\rb", "a\r\n", "a\tb", "\x1b[31mred", "\x01\x7f", "\x85\u2028",
    "%", "%2e%2e", "%2F", "100%25", "?", "a?b=c", "#", "a#b", ";", "a;b", "\\", "..\\evil", "C:\\x",
    " ", " a ", "a ", "...", ".a", "a.", "..a", "~", "-rf", "--help", "'", '"', "a&b", "a+b",
    "index.html", "CON", "aux.txt", "A", "a", "\u00e9", "e\u0301", "\u202egnp.exe", "\ufeff",
    "\U0001f600", "{x}", "[x]", "*", "<b>", "|", "d/a\nb/c\n", "d/%2e/x", "d/ /x", f"d/{LONGEST}/z",
]  # fmt: skip
WRITE = (
    "import os, sys\n"
    "for name in {names!r}:\n"
    "    path = os.path.join(b'output', name)\n"
    "    os.makedirs(os.path.dirname(path), exist_ok=True)\n"
    "    with open(path, 'wb') as file: file.write(name * 3)\n"
)


def job_of(names):
    """A command that leaves files of these names in `output`, each with its name in it."""
    return python(WRITE.format(names=[name.encode() for name in names]))


def content(name):
    return name.encode() * 3


def assert_all_can_be_had(server, job_id, names):
    """Listed, and by their routes."""
    listed = server.http.get(f"/jobs/{job_id}/artifacts").json()
    expected = {
        f"output/{name}": (len(content(name)), hashlib.sha256(content(name)).hexdigest())
        for name in names
    }
    assert {one["path"]: (one["size"], one["sha256"]) for one in listed} == expected
    for name in names:
        answer = server.http.get(f"/jobs/{job_id}/artifacts/output/{quote(name)}")
        assert (answer.status_code, answer.content) == (200, content(name)), name
        assert "\n" not in answer.headers["content-disposition"]


def download(server, job_id, directory):
    return subprocess.run(
        [sys.executable, "-m", "ci_client.cli", "artifacts", job_id, "--download", str(directory),
         "--server", server.url],
        capture_output=True, text=True, timeout=120, check=False, env=server.environment,
    )  # fmt: skip


def assert_downloads(server, job_id, names, directory):
    """All of them, by the command, under their own names; a line each, whatever is in them."""
    done = download(server, job_id, directory)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(names)
    assert all(line.isprintable() for line in done.stdout.splitlines())
    for name in names:
        assert (directory / "output" / name).read_bytes() == content(name), name


@pytest.fixture(scope="module")
def processes(tmp_path_factory, python_for_jobs):
    """A server whose jobs are processes, which are made faster than containers."""
    with LiveServer(
        tmp_path_factory.mktemp("processes"), python=python_for_jobs, executor="process"
    ) as server:
        yield server.start().ready()


def test_odd_names_of_a_process(processes, tmp_path):
    job, log = processes.run(ANY, job_of(NAMES))
    assert (job["success"], job["message"]) == (True, "exited with code 0"), log
    assert_all_can_be_had(processes, job["job_id"], NAMES)
    assert_downloads(processes, job["job_id"], NAMES, tmp_path / "got")


@pytest.mark.docker
def test_odd_names_of_a_container(server, tmp_path):
    job, log = server.run(ANY, job_of(NAMES))
    assert (job["success"], job["message"]) == (True, "exited with code 0"), log
    assert_all_can_be_had(server, job["job_id"], NAMES)
    assert_downloads(server, job["job_id"], NAMES, tmp_path / "got")


@pytest.mark.docker
def test_long_names_with_bounded_requests(own_server, tmp_path):
    """`python -m ci_server` bounds the head of a request."""
    server = own_server(hardened=True).start().ready()
    names = [f"d/{LONGEST}/z", "a\nb"]
    job, _ = server.run(ANY, job_of(names))
    assert_all_can_be_had(server, job["job_id"], names)
    assert_downloads(server, job["job_id"], names, tmp_path / "got")


def test_a_list_has_a_line_for_each(processes):
    job, _ = processes.run(ANY, job_of(["a\nb", "\x1b[31m", "z"]))
    done = subprocess.run(
        [sys.executable, "-m", "ci_client.cli", "artifacts", job["job_id"], "--server",
         processes.url],
        capture_output=True, text=True, timeout=60, check=True, env=processes.environment,
    )  # fmt: skip
    shown = [line.split()[-1] for line in done.stdout.splitlines()[1:]]
    assert shown == ["output/\\x1b[31m", "output/a\\nb", "output/z"]


def test_names_that_cannot_be_kept_are_told_and_keep_no_other_away(processes, tmp_path):
    names = [b"\xff", b"caf\xe9", b"good"]
    job, _ = processes.run(ANY, python(WRITE.format(names=names)))
    assert job["artifacts_left_out"] == "2 with names that are not UTF-8 or too long"
    done = download(processes, job["job_id"], tmp_path / "got")
    assert done.returncode == 0
    assert "Not kept by the server: 2 with names that are not UTF-8" in done.stderr
    assert (tmp_path / "got/output/good").read_bytes() == b"good" * 3


NAME = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=40
).filter(lambda name: name not in (".", "..") and len(name.encode()) <= 255)


def _unlike_directories(paths):
    directories = {path.rpartition("/")[0] for path in paths}
    return not directories & set(paths)


@given(
    names=st.lists(
        st.lists(NAME, min_size=1, max_size=2).map("/".join), min_size=5, max_size=40, unique=True
    ).filter(_unlike_directories)
)
@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_name(processes, tmp_path_factory, names):
    job, log = processes.run(ANY, job_of(names))
    assert job["message"] == "exited with code 0", log
    assert_all_can_be_had(processes, job["job_id"], names)
    assert_downloads(processes, job["job_id"], names, tmp_path_factory.mktemp("got"))
