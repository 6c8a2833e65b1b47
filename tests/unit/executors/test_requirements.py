"""When one installation serves two projects, and when it does not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_controller.executors.shared.requirements import (
    FILE_NAME,
    Requirements,
    _lines,
    read_requirements,
)
from ci_persistence.files.data_directory import no_check
from ci_persistence.files.packages import StoredPackage
from support.archives import zip_bytes


@pytest.fixture
def read(tmp_path):
    def read(files, links=None, sha256="sha"):
        path = tmp_path / "package.zip"
        path.write_bytes(zip_bytes(files, links=links))
        return read_requirements(StoredPackage(sha256, path.stat().st_size, path, no_check))

    return read


@pytest.mark.parametrize("content", [b"", b"\n \n", b"# nothing\n", b"  # nothing"])
def test_a_file_without_requirements_is_none(read, content):
    assert read({FILE_NAME: content}) is None


def test_without_the_file(read):
    assert read({"other.txt": b"six"}) is None
    assert read({f"sub/{FILE_NAME}": b"six"}) is None


FROM_THE_INDEX = [
    b"six",
    b"six==1.16.0  # why",
    b"requests[socks]>=2,<3 ; python_version < '4'",
    b"pkg @ https://example.org/pkg.whl",
    b"pkg @ git+https://example.org/pkg.git@main",
    b"six==1.16.0 --hash=sha256:abc \\\n  --hash=sha256:def",
    b"--index-url https://example.org/simple\nsix",
    b"-i https://example.org/simple\nsix",
    b"--pre\n--only-binary :all:\nsix",
    b"six\r\nrequests\r\n",
]

OF_THE_PROJECT = [
    b".",
    b"-e .",
    b"--editable ./lib",
    b"./lib",
    b"lib/package.whl",
    b"pkg @ file:///workspace/lib",
    b"--find-links ./wheels\nsix",
    b"-f wheels\nsix",
    b"-r missing.txt",
    b"--no-such-option",
    b"\xff\xfe\n",
    b"six\n.",
]


@pytest.mark.parametrize("content", FROM_THE_INDEX)
def test_from_the_index_only(read, content):
    assert read({FILE_NAME: content}).needs_project is False


@pytest.mark.parametrize("content", OF_THE_PROJECT)
def test_of_the_project(read, content):
    assert read({FILE_NAME: content}).needs_project is True


def test_included_files_belong_to_it(read):
    found = read(
        {
            FILE_NAME: b"-r reqs/base.txt\n-c constraints.txt\n",
            "reqs/base.txt": b"--requirement more.txt\nsix\n",
            "reqs/more.txt": b"-r ../requirements.txt\n-rbase.txt\nrequests\n",
            "constraints.txt": b"six<2\n",
            "unrelated.txt": b"x\n",
        }
    )
    assert set(found.files) == {FILE_NAME, "reqs/base.txt", "reqs/more.txt", "constraints.txt"}
    assert found.needs_project is False


def test_an_included_file_that_needs_the_project(read):
    assert read({FILE_NAME: b"-r dev.txt", "dev.txt": b"-e ."}).needs_project


def test_an_include_outside_the_project_is_not_read(read):
    found = read({FILE_NAME: b"-r ../../etc/passwd\n-r /etc/passwd"})
    assert set(found.files) == {FILE_NAME}
    assert found.needs_project


def test_a_linked_file_is_read(read):
    found = read({"reqs/base.txt": b"six"}, links={FILE_NAME: "reqs/base.txt"})
    assert found.files == {FILE_NAME: b"six"}
    assert not found.needs_project


def key(files, needs_project=False, sha="sha", context=("base",)):
    return Requirements(files, needs_project, sha).key(*context)


def test_the_key_changes_with_what_matters_and_nothing_else():
    one = key({"r": b"six"})
    assert key({"r": b"six"}, sha="another upload") == one
    others = [
        key({"r": b"six "}),
        key({"s": b"six"}),
        key({"r": b"six", "s": b""}),
        key({"r": b"six"}, context=("other base",)),
        key({"r": b"six"}, context=("base", "tenant")),
        key({"r": b"six"}, needs_project=True),
        key({"r": b"six"}, needs_project=True, sha="another upload"),
    ]
    assert len({one, *others}) == len(others) + 1
    assert key({"a": b"1", "b": b"2"}) == key({"b": b"2", "a": b"1"})


def test_the_key_cannot_be_confused_by_joining():
    assert key({"r": b""}, context=("ab", "c")) != key({"r": b""}, context=("a", "bc"))
    assert key({"ra": b"b"}) != key({"r": b"ab"})


@given(st.binary(max_size=60))
def test_lines_of_anything(content):
    for line in _lines(content):
        assert line == line.strip() != ""
        assert not line.startswith("#")
