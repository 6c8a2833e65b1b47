"""What a set-up container runs: one layer of an installation, as a shell script."""

import shlex
from collections.abc import Mapping

from ci_common.install_files import Lock
from ci_common.secret import SECRETS_DIRECTORY_VARIABLE
from ci_controller.executors.docker.project_tar import ENVIRONMENT_FILE, SECRETS
from ci_controller.executors.shared.install_layers import Layer, Step
from ci_controller.executors.shared.setup_environment import (
    NO_VERSION,
    SCM_BACKENDS,
    VERSION_VARIABLES,
    WITHOUT_GIT,
)

ENVIRONMENT = f"{SECRETS}/{ENVIRONMENT_FILE}"
"""A file of `export` lines: what is in a container's own configuration is in its image, too."""

TOOLS = {
    Lock.UV: ("uv==0.13.8",),
    Lock.PYLOCK: ("uv==0.13.8",),
    Lock.POETRY: ("poetry==2.5.1", "poetry-plugin-export==1.10.1"),
    Lock.PDM: ("pdm==2.29.4", "hishel[httpx2]==1.4.0"),
    Lock.PIPENV: ("pipenv==2026.10.3",),
}
"""What reads each lock. They are gone when the layer is done."""

_EXPORTS = {
    Lock.UV: "uv export --frozen --quiet --no-header --no-annotate --format requirements.txt "
    '--output-file "$exported" {options} >/dev/null',
    Lock.POETRY: 'poetry export --format requirements.txt --output "$exported" {options}',
    Lock.PDM: 'pdm export --format requirements --output "$exported" {options}',
    Lock.PIPENV: 'pipenv requirements --dev {options} >"$exported"',
}

_PRELUDE = f"""
set -e
if [ -r /{ENVIRONMENT} ]; then . /{ENVIRONMENT}; fi
if ! python=$(command -v python); then
    echo "ci: the image has no python, so nothing can be installed in it"
    exit @without_python@
fi
site=$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
tools=/tmp/.ci-tools
exported=/tmp/.ci-exported.txt
if [ -z "$UV_DEFAULT_INDEX$UV_INDEX_URL" ]; then
    if [ -z "$PIP_INDEX_URL" ] && [ -e /etc/pip.conf ]; then
        PIP_INDEX_URL=$(python -m pip config get global.index-url 2>/dev/null || true)
    fi
    if [ -n "$PIP_INDEX_URL" ]; then export PIP_INDEX_URL UV_DEFAULT_INDEX="$PIP_INDEX_URL"; fi
fi

install() {{
    if command -v uv >/dev/null 2>&1 && [ -w "$site" ]; then
        uv pip install --python "$python" "$@"
    else
        python -m pip install --disable-pip-version-check "$@"
    fi
}}

# For this installation only: not in the environment of the job.
tool() {{
    if command -v uv >/dev/null 2>&1; then
        uv venv --quiet --python "$python" "$tools"
        uv pip install --quiet --python "$tools/bin/python" "$@"
    else
        python -m venv "$tools"
        "$tools/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
    fi
    PATH="$PATH:$tools/bin"
}}

# A lock may name indexes, but where one is chosen, that is the one.
without_other_indexes() {{
    if [ -n "$UV_DEFAULT_INDEX$UV_INDEX_URL$PIP_INDEX_URL" ]; then
        sed -i -E '/^(-i|--index-url|--extra-index-url)[ =]/d' "$exported"
    fi
}}

# Its build backend is installed; what else that may ask for, an isolated build gets for it.
project() {{
    if [ ! -e .git ] && [ ! -e PKG-INFO ]; then
        if [ -z "${{SETUPTOOLS_SCM_PRETEND_VERSION+set}}" ] \\
            && grep -qsE "{SCM_BACKENDS}" pyproject.toml setup.py setup.cfg; then
            echo "ci: {WITHOUT_GIT}"
        fi
@versions@
    fi
    install --no-build-isolation "$@" && return
    echo "ci: building it once more, isolated, with what its build backend asks for"
    install "$@"
}}
"""
"""uv where the image has it and the environment is the user's own; pip does the rest."""

_END = """
rm -rf "$tools" "$exported"
rm -f .ci-install.txt .ci-dependencies.txt .ci-build.txt .ci-project.txt
"""

_REDACT = f"""
python - "$site" "$HOME" "$PWD" <<'END'
import os, sys
from urllib.parse import quote

directory = "/{SECRETS}"
since = os.stat("/{ENVIRONMENT}").st_ctime
values = set()
for name in os.listdir(directory):
    if not name.startswith(".ci-"):
        with open(os.path.join(directory, name), "rb") as file:
            value = file.read().strip()
        values |= {{value, quote(value, safe="").encode()}}
for top in sys.argv[1:]:
    for where, _, names in os.walk(top):
        for path in (os.path.join(where, name) for name in names):
            facts = os.lstat(path)
            if facts.st_ctime < since or os.path.islink(path) or not os.path.isfile(path):
                continue
            with open(path, "rb") as file:
                content = clean = file.read()
            for value in values:
                clean = clean.replace(value, b"*" * len(value))
            if clean != content:
                with open(path, "wb") as file:
                    file.write(clean)
                print(f"ci: masked a secret that the installation had written to {{path}}")
END
"""
"""What is installed is kept; a URL with a password in it, say, may be noted there."""


def install_script(layer: Layer, *, has_secrets: bool, needs_python: bool) -> str:
    """The script, run where the layer's files are. Without Python in the image it fails only if
    that `needs_python`.
    """
    versions = [f'        export {name}="${{{name}-{NO_VERSION}}}"' for name in VERSION_VARIABLES]
    prelude = _PRELUDE.replace("@without_python@", "1" if needs_python else "0")
    lines = [prelude.replace("@versions@", "\n".join(versions))]
    lock = next((step.lock for step in layer.steps if step.lock is not None), None)
    if lock is not None:
        lines.append(_tool_line(lock))
    lines += [_step_lines(step) for step in layer.steps]
    if has_secrets:
        lines.append(_REDACT)
    lines.append(_END)
    return "\n".join(lines)


def environment_file(variables: Mapping[str, str], *, has_files: bool) -> bytes:
    """The content of `ENVIRONMENT`, which also says where files with secrets are, if there are any.
    A name that a shell does not take is left out.
    """
    if has_files:
        variables = {SECRETS_DIRECTORY_VARIABLE: f"/{SECRETS}", **variables}
    lines = [
        f"export {name}={shlex.quote(text)}\n"
        for name, text in variables.items()
        if name.isascii() and name.isidentifier()
    ]
    return "".join(lines).encode(errors="surrogateescape")


def _tool_line(lock: Lock) -> str:
    line = f"tool {shlex.join(TOOLS[lock])}"
    if lock in (Lock.UV, Lock.PYLOCK):
        return f"command -v uv >/dev/null 2>&1 || {line}"
    return line


def _step_lines(step: Step) -> str:
    options = shlex.join(step.arguments)
    installed = options
    lines = []
    if step.lock is Lock.PYLOCK:
        installed = f"-r {Lock.PYLOCK}"
    elif step.lock is not None:
        lines += [_EXPORTS[step.lock].format(options=options), "without_other_indexes"]
        installed = '-r "$exported"'
    program = "project" if step.builds_project else "install"
    no_dependencies = "--no-deps " if step.without_dependencies else ""
    return "\n".join([*lines, f"{program} {no_dependencies}{installed}"])
