"""What the lines of a requirements file need, besides an index."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_common.errors import SetupFailedError
from ci_controller.executors.shared.manifests import ArchivedManifests
from ci_controller.executors.shared.project_archive import ProjectArchive
from ci_controller.executors.shared.requirements import (
    FILE_NAME,
    Kind,
    file_lines,
    read_requirements,
)
from support.archives import zip_bytes


@pytest.fixture
def read(tmp_path):
    def read(files, links=None):
        path = tmp_path / "package.zip"
        path.write_bytes(zip_bytes(files, links=links))
        with ProjectArchive(path.open("rb")) as archive:
            manifests = ArchivedManifests(archive)
            return read_requirements(manifests, FILE_NAME, manifests.read(FILE_NAME))

    return read


def kinds(found):
    return {line.kind for line in found.lines}


@pytest.mark.parametrize("content", [b"", b"\n \n", b"# nothing\n", b"  # nothing"])
def test_a_file_without_requirements_has_no_lines(read, content):
    assert read({FILE_NAME: content}).lines == []


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

NOT_UNDERSTOOD = [
    b".",
    b"-e .",
    b"--editable ./lib",
    b"./lib",
    b"lib/package.whl",
    b"pkg @ file:///workspace/lib",
    b"--find-links ./wheels\nsix",
    b"-f wheels\nsix",
    b"-r missing.txt",
    b"-c missing.txt",
    b"--no-such-option",
    b"-e git+https://example.org/pkg.git",
    b"\xff\xfe\n",
    b"six\n.",
]


@pytest.mark.parametrize("content", FROM_THE_INDEX)
def test_from_the_index_only(read, content):
    assert kinds(read({FILE_NAME: content})) <= {Kind.INDEX, Kind.OPTION}


@pytest.mark.parametrize("content", NOT_UNDERSTOOD)
def test_what_is_not_there_is_not_understood(read, content):
    assert Kind.OTHER in kinds(read({FILE_NAME: content}))


@pytest.mark.parametrize(
    ("text", "path", "extras"),
    [
        (b".", ".", ()),
        (b"-e .", ".", ()),
        (b"-e .[test, docs]", ".", ("test", "docs")),
        (b"--editable=./lib", "lib", ()),
        (b"./lib[a]", "lib", ("a",)),
        (b"lib/", "lib", ()),
    ],
)
def test_directories_of_the_project(read, text, path, extras):
    found = read({FILE_NAME: text, "setup.py": b"", "lib/pyproject.toml": b""})
    assert [line.kind for line in found.lines] == [Kind.LOCAL]
    assert (found.lines[0].local.path, found.lines[0].local.extras) == (path, extras)


def test_files_of_the_project(read):
    found = read({FILE_NAME: b"./wheels/a.whl\n", "wheels/a.whl": b""})
    assert [(line.kind, line.local) for line in found.lines] == [(Kind.LOCAL, None)]


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
    assert set(found.constraints) == {"constraints.txt"}
    assert [line.text for line in found.lines] == ["requests", "six", "-c constraints.txt"]


def test_a_line_of_an_included_file_counts(read):
    assert kinds(read({FILE_NAME: b"-r dev.txt", "dev.txt": b"-e ."})) == {Kind.OTHER}


def test_an_include_outside_the_project_is_not_read(read):
    found = read({FILE_NAME: b"-r ../../etc/passwd\n-r /etc/passwd"})
    assert set(found.files) == {FILE_NAME}
    assert kinds(found) == {Kind.OTHER}


def test_a_linked_file_is_read(read):
    found = read({"reqs/base.txt": b"six"}, links={FILE_NAME: "reqs/base.txt"})
    assert found.files == {FILE_NAME: b"six"}
    assert kinds(found) == {Kind.INDEX}


def test_too_many_files_are_not_read(read):
    files = {f"{number}.txt": f"-r {number + 1}.txt\n".encode() for number in range(300)}
    with pytest.raises(SetupFailedError, match="more than"):
        read({FILE_NAME: b"-r 0.txt\n", **files})


@given(st.binary(max_size=60))
def test_lines_of_anything(content):
    for line in file_lines(content):
        assert line == line.strip() != ""
        assert not line.startswith("#")
