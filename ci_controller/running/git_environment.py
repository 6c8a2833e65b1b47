"""What a job is told of the commit that its project was packed from."""

import re

from packaging.version import InvalidVersion, Version

from ci_common.git_facts import GitFacts

_DESCRIBED = re.compile(r"(?P<tag>.+)-(?P<distance>\d+)-g(?P<commit>[0-9a-f]+)(-dirty)?")
_TAG_VERSION = re.compile(r"(?:.*[-_/])?[vV]?(?P<version>\d.*)")


def git_environment(facts: GitFacts) -> dict[str, str]:
    """The variables of a job: what the commit is, and, as the package has no repository, which
    version its build backends are to take it for.
    """
    version = scm_version(facts)
    return {
        "CI_COMMIT_SHA": facts.commit,
        **({"CI_BRANCH": facts.branch} if facts.branch else {}),
        "SETUPTOOLS_SCM_PRETEND_VERSION": version,  # hatch-vcs reads it, too
        "PDM_BUILD_SCM_VERSION": version,
        "POETRY_DYNAMIC_VERSIONING_BYPASS": version,
    }


def scm_version(facts: GitFacts) -> str:
    """The version of the work tree, as setuptools-scm computes it by default: that of the tag when
    the tree is the tag's, and else a development version of the next one.
    """
    described = _DESCRIBED.fullmatch(facts.describe or "")
    version = _tag_version(described["tag"]) if described else None
    distance = int(described["distance"]) if described and version else 0
    if version is not None and distance == 0 and not facts.dirty:
        return str(version)
    following = _next(version) if version is not None else "0.1"
    local = f"g{facts.commit[:9]}" + (".dirty" if facts.dirty else "")
    return f"{following}.dev{distance}+{local}"


def _tag_version(tag: str) -> Version | None:
    found = _TAG_VERSION.fullmatch(tag)
    try:
        return Version(found["version"]) if found else None
    except InvalidVersion:
        return None


def _next(version: Version) -> str:
    if version.pre is not None:
        kind, number = version.pre
        return f"{version.base_version}{kind}{number + 1}"
    *head, last = version.release
    epoch = f"{version.epoch}!" if version.epoch else ""
    return epoch + ".".join(map(str, (*head, last + 1)))
