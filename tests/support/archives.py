"""Zips, good ones and one bad one of every kind."""

import io
import stat
import struct
import zipfile


def entry(name, mode=0o644, kind=stat.S_IFREG, compression=zipfile.ZIP_DEFLATED):
    """The description of an entry with a unix mode."""
    info = zipfile.ZipInfo(name, (2030, 1, 1, 0, 0, 0))
    info.create_system = 3
    info.compress_type = compression
    info.external_attr = (kind | mode) << 16
    return info


def zip_bytes(files, *, links=None, modes=None, compression=zipfile.ZIP_DEFLATED):
    """A zip of files by name (a name that ends with `/` is a directory) and of links."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            kind = stat.S_IFDIR if name.endswith("/") else stat.S_IFREG
            mode = (modes or {}).get(name, 0o755 if name.endswith("/") else 0o644)
            archive.writestr(entry(name, mode, kind, compression), content)
        for name, target in (links or {}).items():
            archive.writestr(entry(name, 0o777, stat.S_IFLNK), target)
    return buffer.getvalue()


def with_zip64(files):
    """A zip whose local headers have the sizes in zip64 fields, as some programs write it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            with archive.open(entry(name), "w", force_zip64=True) as file:
                file.write(content)
    return buffer.getvalue()


DOS_ZERO = (1980, 0, 0, 0, 0, 0)
"""What programs write that know no time."""


def timed_zip(times, links=None):
    """A zip of files (directories end in a slash) by their DOS times, six numbers each."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, moment in times.items():
            target = (links or {}).get(name)
            kind = stat.S_IFLNK if target else stat.S_IFDIR if name.endswith("/") else stat.S_IFREG
            info = entry(name, kind=kind)
            info.date_time = moment
            archive.writestr(info, (target or "").encode())
    return buffer.getvalue()


def of_entries(*entries):
    """A zip of (ZipInfo, content) pairs as they are: names may repeat or lead anywhere."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for info, content in entries:
            if info.filename in archive.NameToInfo:
                del archive.NameToInfo[info.filename]
            archive.writestr(info, content)
    return buffer.getvalue()


def patched(content, name, *, central=None, local=None):
    """The zip with fields of an entry's headers overwritten: offset in the header to bytes."""
    result = bytearray(content)
    for signature, name_offset, changes in (
        (b"PK\x01\x02", 46, central or {}),
        (b"PK\x03\x04", 30, local or {}),
    ):
        at = result.find(signature)
        while at >= 0 and result[at + name_offset :][: len(name)] != name.encode():
            at = result.find(signature, at + 1)
        assert at >= 0, f"no header of {name!r}"
        for offset, value in changes.items():
            result[at + offset : at + offset + len(value)] = value
    return bytes(result)


def with_size(content, name, size):
    """The zip with another unpacked size in both headers of an entry."""
    field = struct.pack("<I", size)
    return patched(content, name, central={24: field}, local={22: field})


def renamed(content, old, new):
    """The zip with an entry's name replaced by one of the same length, in both headers."""
    assert len(old) == len(new)
    return content.replace(old, new)


def _overlapping():
    """Two entries of the directory that share one local header."""
    content = zip_bytes({"a.txt": b"x" * 500, "b.txt": b"x" * 500})
    first = content.find(b"PK\x03\x04")
    return patched(content, "b.txt", central={42: struct.pack("<I", first)})


def _zip64_lie(size):
    """An entry whose true size is said by a zip64 field, which lies."""
    info = entry("big.txt", compression=zipfile.ZIP_STORED)
    content = of_entries((info, b"x" * 100))
    extra = struct.pack("<HHQ", 1, 8, size)
    at = content.find(b"PK\x01\x02")
    name_end = at + 46 + len("big.txt")
    central = bytearray(content[at:])
    central[24:28] = b"\xff" * 4
    central[30:32] = struct.pack("<H", len(extra))
    central[46 + len("big.txt") : 46 + len("big.txt")] = extra
    assert content[name_end:][:4] == b"PK\x05\x06"
    end = central.find(b"PK\x05\x06")
    central[end + 12 : end + 16] = struct.pack("<I", end)
    return content[:at] + bytes(central)


_GOOD = zip_bytes({"good.txt": b"good " * 100, "bad.txt": b"bad " * 100})
_STORED = zip_bytes({"bad.txt": b"bad " * 100}, compression=zipfile.ZIP_STORED)
_LINK = stat.S_IFLNK


def _two(info, content=b"x"):
    return of_entries((entry("good.txt"), b"good"), (info, content))


BAD_NAMES = {
    "absolute": (_two(entry("/etc/passwd")), "/etc/passwd"),
    "parent": (_two(entry("../evil.txt")), "../evil.txt"),
    "parent_inside": (_two(entry("a/../../evil.txt")), "a/../../evil.txt"),
    "parent_only": (_two(entry("..")), ".."),
    "parent_directory": (_two(entry("a/../", kind=stat.S_IFDIR)), "a/../"),
    "parent_that_stays": (_two(entry("a/../b.txt")), "a/../b.txt"),
    "backslash_parent": (_two(entry("..\\evil.txt")), "evil.txt"),
    "backslash_inside": (_two(entry("a\\..\\..\\evil.txt")), "evil.txt"),
    "backslash_absolute": (_two(entry("\\evil.txt")), "evil.txt"),
    "unc": (_two(entry("\\\\host\\evil.txt")), "evil.txt"),
    "drive": (_two(entry("C:/evil.txt")), "C:/evil.txt"),
    "drive_backslash": (_two(entry("C:\\evil.txt")), "evil.txt"),
    "slash_only": (_two(entry("/")), "/"),
    "nul": (renamed(_two(entry("evilX.txt")), b"evilX.txt", b"evil\0.txt"), "evil"),
    "long_part": (_two(entry("d/" + "n" * 256)), "n" * 200),
    "long_path": (_two(entry("/".join(["dir"] * 1200))), "dir/dir"),
}
"""Names that lead somewhere else, or nowhere: (zip, what the message must name)."""

BAD_LINKS = {
    "absolute": (_two(entry("evil", kind=_LINK), "/etc/passwd"), "evil"),
    "parent": (_two(entry("evil", kind=_LINK), "../outside"), "evil"),
    "parent_from_below": (_two(entry("d/evil", kind=_LINK), "../../outside"), "d/evil"),
    "down_and_up": (_two(entry("evil", kind=_LINK), "d/../../outside"), "evil"),
    "empty": (_two(entry("evil", kind=_LINK), ""), "evil"),
    "nul": (_two(entry("evil", kind=_LINK), "a\0b"), "evil"),
    "not_utf8": (_two(entry("evil", kind=_LINK), b"\xff\xfe"), "evil"),
    "long": (_two(entry("evil", kind=_LINK), "x" * 5000), "evil"),
    "through_a_link": (
        of_entries((entry("d/l", kind=_LINK), ".."), (entry("evil", kind=_LINK), "d/l/../../x")),
        "evil",
    ),
    "file_through_a_link": (
        of_entries((entry("link", kind=_LINK), "d"), (entry("link/evil"), b"x")),
        "link/evil",
    ),
    "link_replaces_file": (
        of_entries((entry("evil"), b"x"), (entry("evil", kind=_LINK), "d")),
        "evil",
    ),
}

BAD_KINDS = {
    "character_device": (_two(entry("evil", kind=stat.S_IFCHR)), "evil"),
    "block_device": (_two(entry("evil", kind=stat.S_IFBLK)), "evil"),
    "fifo": (_two(entry("evil", kind=stat.S_IFIFO)), "evil"),
    "socket": (_two(entry("evil", kind=stat.S_IFSOCK)), "evil"),
    "twice": (of_entries((entry("evil"), b"1"), (entry("evil"), b"2")), "evil"),
    "twice_by_spelling": (of_entries((entry("d/evil"), b"1"), (entry("d//evil"), b"2")), "evil"),
    "file_and_directory": (
        of_entries((entry("evil"), b"1"), (entry("evil/", kind=stat.S_IFDIR), b"")),
        "evil",
    ),
    "below_a_file": (of_entries((entry("evil"), b"1"), (entry("evil/x"), b"2")), "evil"),
    "above_a_file": (of_entries((entry("evil/x"), b"1"), (entry("evil"), b"2")), "evil"),
}

BAD_CONTENT = {
    "encrypted": (patched(_GOOD, "bad.txt", central={8: b"\x01\x00"}), "bad.txt"),
    "encrypted_locally": (
        patched(_GOOD, "bad.txt", central={8: b"\x01\x00"}, local={6: b"\x01\x00"}),
        "bad.txt",
    ),
    "strongly_encrypted": (patched(_GOOD, "bad.txt", central={8: b"\x41\x00"}), "bad.txt"),
    "unknown_method": (patched(_GOOD, "bad.txt", central={10: b"\x63\x00"}), "bad.txt"),
    "declared_smaller": (with_size(_GOOD, "bad.txt", 10), "bad.txt"),
    "declared_larger": (with_size(_GOOD, "bad.txt", 5000), "bad.txt"),
    "stored_declared_larger": (with_size(_STORED, "bad.txt", 5000), "bad.txt"),
    "wrong_crc": (patched(_GOOD, "bad.txt", central={16: b"abcd"}), "bad.txt"),
    "damaged_data": (_STORED.replace(b"bad bad bad", b"bad BAD bad", 1), "bad.txt"),
    "local_signature": (patched(_GOOD, "bad.txt", local={0: b"XXXX"}), "bad.txt"),
    "local_name": (patched(_GOOD, "bad.txt", local={30: b"BAD"}), "bad.txt"),
    "local_offset_outside": (patched(_GOOD, "bad.txt", central={42: b"\0\0\0\x7f"}), "bad.txt"),
    "overlapping": (_overlapping(), "b.txt"),
    "zip64_smaller": (_zip64_lie(10), "big.txt"),
    "zip64_larger": (_zip64_lie(1 << 20), "big.txt"),
    "zip64_enormous": (_zip64_lie(1 << 62), "big.txt"),
}

NOT_ZIPS = {
    "empty_file": b"",
    "text": b"hello, this is not a zip\n" * 50,
    "gzip": b"\x1f\x8b\x08" + b"\0" * 100,
    "end_record_only_signature": b"PK\x05\x06",
    "local_header_only": b"PK\x03\x04" + b"\0" * 26,
    "no_entries": zip_bytes({}),
    "only_directories": zip_bytes({"a/": b"", "a/b/": b""}),
    "newer_version_needed": patched(_GOOD, "bad.txt", central={6: b"\xff\x00"}),
    "name_not_utf8": patched(_GOOD, "bad.txt", central={8: b"\x00\x08", 46: b"\xff\xfe"}),
}
"""Files that are no zip, or hold nothing."""

BAD_ENTRIES = {
    f"{group}-{case}": zip_and_name
    for group, cases in (
        ("name", BAD_NAMES),
        ("link", BAD_LINKS),
        ("kind", BAD_KINDS),
        ("content", BAD_CONTENT),
    )
    for case, zip_and_name in cases.items()
}
"""Every zip that must be refused with a message that names the entry: (zip, the name)."""


def truncations(content=None, count=40):
    """A good zip cut short at many places."""
    whole = _GOOD if content is None else content
    return [whole[: len(whole) * part // count] for part in range(count)]
