"""The image of the worked example does a run with the restrictions a job has."""

import io
import json
import tarfile

import anndata
import docker
import pytest

from setup_steps import haystack_image
from setup_steps.paths import EXAMPLES

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]

PREDICTIONS = "run_0123456789ab_predictions.h5ad"


@pytest.fixture
def container():
    """A container that is to do a run, of an image that is built first if need be."""
    client = docker.from_env(version="auto")
    haystack_image.ensure(client)
    container = client.containers.create(
        haystack_image.DEFAULT_NAME,
        environment={
            "RUN_ID": "run_0123456789ab",
            "USER_EMAIL": "user@example.com",
            "QUERY": "How do CD4 T cells respond to interferon-beta?",
            "CONTROL_STRATEGY": "synthetic_control",
            "MAX_ITERATIONS": "5",
            "SCORE_THRESHOLD": "7",
            "RUN_CONFIG": '{"random_seed": 1}',
        },
        init=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        network_mode="none",
        mem_limit="512m",
        nano_cpus=2_000_000_000,
    )
    yield container
    container.remove(force=True)
    client.close()


def files_of(container, directory):
    stream, _ = container.get_archive(directory)
    with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
        return {m.name.rpartition("/")[2]: tar.extractfile(m).read() for m in tar if m.isfile()}


def test_a_run_in_its_image(container, tmp_path):
    container.start()
    status = container.wait()
    assert status["StatusCode"] == 0, container.logs()
    found = files_of(container, "/workspace/output")
    result = json.loads(found["result.json"])
    assert result["success"]
    assert set(found) == {"result.json", *result["files"].values()}
    (tmp_path / PREDICTIONS).write_bytes(found[PREDICTIONS])
    assert anndata.read_h5ad(tmp_path / PREDICTIONS).uns["run_id"] == "run_0123456789ab"
    catalogue = files_of(container, "/opt/venv/haystack-data")
    for name in ("cells.csv", "synonyms.csv"):
        assert catalogue[name] == (EXAMPLES / "haystack" / "data" / name).read_bytes()
