"""A scanned zip can be read in one way only."""

import io
import zipfile

import pytest

from ci_common.errors import PackageRefusedError
from ci_server.submission.package_check import PackageLimits, check_package
from ci_server.submission.scannable_zip import check_scannable
from support.archives import entry, patched, with_zip64, zip_bytes

PLAIN = zip_bytes({"a.txt": b"a" * 200, "b.txt": b"b"})
ONE = zip_bytes({"a.txt": b"a" * 200})


class _Pipe(io.RawIOBase):
    """Cannot seek, so sizes follow the contents."""

    def __init__(self):
        self.content = bytearray()

    def writable(self):
        return True

    def write(self, content):
        self.content += content
        return len(content)


def _streamed():
    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w") as archive:
        archive.writestr(entry("a.txt"), b"a" * 200)
    return bytes(pipe.content)


def _commented():
    buffer = io.BytesIO(PLAIN)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.comment = b"0123456789abcdef" * 4
    return buffer.getvalue()


def _after(prefix):
    """With offsets from the beginning of the file, so that the directory does not tell."""
    buffer = io.BytesIO(prefix)
    buffer.seek(0, io.SEEK_END)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("a.txt", b"a" * 200)
    return buffer.getvalue()


def _shifted(by):
    """The directory and all it says is said to be later than it is; we correct that, others not."""
    end = ONE.index(b"PK\5\6")
    start = int.from_bytes(ONE[end + 16 : end + 20], "little")
    moved = patched(ONE, "a.txt", central={42: by.to_bytes(4, "little")})
    return moved[: end + 16] + (start + by).to_bytes(4, "little") + moved[end + 20 :]


def _central_zip64():
    """The offset is in a zip64 field of the directory."""
    start, end = ONE.index(b"PK\1\2"), ONE.index(b"PK\5\6")
    record = bytearray(ONE[start:end])
    record[30:32], record[42:46] = (12).to_bytes(2, "little"), b"\xff" * 4
    record += (1).to_bytes(2, "little") + (8).to_bytes(2, "little") + bytes(8)
    size = len(record).to_bytes(4, "little")
    return ONE[:start] + bytes(record) + ONE[end : end + 12] + size + ONE[end + 16 :]


def _local(offset, value):
    return patched(PLAIN, "b.txt", local={offset: value})


MISREAD = {
    "prefix": (b"\x1f\x8b\x08\0" + PLAIN, "first entry"),
    "zip before": (ONE + PLAIN, "first entry"),
    "counted prefix": (_after(b"SQLite format 3\0"), "first entry"),
    "shifted": (_shifted(10), "first entry"),
    "method": (_local(8, b"\0\0"), "'b.txt' has another compression method"),
    "encrypted": (_local(6, b"\1\0"), "'b.txt' is encrypted"),
    "masked": (_local(6, b"\0\x20"), "'b.txt' is encrypted"),
    "packed size": (_local(18, b"\1\0\0\0"), "'b.txt' has another size"),
    "no packed size": (_local(18, bytes(4)), "'b.txt' has another size"),
    "size": (_local(22, b"\2\0\0\0"), "'b.txt' has another size"),
    "streamed, size": (
        patched(_streamed(), "a.txt", local={22: b"\1"}),
        "'a.txt' has another size",
    ),
    "local zip64": (with_zip64({"a.txt": b"a"}), "'a.txt' is in the zip64 format"),
    "central zip64": (_central_zip64(), "'a.txt' is in the zip64 format"),
}


def written(tmp_path, content):
    path = tmp_path / "package.zip"
    path.write_bytes(content)
    check_package(path, PackageLimits(1000, 1 << 20, 200))  # everything here passes it
    return path


@pytest.mark.parametrize("case", MISREAD)
def test_what_a_scanner_could_read_in_another_way_is_refused(tmp_path, case):
    content, why = MISREAD[case]
    with pytest.raises(PackageRefusedError, match="a scanner could miss something") as caught:
        check_scannable(written(tmp_path, content))
    assert why in caught.value.message


@pytest.mark.parametrize(
    "content",
    [PLAIN, ONE, _streamed(), _commented(), zip_bytes({"d/": b"", "d/x": b"x"}, links={"l": "d"})],
    ids=["plain", "one", "streamed", "commented", "with directory and link"],
)
def test_what_zip_programs_write_is_not(tmp_path, content):
    check_scannable(written(tmp_path, content))


def test_a_kept_package_that_was_damaged_is_refused_and_a_missing_one_is_told_as_such(tmp_path):
    path = tmp_path / "package.zip"
    with pytest.raises(FileNotFoundError):
        check_scannable(path)
    path.write_bytes(PLAIN[:50])
    with pytest.raises(PackageRefusedError, match="damaged"):
        check_scannable(path)
