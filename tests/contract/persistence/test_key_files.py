"""Files that hold keys, whichever key it is, and whoever makes them."""

import os

import pytest

from ci_persistence.files.key_files import make_key_file, read_key_file
from ci_persistence.files.secret_keys import KEY_FILE, SecretKeys
from ci_persistence.files.token_key import NAME, load_token_key

SOMEBODY = 65534

MAKERS = {
    KEY_FILE: lambda data: SecretKeys(data, None).encrypt(b"plain", "here"),
    NAME: load_token_key,
}


@pytest.fixture(params=MAKERS)
def made(request, tmp_path):
    """Makes one of the files in a directory; its path."""

    def make(data):
        MAKERS[request.param](data)
        return data / request.param

    return make


def test_it_is_its_owners_only(made, tmp_path):
    path = made(tmp_path / "data")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [one.name for one in path.parent.iterdir()] == [path.name]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_root_makes_the_server_can_read(made, tmp_path):
    os.chown(tmp_path, SOMEBODY, SOMEBODY)
    facts = made(tmp_path).stat()
    assert (facts.st_uid, facts.st_gid, facts.st_mode & 0o777) == (SOMEBODY, SOMEBODY, 0o600)


def test_the_first_one_stays(tmp_path):
    path = tmp_path / "some.key"
    make_key_file(path, b"first")
    make_key_file(path, b"second")
    found = read_key_file(path)
    assert (found.content, found.is_private) == (b"first", True)
    assert "first" not in repr(found)
