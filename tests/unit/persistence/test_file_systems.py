"""On which file system a path is, by the kernel's table of mounts."""

from pathlib import Path

import pytest

from ci_persistence.database.file_systems import Mount, mount_of

TABLE = r"""/dev/vda / ext4 rw,relatime 0 0
proc /proc proc rw 0 0
server:/export /mnt/nfs nfs4 rw,vers=4.2 0 0
tmpfs /mnt/nfs/inner tmpfs rw 0 0
//server/share /mnt/with\040space cifs rw 0 0
/dev/sdb /mnt/ro xfs ro,relatime 0 0
/dev/sdc /mnt/twice ext4 rw 0 0
user@server: /mnt/twice fuse.sshfs rw 0 0
garbage
"""


@pytest.fixture
def mounts(tmp_path):
    table = tmp_path / "mounts"
    table.write_text(TABLE)
    return table


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/var/lib/ci.db", Mount(Path("/"), "ext4", False)),
        ("/mnt/nfs/deep/ci.db", Mount(Path("/mnt/nfs"), "nfs4", False)),
        ("/mnt/nfs", Mount(Path("/mnt/nfs"), "nfs4", False)),
        ("/mnt/nfs2/ci.db", Mount(Path("/"), "ext4", False)),
        ("/mnt/nfs/inner/ci.db", Mount(Path("/mnt/nfs/inner"), "tmpfs", False)),
        ("/mnt/with space/ci.db", Mount(Path("/mnt/with space"), "cifs", False)),
        ("/mnt/ro/ci.db", Mount(Path("/mnt/ro"), "xfs", True)),
        ("/mnt/twice/ci.db", Mount(Path("/mnt/twice"), "fuse.sshfs", False)),
        ("/mnt/nfs/../x", Mount(Path("/"), "ext4", False)),
    ],
)
def test_the_deepest_and_last_mount_holds_a_path(path, expected, mounts):
    assert mount_of(Path(path), mounts) == expected


def test_a_link_is_followed(tmp_path, mounts):
    link = tmp_path / "link"
    link.symlink_to("/mnt/nfs")
    mount = mount_of(link / "ci.db", mounts)
    assert mount is not None
    assert mount.type == "nfs4"


def test_where_the_kernel_does_not_tell_nothing_is_known(tmp_path):
    assert mount_of(Path("/"), tmp_path / "missing") is None


def test_this_machine_has_a_root():
    mount = mount_of(Path("/"))
    assert mount is not None
    assert mount.point == Path("/")


@pytest.mark.parametrize(
    "kind",
    [
        *("nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "ceph", "glusterfs"),
        *("fuse.glusterfs", "lustre", "afs", "fuse.ceph-fuse", "fuse.s3fs"),
    ],
)
def test_network_file_systems(kind):
    assert Mount(Path("/"), kind, False).is_network


@pytest.mark.parametrize(
    "kind",
    [
        "ext4",
        "xfs",
        "btrfs",
        "zfs",
        "tmpfs",
        "overlay",
        "virtiofs",
        "fuse",
        "fuseblk",
        "fuse.bindfs",
    ],
)
def test_local_file_systems(kind):
    assert not Mount(Path("/"), kind, False).is_network
