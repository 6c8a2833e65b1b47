"""The generated modules are those of the proto, and both copies can be loaded at once."""

import importlib
import tomllib

from setup_steps import worker_api
from setup_steps.paths import PYPROJECT, ROOT


def test_what_is_committed_is_what_protoc_makes():
    made = worker_api.generated()
    assert len(made) == 7
    different = [
        str(path) for path, content in made.items() if (ROOT / path).read_text() != content
    ]
    assert different == [], "run scripts/worker-api"


def test_both_copies_can_be_loaded_beside_each_other(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    published = importlib.import_module("api.worker_pb2")
    own = importlib.import_module("ci_common.worker_api.worker_pb2")
    assert published.DESCRIPTOR is own.DESCRIPTOR
    assert published.DESCRIPTOR.name == "api/worker.proto"
    assert own.Job.FromString(published.Job(id="x").SerializeToString()).id == "x"
    importlib.import_module("api.worker_pb2_grpc")
    importlib.import_module("ci_common.worker_api.worker_pb2_grpc")


def test_the_wheel_has_no_package_called_api():
    tool = tomllib.loads(PYPROJECT.read_text())["tool"]["setuptools"]
    assert tool["packages"]["find"]["include"] == ["ci_*", "engine*"]
    assert "worker.proto" in tool["package-data"]["ci_common.worker_api"]


def test_the_messages_have_the_published_numbers():
    messages = importlib.import_module("ci_common.worker_api.worker_pb2")

    def numbers(name):
        return {one.name: one.number for one in getattr(messages, name).DESCRIPTOR.fields}

    job = {
        "id": 1,
        "command": 2,
        "args": 3,
        "maxCPU": 4,
        "maxMemory": 5,
        "maxIOBPS": 6,
        "status": 7,
        "startTime": 8,
        "endTime": 9,
        "exitCode": 10,
    }
    assert numbers("Job") == numbers("CreateJobRes") == numbers("GetJobRes") == job
    request = {"command": 1, "args": 2, "maxCPU": 3, "maxMemory": 4, "maxIOBPS": 5}
    assert numbers("CreateJobReq") == request
    assert numbers("StopJobRes") == {"id": 1, "status": 2, "endTime": 3, "exitCode": 4}
    for name in ("GetJobReq", "StopJobReq", "GetJobsStreamReq"):
        assert numbers(name) == {"id": 1}
    assert (numbers("Jobs"), numbers("DataChunk")) == ({"jobs": 1}, {"payload": 1})
    assert numbers("EmptyRequest") == {}
