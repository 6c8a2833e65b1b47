"""What kind of file system a path is on: a database must not be on one over a network."""

import re
from dataclasses import dataclass
from pathlib import Path

MOUNTS = Path("/proc/self/mounts")

NETWORK_TYPES = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "kafs", "ncpfs", "coda", "davfs"),
        *("9p", "vboxsf", "vmhgfs", "prl_fs"),  # shared with another kernel
        *("ceph", "glusterfs", "lustre", "beegfs", "orangefs", "pvfs2", "gpfs", "panfs"),
    }
)
"""Types as /proc/mounts names them; with `fuse.` before them they count too."""

NETWORK_FUSE_TYPES = frozenset(
    {
        *("sshfs", "s3fs", "goofys", "gcsfuse", "blobfuse", "blobfuse2", "rclone", "juicefs"),
        *("ceph-fuse", "davfs2", "curlftpfs", "vmhgfs-fuse", "mfs", "moosefs", "seaweedfs"),
        *("geesefs", "mount-s3", "smbnetfs", "httpfs"),
    }
)
"""Types that exist in user space only, without their `fuse.`."""


@dataclass(frozen=True, slots=True)
class Mount:
    """One mounted file system."""

    point: Path
    type: str
    read_only: bool

    @property
    def is_network(self) -> bool:
        """Whether other machines may change the files, or another kernel keeps the locks."""
        name = self.type.removeprefix("fuse.")
        return name in NETWORK_TYPES or (name != self.type and name in NETWORK_FUSE_TYPES)


def mount_of(path: Path, mounts: Path = MOUNTS) -> Mount | None:
    """The mount that holds `path`, which need not exist; `None` where the kernel does not tell."""
    try:
        lines = mounts.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return None
    place = path.resolve()
    found: Mount | None = None
    for line in lines:
        mount = _parse(line)
        if mount is None or not place.is_relative_to(mount.point):
            continue
        # The deepest one; and of several at one place the last, which covers the others.
        if found is None or len(mount.point.parts) >= len(found.point.parts):
            found = mount
    return found


def _parse(line: str) -> Mount | None:
    fields = line.split(" ")
    if len(fields) < 4:
        return None
    options = fields[3].split(",")
    return Mount(Path(_unescape(fields[1])), fields[2], read_only="ro" in options)


def _unescape(text: str) -> str:
    """Spaces, tabs, newlines and backslashes stand in the file as octal numbers; see fstab(5)."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
