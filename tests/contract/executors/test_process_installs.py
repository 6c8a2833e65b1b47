"""What is installed for a job that is a process: what pip can; the rest is said."""

import pytest

from ci_common.secret import Secret
from support.archives import zip_bytes
from support.executors import collect
from support.memory_log import MemoryLog

pytestmark = pytest.mark.anyio

EXECUTORS = ("process",)

BACKEND = """
import os, zipfile

def build_editable(directory, config_settings=None, metadata_directory=None):
    name = "own-1-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(directory, name), "w") as wheel:
        wheel.writestr("own.pth", os.path.join(os.getcwd(), "src"))
        wheel.writestr("seen.py", f"TOKEN = {os.environ.get('TOKEN')!r}")
        info = "own-1.dist-info"
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\\nName: own\\nVersion: 1\\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    return name
"""
FILES = {
    "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\n'
    'backend-path = ["."]\n[project]\nname = "own"\nversion = "1"\n',
    "backend.py": BACKEND,
    "src/module.py": "VALUE = 'installed'\n",
    "uv.lock": "",
}


async def installed(bench, source, files=FILES, secrets=(), **options):
    log = MemoryLog()
    job = bench.job(source, package=zip_bytes(files), **options)
    output = await collect(await bench.launch(job, log, secrets=secrets))
    await bench.ended(job.job_id)
    return output, bytes(log.content)


async def test_a_package_without_an_index(bench):
    output, log = await installed(bench, "import module; print(module.VALUE)")
    assert output == b"installed\n"
    said = b"ci: install: the project (editable, pyproject.toml); not installed: uv.lock"
    assert log.startswith(said)


async def test_variables_and_secrets_hold_and_make_another_installation(bench):
    show = "import seen; print(seen.TOKEN)"
    assert (await installed(bench, show))[0] == b"None\n"
    env = {"TOKEN": "of the job"}
    assert (await installed(bench, show, env=env))[0] == b"of the job\n"
    secrets = [Secret("TOKEN", b"of nobody else")]
    assert (await installed(bench, show, secrets=secrets, env=env))[0] == b"of nobody else\n"
    assert [*bench.works.glob("environments/*/secrets")] == []


async def test_nothing_when_the_job_wants_nothing(bench):
    output, log = await installed(bench, "import module", install=())
    assert b"ModuleNotFoundError" in output
    assert log == b""
