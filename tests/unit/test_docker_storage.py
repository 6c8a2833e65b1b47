"""What the Docker executor takes an engine to be able to bound, without one."""

import docker
import pytest

from ci_common.job import ResourceLimits
from ci_controller.executors.docker import container, storage
from ci_controller.executors.docker.keeper import protocol

XFS = [["Backing Filesystem", "xfs"], ["Supports d_type", "true"]]
EXT = [["Backing Filesystem", "extfs"]]

ENGINES = {
    "btrfs": ("btrfs", [], "", True),
    "zfs": ("zfs", [], "", True),
    "overlay2_on_xfs_with_quotas": ("overlay2", XFS, "rw,pquota", True),
    "overlay2_on_xfs_with_quotas_by_the_other_name": ("overlay2", XFS, "rw,prjquota", True),
    "overlay2_on_xfs_without": ("overlay2", XFS, "rw,noquota", False),
    "overlay2_on_xfs_elsewhere": ("overlay2", XFS, None, False),
    "overlay2_on_ext4": ("overlay2", EXT, "rw,prjquota", False),
    "vfs": ("vfs", XFS, "rw,pquota", False),
}


@pytest.mark.parametrize("engine", ENGINES)
def test_can_bound_size(monkeypatch, engine):
    driver, status, options, expected = ENGINES[engine]
    mount = None if options is None else ("/var", "xfs", options)
    monkeypatch.setattr(storage, "_mount_of", lambda path: mount)
    facts = {"Driver": driver, "DriverStatus": status, "DockerRootDir": "/var/lib/docker"}
    assert storage.can_bound_size(facts) is expected


def test_a_directory_that_is_not_on_a_disk_has_none(tmp_path):
    assert storage.whole_disk(tmp_path / "no" / "such") is None
    assert storage.whole_disk(storage.Path("/proc")) is None


class Recorder(docker.APIClient):
    """Makes nothing, and tells what it was asked for."""

    def __init__(self):
        super().__init__(base_url="tcp://127.0.0.1:1", version="1.41")

    def create_container(self, image, **options):
        self.options = options
        return {"Id": "id"}


@pytest.fixture
def host_config():
    client = Recorder()

    def make(bounds, becomes_image=False, **limits):
        container.create(
            client,
            image="image",
            name="name",
            command=["true"],
            labels={},
            env={},
            limits=ResourceLimits(**limits),
            isolation=container.Isolation(),
            bounds=container.EngineBounds(*bounds),
            becomes_image=becomes_image,
        )
        return client.options["host_config"]

    yield make
    client.close()


def test_the_size_of_a_container_is_bounded_where_it_can_be(host_config):
    assert host_config((None, 100), becomes_image=True)["StorageOpt"] == {"size": "100m"}
    assert "StorageOpt" not in host_config((None, None))


def test_the_spool_of_the_output_does_not_count(host_config):
    spool_mb = protocol.SPOOL_BYTES >> 20
    assert host_config((None, 100))["StorageOpt"] == {"size": f"{100 + spool_mb}m"}


def test_every_bound_is_passed_on(host_config):
    host = host_config(
        ("/dev/disk", None),
        cpu_percent=150,
        memory_mb=64,
        pids=99,
        block_io_bytes=1 << 20,
        shm_mb=65,
    )
    assert host["BlkioDeviceReadBps"] == [{"Path": "/dev/disk", "Rate": 1 << 20}]
    assert host["BlkioDeviceWriteBps"] == [{"Path": "/dev/disk", "Rate": 1 << 20}]
    assert (host["Memory"], host["MemorySwap"]) == (64 << 20, 64 << 20)
    assert (host["CpuPeriod"], host["CpuQuota"]) == (100_000, 150_000)
    assert (host["ShmSize"], host["PidsLimit"]) == (65 << 20, 99)
