"""Our reader of zips against `zipfile`: it may refuse more, but never read anything else."""

import io
import zipfile
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ci_common.zip_reader import ZipReader
from support.archives import NOT_ZIPS, zip_bytes

_FILES = {"a.txt": b"a" * 100, "d/": b"", "d/ä": bytes(range(256)) * 3, "d/empty": b""}
_SEEDS = [
    zip_bytes(_FILES, links={"l": "a.txt"}),
    zip_bytes(_FILES, compression=zipfile.ZIP_STORED),
    b"prefix" + zip_bytes(_FILES),
]


_REFUSALS = (
    *(zipfile.BadZipFile, zlib.error, ValueError, EOFError),
    *(OSError, NotImplementedError, RuntimeError),
)


def ours(path):
    """What is in the zip: (name, size, checksum, mode, place, content), or None."""
    try:
        with ZipReader(path.open("rb")) as archive:
            return [
                (e.name, e.size, e.crc, e.mode, e.offset, archive.read(e))
                for e in archive.entries()
            ]
    except (zipfile.BadZipFile, UnicodeDecodeError):
        return None


def theirs(path):
    try:
        with zipfile.ZipFile(path) as archive:
            return [
                (
                    *(info.orig_filename, info.file_size, info.CRC),
                    *(info.external_attr >> 16, info.header_offset, archive.read(info)),
                )
                for info in archive.infolist()
            ]
    except _REFUSALS:
        return None


@settings(max_examples=1500, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_damaged_zip_is_refused_or_read_as_zipfile_reads_it(tmp_path, data):
    content = bytearray(data.draw(st.sampled_from(_SEEDS)))
    directory = content.find(b"PK\x01\x02")
    for _ in range(data.draw(st.integers(0, 4))):
        low = data.draw(st.sampled_from([0, directory, len(content) - 22]))
        content[data.draw(st.integers(low, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.zip"
    path.write_bytes(content)
    found = ours(path)
    assert found is None or found == theirs(path)


@pytest.mark.parametrize("seed", range(len(_SEEDS)))
def test_a_whole_zip_is_read_as_zipfile_reads_it(tmp_path, seed):
    path = tmp_path / "whole.zip"
    path.write_bytes(_SEEDS[seed])
    found = ours(path)
    assert found is not None
    assert found == theirs(path)


@pytest.mark.parametrize("case", NOT_ZIPS)
def test_what_is_no_zip_to_zipfile_is_none(tmp_path, case):
    path = tmp_path / "not.zip"
    path.write_bytes(NOT_ZIPS[case])
    assert (ours(path) is None) == (theirs(path) is None)


@pytest.mark.parametrize("comment", [b"", b"c" * 10, b"PK\5\6" + b"\0" * 18, b"x" * 0xFFFF])
def test_comments_are_passed_over(tmp_path, comment):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a", b"content")
        archive.comment = comment
    path = tmp_path / "comment.zip"
    path.write_bytes(buffer.getvalue())
    assert ours(path) == theirs(path)


def test_an_entry_is_found_again_by_its_position(tmp_path):
    path = tmp_path / "many.zip"
    # More than are in memory at a time.
    path.write_bytes(zip_bytes({f"{'n' * 200}{number}": b"" for number in range(5000)}))
    with ZipReader(path.open("rb")) as archive:
        entries = list(archive.entries())
        assert len(entries) == 5000
        for entry in entries[::500]:
            assert archive.entry_at(entry.position) == entry
