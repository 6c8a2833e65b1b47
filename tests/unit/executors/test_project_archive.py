"""Files of a package are found by their path."""

import pytest

from ci_controller.executors.shared.project_archive import ProjectArchive
from support.archives import zip_bytes


@pytest.fixture
def opened(tmp_path):
    def opened(files, links=None):
        path = tmp_path / "package.zip"
        path.write_bytes(zip_bytes(files, links=links))
        return ProjectArchive(path.open("rb"))

    return opened


@pytest.mark.parametrize("name", ["requirements.txt", "./requirements.txt", ".//requirements.txt"])
def test_a_path_however_it_is_spelt(opened, name):
    with opened({name: b"six\n"}) as archive:
        assert archive.read_file("requirements.txt") == b"six\n"
        assert archive.file_size("requirements.txt") == 4


@pytest.mark.parametrize(
    "links",
    [
        {"requirements.txt": "deps/all.txt"},
        {"requirements.txt": "./deps/all.txt"},
        {"requirements.txt": "deps/more.txt", "deps/more.txt": "all.txt"},
    ],
)
def test_links_are_followed(opened, links):
    with opened({"deps/all.txt": b"six\n"}, links) as archive:
        assert archive.read_file("requirements.txt") == b"six\n"
        assert archive.file_size("requirements.txt") == 4


@pytest.mark.parametrize(
    "links",
    [
        {"requirements.txt": "nowhere.txt"},
        {"requirements.txt": "deps"},
        {"requirements.txt": "requirements.txt"},
        {"requirements.txt": "b", "b": "requirements.txt"},
    ],
)
def test_links_to_no_file(opened, links):
    with opened({"deps/": b"", "deps/all.txt": b"six\n"}, links) as archive:
        assert archive.read_file("requirements.txt") is None
        assert archive.file_size("requirements.txt") is None


def test_no_such_file(opened):
    with opened({"a": b""}) as archive:
        assert archive.read_file("requirements.txt") is None
        assert archive.file_size("requirements.txt") is None
