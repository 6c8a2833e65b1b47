"""worker.proto and the modules that protoc makes of it, for programs of others."""

from importlib.resources import files
from pathlib import Path

_PACKAGE = "ci_common.worker_api"
_OWN_IMPORT = "from ci_common.worker_api import worker_pb2 "
_IMPORT = "from api import worker_pb2 "

_FILES = {
    "worker.proto": Path("api/proto/worker.proto"),
    "worker_pb2.py": Path("api/worker_pb2.py"),
    "worker_pb2.pyi": Path("api/worker_pb2.pyi"),
    "worker_pb2_grpc.py": Path("api/worker_pb2_grpc.py"),
}


def write_files(directory: Path) -> list[Path]:
    """Write them below the directory; their paths. With it on Python's path, they are
    `api.worker_pb2` and `api.worker_pb2_grpc`.
    """
    written = []
    for name, place in _FILES.items():
        content = files(_PACKAGE).joinpath(name).read_text(encoding="utf-8")
        path = directory / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content.replace(_OWN_IMPORT, _IMPORT), encoding="utf-8")
        written.append(path)
    package = directory / "api" / "__init__.py"
    if not package.exists():
        package.touch()
        written.append(package)
    return written
