"""Certificates while the server runs: renewed, broken, revoked."""

import time

import grpc
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from support.job_worker import Certificates, WorkerServer, refusal
from support.waiting import until_sync

SIZE = 20_000_000
REVOKED = ("UNAUTHENTICATED", "certificate revoked")


def test_a_client_that_is_revoked(worker):
    pair = worker.certificates.client("rita")
    small_window = [("grpc.http2.bdp_probe", 0)]
    with worker.client(pair, options=small_window) as client, worker.client() as other:
        job = client.create("sh", "-c", f"yes | head -c {SIZE}; sleep 60")
        until_sync(
            lambda: sum(len(one.payload) for one in client.stream(job.id, follow="false")),
            lambda size: size > SIZE,
        )
        stalled, live = client.stream(job.id), client.stream(job.id, offset=SIZE)
        kept = other.stream(job.id, offset=SIZE)
        assert next(stalled).payload  # and no more, so that its window fills
        next(live), next(kept)
        worker.certificates.revoke(pair)
        began = time.monotonic()
        assert refusal(lambda: list(live)) == REVOKED
        assert time.monotonic() - began < 10, "two seconds, on a machine that has the time"
        sizes = []
        assert refusal(lambda: sizes.extend(len(chunk.payload) for chunk in stalled)) == REVOKED
        assert sum(sizes) < SIZE / 2, "the rest was not sent"
        assert refusal(lambda: client.get(job.id)) == REVOKED
        assert refusal(lambda: client.output(job.id)) == REVOKED
        other.stop(job.id)
        assert list(kept) == []


def test_certificates_are_read_again_when_their_files_change(own_worker):
    with own_worker() as server:
        directory, first = server.certificates.directory, server.certificates
        with server.client() as client:
            assert client.list() == ([], None)
        key = (directory / "server-key.pem").read_bytes()
        for broken in (b"", key[:50], b"garbage\n"):
            (directory / "server-key.pem").write_bytes(broken)
            with server.client() as client:
                assert client.list() == ([], None), "keeping the previous ones"
        until_sync(  # the log is written a moment later
            lambda: server.live.log_path.read_text().count("keeping the previous ones"),
            lambda count: count == 3,
            "a line for each",
        )
        server.certificates = Certificates(directory)
        with server.client() as client:
            assert client.list() == ([], None)
        old = first.credentials(first.client())
        with grpc.secure_channel(server.target, old) as channel:
            ready = grpc.channel_ready_future(channel)
            with pytest.raises(grpc.FutureTimeoutError):
                ready.result(timeout=0.5)


def start_of(tmp_path, python, change, **settings):
    """What a server says that does not start."""
    certificates = Certificates(tmp_path / "certs")
    change(certificates.directory)
    server = WorkerServer(tmp_path, certificates, python=python, **settings)
    try:
        with pytest.raises(pytest.fail.Exception):
            server.live.start()
        return server.live.log_path.read_text()
    finally:
        server.live.close()


def with_rsa(directory):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (directory / "server-key.pem").write_bytes(pem)


def test_a_list_of_revoked_certificates_that_is_not_there(tmp_path, python_for_jobs):
    nowhere = tmp_path / "revoked"
    log = start_of(tmp_path, python_for_jobs, lambda directory: None, grpc_revoked=nowhere)
    assert f"the server cannot start: CI_GRPC_REVOKED: {nowhere} cannot be read" in log


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (with_rsa, "must be an EC or Ed25519 key"),
        (lambda directory: (directory / "ca-cert.pem").unlink(), "job-worker certs init"),
    ],
)
def test_what_a_server_does_not_start_with(tmp_path, python_for_jobs, change, message):
    log = start_of(tmp_path, python_for_jobs, change)
    assert "the server cannot start: CI_GRPC_CERTS: " in log
    assert message in log
    assert "Traceback" not in log
