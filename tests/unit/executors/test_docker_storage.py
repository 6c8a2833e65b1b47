"""What the Docker executor takes an engine to be able to bound, without one."""

import docker
import pytest
import requests
from docker.errors import APIError, ImageNotFound

from ci_common.job import ResourceLimits
from ci_controller.executors.docker import container, storage
from ci_controller.executors.docker.engine_facts import EngineFacts
from ci_controller.executors.docker.keeper import protocol

IMAGE = "ci-runner:latest"
REFUSED = "--storage-opt is supported only for overlay over xfs with 'pquota' mount option"
XFS = [["Backing Filesystem", "xfs"], ["Supports d_type", "true"]]
EXT = [["Backing Filesystem", "extfs"], ["Supports d_type", "true"]]

ENGINES = {
    "btrfs": ("btrfs", [["Build Version", "Btrfs v5.16.2"]], None, ""),
    "zfs": ("zfs", [["Zpool", "tank"]], None, ""),
    "overlay2 on xfs with pquota": ("overlay2", XFS, None, ""),
    "overlay2 on xfs without": ("overlay2", XFS, (500, REFUSED), "pquota"),
    "podman on xfs without": (
        "overlay",
        XFS,
        (500, "storage option overlay.size only supported for backingFS XFS. Found xfs"),
        "overlay.size",
    ),
    "overlay2 on ext4": ("overlay2", EXT, "not asked", "overlay2 on extfs"),
    "overlay2 on btrfs": (
        "overlay2",
        [["Backing Filesystem", "btrfs"]],
        "not asked",
        "overlay2 on btrfs",
    ),
    "rootless": ("fuse-overlayfs", [], "not asked", "fuse-overlayfs"),
    "the image store of containerd": (
        "overlayfs",
        [["driver-type", "io.containerd.snapshotter.v1"]],
        "not asked",
        "overlayfs",
    ),
    "vfs": ("vfs", [], "not asked", "vfs"),
    "vfs, by older engines": ("vfs", None, "not asked", "vfs"),
}
"""Driver and status as `docker info` tells them; what is said to a container of a size, where that
is asked (`None`: it is made); and what comes of it.
"""


class RecordedEngine:
    """Answers as an engine did (see EngineStorage)."""

    def __init__(self, driver, status, answer, images=(IMAGE,)):
        self._facts = {"Driver": driver, "DriverStatus": status, "DockerRootDir": "/nowhere"}
        self._answer, self._images = answer, images
        self.made, self.removed = [], []

    def info(self):
        return self._facts

    def create_host_config(self, **options):
        return options

    def create_container(self, image, command, **options):
        assert self._answer != "not asked"
        if image not in self._images:
            raise ImageNotFound(f"No such image: {image}")
        if self._answer is not None:
            status, text = self._answer
            response = requests.Response()
            response.status_code = status
            raise APIError("", response=response, explanation=text)
        self.made.append(options)
        return {"Id": "id"}

    def remove_container(self, name, **_):
        self.removed.append(name)

    async def call(self, work):
        return work(self)


def storage_of(engine, work_mb=100):
    work = storage.WorkLimit(work_mb, {"label": "ours"}, "prefix-")
    return storage.EngineStorage(engine, EngineFacts(), work)


@pytest.mark.anyio
@pytest.mark.parametrize("name", ENGINES)
async def test_whether_an_engine_bounds_sizes_is_known_from_its_own_words(name, caplog):
    driver, status, answer, told = ENGINES[name]
    engine = RecordedEngine(driver, status, answer)
    found = storage_of(engine)
    for _ in range(2):
        bounds = await found.bounds(ResourceLimits(), IMAGE)
        assert bounds.work_mb == (None if told else 100)
        unenforced = await found.unenforced(IMAGE)
        assert (unenforced is None) is (told == "")
    if told:
        assert told in unenforced.message
        assert unenforced.message.startswith("CI_MAX_WORK_MB is not enforced: ")
        assert unenforced.concerns(ResourceLimits())
    assert len([text for text in caplog.messages if "CI_MAX_WORK_MB" in text]) == bool(told)
    assert len(engine.made) == (answer is None)
    assert {one["name"] for one in engine.made} <= set(engine.removed)
    for one in engine.made:
        assert one["host_config"]["storage_opt"] == {"size": "100m"}
        assert one["labels"] == {"label": "ours"}


@pytest.mark.anyio
async def test_without_the_limit_nothing_is_tried():
    engine = RecordedEngine("overlay2", XFS, "not asked")
    found = storage_of(engine, work_mb=None)
    assert await found.unenforced(IMAGE) is None
    assert (await found.bounds(ResourceLimits(), IMAGE)).work_mb is None


@pytest.mark.anyio
async def test_without_an_image_nothing_is_concluded():
    engine = RecordedEngine("overlay2", XFS, (500, REFUSED))
    found = storage_of(engine)
    assert await found.unenforced("another") is None
    assert (await found.bounds(ResourceLimits(), "another")).work_mb is None
    assert "pquota" in (await found.unenforced(IMAGE)).message


@pytest.mark.anyio
async def test_another_trouble_of_the_engine_is_not_taken_for_an_answer():
    engine = RecordedEngine("overlay2", XFS, (500, "no space left on device"))
    with pytest.raises(APIError):
        await storage_of(engine).unenforced(IMAGE)


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
        spec = container.ContainerSpec(
            image="image",
            name="name",
            command=["true"],
            labels={},
            limits=ResourceLimits(**limits),
            isolation=container.Isolation(),
            bounds=container.EngineBounds(*bounds),
            becomes_image=becomes_image,
        )
        container.create(client, spec)
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
