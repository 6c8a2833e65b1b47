"""The id of a cache that instances share."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from ci_common.errors import SettingsError
from ci_controller.executors.docker.shared_cache import shared_cache_id


def test_all_who_name_a_directory_get_one_id(tmp_path):
    directory = tmp_path / "made" / "cache"
    with ThreadPoolExecutor(8) as threads:
        found = set(threads.map(shared_cache_id, [directory] * 50))
    assert len(found) == 1
    assert directory.stat().st_mode & 0o077 == 0
    assert [path.name for path in directory.iterdir()] == ["cache-id"]
    assert shared_cache_id(tmp_path / "other") not in found


@pytest.mark.parametrize("mode", [0o770, 0o707])
def test_a_directory_that_others_may_write_to_is_refused(tmp_path, mode):
    tmp_path.chmod(mode)
    with pytest.raises(SettingsError, match="writable by nobody else"):
        shared_cache_id(tmp_path)


def test_a_damaged_id_is_refused(tmp_path):
    tmp_path.chmod(0o700)
    (tmp_path / "cache-id").write_text("short")
    with pytest.raises(SettingsError, match="is damaged: delete it"):
        shared_cache_id(tmp_path)


def test_a_directory_that_cannot_be_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="cannot be used"):
        shared_cache_id(tmp_path / "file" / "cache")
