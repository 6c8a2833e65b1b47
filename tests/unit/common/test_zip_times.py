"""When an entry of a zip was changed."""

import struct
import zipfile
from datetime import UTC, datetime

import pytest

from ci_common.zip_reader import ZipReader

NOON = datetime(2024, 5, 6, 12, 30, 8, tzinfo=UTC)
AT_NOON = int(NOON.timestamp())


def modified(path, dos, extra):
    """What the reader makes of an entry with this DOS time (six numbers) and extra field."""
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("file", dos)
        info.extra = extra
        archive.writestr(info, b"x")
    with path.open("rb") as file:
        (entry,) = ZipReader(file).entries()
        return entry.modified


def extended(seconds, flags=1):
    return struct.pack("<HHBi", 0x5455, 5, flags, seconds)


def ntfs(seconds):
    ticks = (seconds + 11_644_473_600) * 10**7
    return struct.pack("<HHIHHQQQ", 0x000A, 32, 0, 1, 24, ticks, 0, 0)


def old_unix(seconds):
    return struct.pack("<HHii", 0x5855, 8, 0, seconds)


DOS = (2024, 5, 6, 12, 30, 8)
NONE = (1980, 0, 0, 0, 0, 0)
ANOTHER_DAY = (2001, 1, 1, 0, 0, 0)


@pytest.mark.parametrize(
    ("dos", "extra", "seconds"),
    [
        (DOS, b"", AT_NOON),
        (ANOTHER_DAY, extended(AT_NOON), AT_NOON),
        (ANOTHER_DAY, ntfs(AT_NOON), AT_NOON),
        (ANOTHER_DAY, old_unix(AT_NOON), AT_NOON),
        (ANOTHER_DAY, old_unix(1) + ntfs(2) + extended(AT_NOON), AT_NOON),
        (ANOTHER_DAY, struct.pack("<HH", 0x7875, 0) + extended(AT_NOON), AT_NOON),
        (DOS, extended(-5), -5),
        (DOS, extended(0, flags=0), AT_NOON),
        (DOS, struct.pack("<HHB", 0x5455, 1, 1), AT_NOON),
        (DOS, struct.pack("<HHI", 0x000A, 4, 0), AT_NOON),
        (NONE, b"", None),
        ((2024, 13, 1, 0, 0, 0), b"", None),
        ((2024, 5, 6, 31, 0, 0), b"", None),
        (NONE, extended(AT_NOON), AT_NOON),
    ],
    ids=range(14),
)
def test_times(tmp_path, dos, extra, seconds):
    assert modified(tmp_path / "a.zip", dos, extra) == seconds
