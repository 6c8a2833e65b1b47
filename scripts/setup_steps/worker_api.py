"""The modules that protoc makes of api/proto/worker.proto.

They are committed twice. `api/` is for programs that are run from a checkout, as protoc writes it.
`ci_common/worker_api/` is what our own programs use, and what is in the wheel: the same but for the
name by which one of the modules imports the other. Both describe one file, `api/worker.proto`: the
same symbols under another file name could not be loaded beside it.
"""

import sys
import tempfile
from pathlib import Path

from setup_steps.console import run_quietly, step
from setup_steps.paths import ROOT

PROTO = "proto/worker.proto"
MESSAGES = ("worker_pb2.py", "worker_pb2.pyi")
SERVICE = "worker_pb2_grpc.py"
PUBLISHED = Path("api")
OWN = Path("ci_common/worker_api")

_IMPORT = "from api import worker_pb2 "
_OWN_IMPORT = "from ci_common.worker_api import worker_pb2 "


def generate() -> None:
    """Write the modules into the repository. Raises SetupError."""
    with step(f"Generating the modules of {PUBLISHED / PROTO}"):
        for path, content in generated().items():
            (ROOT / path).write_text(content, encoding="utf-8")


def generated() -> dict[Path, str]:
    """The content of every committed file, by its path. Raises SetupError."""
    with tempfile.TemporaryDirectory() as directory:
        _run_protoc(directory)
        made = Path(directory, "api")
        files = {name: (made / name).read_text(encoding="utf-8") for name in (*MESSAGES, SERVICE)}
    published = {PUBLISHED / name: content for name, content in files.items()}
    own = {OWN / name: files[name] for name in MESSAGES}
    own[OWN / SERVICE] = files[SERVICE].replace(_IMPORT, _OWN_IMPORT)
    own[OWN / "worker.proto"] = (ROOT / PUBLISHED / PROTO).read_text(encoding="utf-8")
    return {**published, **own}


def _run_protoc(directory: str) -> None:
    outputs = [f"--{kind}_out={directory}" for kind in ("python", "pyi", "grpc_python")]
    source = ROOT / PUBLISHED / "proto"
    run_quietly(
        [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            f"-Iapi={source}",
            *outputs,
            "api/worker.proto",
        ],
        failure="The modules could not be generated.",
    )
