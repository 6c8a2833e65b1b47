"""A server with the Job Worker service, certificates for it, and clients."""

import os
import sys
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"  # tests start processes while channels are open

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from ci_common.worker_api import worker_pb2 as messages
from ci_common.worker_api.worker_pb2_grpc import JobServiceStub
from ci_worker.authority import SERVER_LIFE, Authority
from support.live_server import LiveServer, free_port
from support.waiting import until_sync

OPERATOR = "local"


class Certificates:
    SERVER_LIFE = SERVER_LIFE

    """A directory as the server reads it, and clients' pairs."""

    def __init__(self, directory):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.authority = Authority.create(OPERATOR)
        self.authority.pair.write(self.directory, "ca")
        self.write_server()

    def write_server(self):
        return self.authority.server(OPERATOR, [], SERVER_LIFE).write(self.directory, "server")

    def client(self, name="ann", organization="acme", role="admin", **options):
        return self.authority.client(name, organization, role, **options)

    def expired(self, **about):
        return self.client(**about, life=timedelta(0) - timedelta(minutes=1))

    def revoke(self, *pairs):
        with (self.directory / "revoked.txt").open("a") as file:
            file.writelines(f"{pair.serial}\n" for pair in pairs)

    def credentials(self, pair, authority=None):
        """Of a client with this pair; with `None` of one without a certificate."""
        from cryptography.hazmat.primitives import serialization

        pem = serialization.Encoding.PEM
        root = (authority or self.authority).pair.certificate.public_bytes(pem)
        if pair is None:
            return grpc.ssl_channel_credentials(root)
        key = pair.key.private_bytes(
            pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return grpc.ssl_channel_credentials(root, key, pair.certificate.public_bytes(pem))


class WorkerServer:
    """A live server with the service at a port of its own."""

    def __init__(self, directory, certificates=None, *, python=sys.executable, **settings):
        self.certificates = certificates or Certificates(Path(directory) / "certs")
        self.port = free_port()
        settings = {
            "executor": "process",
            "max_concurrent_jobs": 8,
            "requests_per_second_per_user": 0,
            **settings,
            "grpc_certs": self.certificates.directory,
            "grpc_address": f"127.0.0.1:{self.port}",
        }
        self.live = LiveServer(directory, python=python, **settings)

    def __enter__(self):
        self.live.start()
        self.live.until(lambda: "Job Worker service is listening" in self.live.log_path.read_text())
        return self

    def __exit__(self, *error):
        self.live.close()

    @property
    def target(self):
        return f"localhost:{self.port}"

    @contextmanager
    def channel(self, pair, options=(), authority=None):
        credentials = self.certificates.credentials(pair, authority)
        with grpc.secure_channel(self.target, credentials, list(options)) as channel:
            yield channel

    @contextmanager
    def client(self, pair=None, **options):
        """A stub; of an admin of acme where nobody is named."""
        with self.channel(pair or self.certificates.client(), **options) as channel:
            yield Client(JobServiceStub(channel))

    def health(self, service, pair=None):
        """What health checking says of a service."""
        with self.channel(pair or self.certificates.client()) as channel:
            check = health_pb2_grpc.HealthStub(channel).Check
            answer = check(health_pb2.HealthCheckRequest(service=service), timeout=30)
        return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)


class Client:
    """The five calls."""

    def __init__(self, stub):
        self.stub = stub

    def create(self, *command, **limits):
        first, *args = command
        return self.stub.CreateJob(
            messages.CreateJobReq(command=first, args=args, **limits), timeout=60
        )

    def get(self, job_id):
        return self.stub.GetJob(messages.GetJobReq(id=job_id), timeout=60)

    def stop(self, job_id):
        return self.stub.StopJob(messages.StopJobReq(id=job_id), timeout=60)

    def list(self, **metadata):
        answer, call = self.stub.GetJobs.with_call(
            messages.EmptyRequest(), timeout=60, metadata=pairs(metadata)
        )
        return list(answer.jobs), dict(call.trailing_metadata()).get("next-page-token")

    def stream(self, job_id, timeout=120, **metadata):
        """The call; iterate over its chunks."""
        return self.stub.GetJobsStream(
            messages.GetJobsStreamReq(id=job_id), timeout=timeout, metadata=pairs(metadata)
        )

    def output(self, job_id, **metadata):
        return b"".join(chunk.payload for chunk in self.stream(job_id, **metadata))

    def ended(self, job_id, seconds=120):
        return until_sync(
            lambda: self.get(job_id), lambda job: job.endTime, f"the end of {job_id}", seconds
        )

    def running(self, job_id):
        return until_sync(
            lambda: self.get(job_id), lambda job: job.status == "RUNNING", "its start"
        )


def pairs(metadata):
    return [(name.replace("_", "-"), str(value)) for name, value in metadata.items()]


def refusal(call):
    """Status and message of a call that fails."""
    try:
        call()
    except grpc.RpcError as error:
        return error.code().name, error.details()
    raise AssertionError("the call was not refused")
