"""Which server, with which certificate: flag before environment before default."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ci_worker.failures import CommandError, NotInstalledError

if TYPE_CHECKING:
    from ci_common.worker_api.worker_pb2_grpc import JobServiceStub

DEFAULT_SERVER = "localhost:50051"
DEFAULT_DIRECTORY = "certs"
SERVER_VARIABLE = "JOB_WORKER_SERVER"
DIRECTORY_VARIABLE = "JOB_WORKER_CERT_PATH"

_PORT = 50051

_OPTIONS = (
    # A server that is gone without a word is noticed while a job is silent.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 20_000),
)


@dataclass(frozen=True, slots=True)
class Choice:
    """What the command line says; `None` leaves it to the environment."""

    server: str | None = None
    cert: str | None = None
    key: str | None = None
    ca: str | None = None

    def over(self, other: "Choice") -> "Choice":
        """This, and where it says nothing the other."""
        return Choice(
            self.server or other.server,
            self.cert or other.cert,
            self.key or other.key,
            self.ca or other.ca,
        )

    @property
    def address(self) -> str:
        """Host and port."""
        address = self.server or os.environ.get(SERVER_VARIABLE) or DEFAULT_SERVER
        host, colon, port = address.rpartition(":")
        if colon and port.isdecimal() and (":" not in host or host.startswith("[")):
            return address
        return f"[{address}]:{_PORT}" if address.count(":") > 1 else f"{address}:{_PORT}"

    def files(self) -> tuple[bytes, bytes, bytes]:
        """Authority, key, certificate. Raises CommandError."""
        directory = Path(os.environ.get(DIRECTORY_VARIABLE) or DEFAULT_DIRECTORY)
        return (
            _content(self.ca, directory / "ca-cert.pem", "--ca"),
            _content(self.key, directory / "client-key.pem", "--key"),
            _content(self.cert, directory / "client-cert.pem", "--cert"),
        )


def _content(given: str | None, default: Path, option: str) -> bytes:
    path = Path(given) if given else default
    try:
        return path.read_bytes()
    except OSError as error:
        raise CommandError(
            f"{path} cannot be read: {error.strerror}. Give {option}, or set {DIRECTORY_VARIABLE} "
            "to the directory of the certificates",
            "FAILED_PRECONDITION",
        ) from error


@contextmanager
def connected(choice: Choice) -> Iterator["JobServiceStub"]:
    """The service. Raises CommandError for what it refuses."""
    files = choice.files()
    try:
        import grpc

        from ci_common.worker_api.worker_pb2_grpc import JobServiceStub
    except ImportError as error:
        raise NotInstalledError(
            f"{error.name or error} is not installed: pip install 'ci-runner[grpc]'",
            "FAILED_PRECONDITION",
        ) from error
    credentials = grpc.ssl_channel_credentials(*files)
    with grpc.secure_channel(choice.address, credentials, _OPTIONS) as channel:
        try:
            yield JobServiceStub(channel)  # type: ignore[no-untyped-call]
        except UnicodeError as error:
            raise CommandError("command and arguments must be UTF-8") from error
        except grpc.RpcError as error:
            raise _refused(error, choice) from error


def _refused(error: Any, choice: Choice) -> CommandError:
    code, message = error.code().name, error.details() or error.code().name
    if code == "UNAVAILABLE" and "onnect" in message:
        message = (
            f"{choice.address} cannot be reached, or does not accept the certificate ({message})"
        )
    return CommandError(message, code)
