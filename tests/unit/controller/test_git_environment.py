"""The variables that tell a job of its commit, and the version that the commit stands for."""

import pytest

from ci_common.git_facts import GitFacts
from ci_controller.running.git_environment import git_environment, scm_version

COMMIT = "1234567890abcdef1234567890abcdef12345678"


@pytest.mark.parametrize(
    ("describe", "dirty", "version"),
    [
        ("v1.2.3-0-g123456789", False, "1.2.3"),
        ("1.2.3-0-g123456789", False, "1.2.3"),
        ("v1.2.3-0-g123456789-dirty", True, "1.2.4.dev0+g123456789.dirty"),
        ("v1.2.3-4-g123456789", False, "1.2.4.dev4+g123456789"),
        ("v1.2.3-4-g123456789-dirty", True, "1.2.4.dev4+g123456789.dirty"),
        ("v2-1-g123456789", False, "3.dev1+g123456789"),
        ("v1.0rc1-2-g123456789", False, "1.0rc2.dev2+g123456789"),
        ("my-project-1.4-1-g123456789", False, "1.5.dev1+g123456789"),
        ("release/2024.5-1-g123456789", False, "2024.6.dev1+g123456789"),
        ("nightly-7-g123456789", False, "0.1.dev0+g123456789"),
        (None, False, "0.1.dev0+g123456789"),
        (None, True, "0.1.dev0+g123456789.dirty"),
    ],
)
def test_versions(describe, dirty, version):
    assert scm_version(GitFacts(COMMIT, "main", dirty, describe)) == version


def test_the_variables_of_a_job():
    assert git_environment(GitFacts(COMMIT, "main", False, "v1.0-0-g123456789")) == {
        "CI_COMMIT_SHA": COMMIT,
        "CI_BRANCH": "main",
        "SETUPTOOLS_SCM_PRETEND_VERSION": "1.0",
        "PDM_BUILD_SCM_VERSION": "1.0",
        "POETRY_DYNAMIC_VERSIONING_BYPASS": "1.0",
    }
    assert "CI_BRANCH" not in git_environment(GitFacts(COMMIT))
