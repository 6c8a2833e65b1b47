"""Who has the port; reflection; a server whose grpcio is missing."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from support.live_server import ROOT
from support.waiting import until_sync

LISTENS = "the Job Worker service is listening on"
NO_PORT = "the Job Worker service cannot listen on"


def test_one_of_several_workers_serves_and_another_takes_over(own_worker):
    server = own_worker()
    server.live.start("--workers", "2")

    def owners():
        return count(server, LISTENS)

    server.live.until(owners)
    with server.client() as client:
        assert client.list() == ([], None)
        (owner,) = pids_at(server.port)
        os.kill(owner, 9)
        server.live.until(owners, lambda seen: seen == 2, "another worker")
        until_sync(lambda: answers(client), what="an answer of the other worker")
    assert count(server, NO_PORT) == 0


def answers(client):
    try:
        return client.list() == ([], None)
    except grpc.RpcError:
        return False


def count(server, text):
    return server.live.log_path.read_text().count(text)


def pids_at(port):
    """The processes that listen at the port."""
    tables = [Path("/proc/net/tcp").read_text(), Path("/proc/net/tcp6").read_text()]
    lines = [line.split() for table in tables for line in table.splitlines()]
    wanted = f":{port:04X}"
    inodes = {line[9] for line in lines if line[1].endswith(wanted) and line[3] == "0A"}
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        except OSError:
            continue
        if inodes & {link[8:-1] for link in links if link.startswith("socket:[")}:
            found.add(int(pid))
    return found


def test_a_foreign_owner_of_the_port_is_told_once(own_worker):
    server = own_worker()
    with socket.socket() as foreign:
        foreign.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        foreign.bind(("127.0.0.1", server.port))
        foreign.listen()
        server.live.start().ready()
        server.live.until(lambda: count(server, NO_PORT))
    server.live.until(lambda: count(server, LISTENS), what="the port, once it is free")
    assert count(server, NO_PORT) == 1


def test_a_client_made_of_reflection_alone(worker):
    pool = descriptor_pool.DescriptorPool()
    with worker.channel(worker.certificates.client()) as channel:
        ask = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo

        def answer(**question):
            (found,) = ask(iter([reflection_pb2.ServerReflectionRequest(**question)]), timeout=30)
            return found

        services = answer(list_services="").list_services_response.service
        assert "job_worker.JobService" in {service.name for service in services}
        found = answer(file_containing_symbol="job_worker.JobService").file_descriptor_response
        for content in found.file_descriptor_proto:
            pool.Add(descriptor_pb2.FileDescriptorProto.FromString(content))
        service = pool.FindServiceByName("job_worker.JobService")
        assert len(service.methods) == 5

        def method(name):
            of = service.methods_by_name[name]
            request, response = (
                message_factory.GetMessageClass(kind) for kind in (of.input_type, of.output_type)
            )
            make = channel.unary_stream if of.server_streaming else channel.unary_unary
            path = f"/{service.full_name}/{name}"
            call = make(path, request.SerializeToString, response.FromString)
            return lambda **fields: call(request(**fields), timeout=60)

        made = method("CreateJob")(command="echo", args=["reflected"])
        output = b"".join(chunk.payload for chunk in method("GetJobsStream")(id=made.id))
        assert output.endswith(b"reflected\n")
        assert method("GetJob")(id=made.id).status == "COMPLETED"


BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("grpc", "grpc_health", "grpc_reflection"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocked())
import asyncio
from ci_server.app import create_app, lifespan
async def start():
    app = create_app()
    async with lifespan(app):
        print("started")
asyncio.run(start())
"""


@pytest.mark.parametrize("certificates", [None, "certs"])
def test_without_grpcio(tmp_path, certificates):
    """It is needed only by those who want this service."""
    variables = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "CI_DB_PATH": str(tmp_path / "ci.db"),
        "CI_EXECUTOR": "process",
        **({"CI_GRPC_CERTS": certificates} if certificates else {}),
    }
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED], env=variables, capture_output=True, text=True, timeout=60
    )
    if certificates is None:
        assert (done.returncode, done.stdout) == (0, "started\n"), done.stderr
    else:
        assert done.returncode != 0
        assert "SettingsError: CI_GRPC_CERTS is set, but grpc, grpc_health" in done.stderr
        assert "pip install 'ci-runner[grpc]'" in done.stderr
