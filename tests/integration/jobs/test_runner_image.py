"""The image jobs run in, asked from inside, with the restrictions a job has."""

import hashlib
import json

import docker
import pytest

from setup_steps import image_build, runner_image
from setup_steps.paths import ROOT

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def client():
    client = docker.from_env(version="auto")
    yield client
    client.close()


@pytest.fixture(scope="module")
def inside(client):
    """A function that runs a command in a new container of the image and returns its output."""

    def run(*command):
        output = client.containers.run(
            runner_image.DEFAULT_NAME,
            list(command),
            remove=True,
            init=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            mem_limit="512m",
            nano_cpus=1_500_000_000,
        )
        return output.decode().strip()

    return run


def test_is_current(client):
    assert runner_image.ensure(client) is False


def test_user_directory_and_paths(inside):
    assert inside("sh", "-c", "id -u; id -g; pwd; echo $HOME; command -v python").split() == [
        "1000",
        "1000",
        "/workspace",
        "/home/ci",
        "/opt/venv/bin/python",
    ]


def test_workspace_home_and_environment_are_writable(inside):
    command = "touch /workspace/x ~/x /opt/venv/x /tmp/x && echo written"
    assert inside("sh", "-c", command) == "written"


@pytest.mark.parametrize("package", ["pytest", "numpy", "uv"])
def test_packages_have_the_pinned_version(inside, package):
    script = f"import importlib.metadata as m; print(m.version({package!r}))"
    pins = (ROOT / "constraints.txt").read_text()
    assert f"{package}=={inside('python', '-c', script)}" in pins


def test_certificates_are_this_machines(inside):
    script = (
        "import hashlib, os;"
        "paths = {os.environ[n] for n in ('SSL_CERT_FILE', 'REQUESTS_CA_BUNDLE', 'PIP_CERT')};"
        "print(*paths, hashlib.sha256(open(*paths, 'rb').read()).hexdigest())"
    )
    path, digest = inside("python", "-c", script).split()
    assert path == "/etc/ssl/certs/ca-certificates.crt"
    own = hashlib.sha256(image_build.ca_bundle().read_bytes()).hexdigest()
    assert digest == own


def test_bytecode_is_compiled_and_may_be_written(inside):
    script = (
        "import sys, numpy, json, pathlib as p;"
        "print(sys.dont_write_bytecode, *(p.Path(m.__cached__).exists() for m in (numpy, json)))"
    )
    assert inside("python", "-c", script) == "False True True"


def test_engine_sees_the_limits_of_the_container(inside):
    found = json.loads(inside("python", "-m", "engine", "capabilities"))
    assert found["memory_limit_bytes"] == 512 * 2**20
    assert found["threads"]["cpu_quota"] == 1.5


def test_uv_works_on_the_environment_that_python_uses(inside):
    script = "uv pip install --offline numpy 2>&1; uv pip list --format json 2>/dev/null"
    audited, listed = inside("sh", "-c", script).split("\n", 1)
    assert "Python" in audited or "Audited" in audited
    names = {package["name"] for package in json.loads(listed[listed.index("[") :])}
    assert {"numpy", "pip", "pytest", "uv"} <= names


def test_a_c_extension_can_be_built(inside):
    """Headers, compiler, make and git are there, as many a source distribution needs."""
    source = (
        "#include <Python.h>\n"
        'static struct PyModuleDef m = {PyModuleDef_HEAD_INIT, "ext", 0, -1};\n'
        "PyMODINIT_FUNC PyInit_ext(void) { return PyModule_Create(&m); }"
    )
    script = (
        "cd /tmp && printf '%s' \"$1\" > ext.c && printf 'ext.so: ext.c\n\tgcc -shared -fPIC "
        "$(FLAGS) ext.c -o ext.so\n' > Makefile && include=$(python -c "
        "'import sysconfig; print(sysconfig.get_path(\"include\"))') && "
        "make -s FLAGS=-I$include && git init -q . && less --version > /dev/null && "
        "g++ --version > /dev/null && python -c 'import ext; print(ext.__name__)'"
    )
    assert inside("bash", "-c", script, "-", source) == "ext"
