"""The variables of an installation: the operator's, the job's and its secrets."""

import hashlib
from collections.abc import Mapping

from ci_common.ports.launch_request import LaunchRequest

_INDEX = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL")
_MORE_INDEXES = ("UV_INDEX", "UV_EXTRA_INDEX_URL", "PIP_EXTRA_INDEX_URL")

VERSION_VARIABLES = (
    "SETUPTOOLS_SCM_PRETEND_VERSION",  # hatch-vcs reads it, too
    "PDM_BUILD_SCM_VERSION",
    "PBR_VERSION",
    "POETRY_DYNAMIC_VERSIONING_BYPASS",
    "UV_DYNAMIC_VERSIONING_BYPASS",
)
"""What stands in for the version that a build would take from git, which is not sent."""

NO_VERSION = "0.0.0"
"""The version of a project whose build would ask git. One that was unpacked from a source
distribution has its version in PKG-INFO, where the same builds look for it."""

SCM_BACKENDS = "setuptools[_-]scm|hatch-vcs|pbr|dynamic-versioning|source *= *.scm"
"""In the files of such a project (an extended regular expression)."""

WITHOUT_GIT = (
    f"the version is {NO_VERSION}: the project reads it from git, but no git data was "
    "sent; set SETUPTOOLS_SCM_PRETEND_VERSION in the job's env (empty to leave it to the project)"
)

_OF_THE_COMMIT = frozenset({"CI_COMMIT_SHA", "CI_BRANCH", *VERSION_VARIABLES})


def setup_environment(
    operator: Mapping[str, str], request: LaunchRequest, *, of_project: bool
) -> dict[str, str]:
    """The variables; the job's replace the operator's, and its secrets the job's. What names the
    commit or its version is for layers that are built `of_project`: the same dependencies serve all
    commits, and none of them has its version.

    An index that is chosen for pip is chosen for uv, too, and the other way round: none is replaced
    by the public one because another program installs. Bytes that are not UTF-8 are surrogates.
    """
    secrets = {
        one.name: one.value.decode(errors="surrogateescape")
        for one in request.secrets
        if one.in_environment
    }
    found = {**_for_all_installers(operator), **_for_all_installers({**request.env, **secrets})}
    return {name: text for name, text in found.items() if of_project or name not in _OF_THE_COMMIT}


def environment_key(variables: Mapping[str, str], request: LaunchRequest) -> str:
    """A digest of everything that an installation is given, besides files of the project."""
    values = {name: text.encode(errors="surrogateescape") for name, text in variables.items()}
    values |= {f"file {one.name}": one.value for one in request.secrets if not one.in_environment}
    digest = hashlib.sha256()
    for name in sorted(values):
        for part in (name.encode(errors="surrogateescape"), values[name]):
            digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest() if values else ""


def _for_all_installers(variables: Mapping[str, str]) -> dict[str, str]:
    found = dict(variables)
    index = next((found[name] for name in _INDEX if found.get(name)), None)
    if index is not None:
        found.pop("UV_INDEX_URL", None)  # the old name; uv takes only one of the two
        found["UV_DEFAULT_INDEX"] = index
        found.setdefault("PIP_INDEX_URL", _url(index))
    more = next((found[name].split() for name in _MORE_INDEXES if found.get(name)), None)
    if more is not None:
        found.setdefault("UV_INDEX", " ".join(more))
        found.setdefault("PIP_EXTRA_INDEX_URL", " ".join(map(_url, more)))
    return found


def _url(index: str) -> str:
    """Without the name that uv allows before it."""
    name, separator, url = index.partition("=")
    return url if separator and "/" not in name else index
