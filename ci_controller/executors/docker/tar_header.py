"""The header of a tar's member: `tarfile` takes five times as long to make one."""

import struct
import tarfile

_FIELDS = struct.Struct("100s 8s 8s 8s 12s 12s 8s s 100s 8s 247x")
"""Name, mode, uid, gid, size, mtime, checksum, kind, link target, magic; 512 bytes."""

_NAME_BYTES = 100
_SIZE_END = 8**11
_CHECKSUM_AT = 148
_NO_CHECKSUM = b"        "


def tar_header(
    name: str,
    mode: int,
    kind: bytes,
    *,
    user: int,
    size: int = 0,
    link: str = "",
    mtime: int = 0,
) -> bytes:
    """The block, or blocks, before the content, in the GNU format. `kind` is one of `tarfile`'s,
    `user` owner and group, `size` in bytes, `mtime` in seconds since 1970.
    """
    raw_name, target = name.encode(), link.encode()
    if kind == tarfile.DIRTYPE:
        raw_name += b"/"
    if len(raw_name) > _NAME_BYTES or len(target) > _NAME_BYTES or size >= _SIZE_END:
        info = tarfile.TarInfo(name)
        info.mode, info.type, info.size, info.linkname = mode, kind, size, link
        info.uid = info.gid = user
        info.mtime = mtime
        return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "strict")
    owner = b"%07o\0" % user
    block = _FIELDS.pack(
        *(raw_name, b"%07o\0" % mode, owner, owner, b"%011o\0" % size, b"%011o\0" % mtime),
        *(_NO_CHECKSUM, kind, target, tarfile.GNU_MAGIC),
    )
    checksum = b"%06o\0" % sum(block)
    return block[:_CHECKSUM_AT] + checksum + block[_CHECKSUM_AT + len(checksum) :]
