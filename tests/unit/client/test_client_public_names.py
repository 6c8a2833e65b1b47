"""What programs may import of the client: changes of these names break them."""

import subprocess
import sys

import pytest

import ci_client
from ci_client import client, errors, functions, models

NAMES = [
    "AccessRefused",
    "ArtifactsIncomplete",
    "Client",
    "ClientError",
    "ConfigError",
    "DownloadError",
    "JobFinished",
    "JobList",
    "JobNotFound",
    "LocalServerError",
    "ModelArtifact",
    "ModelClient",
    "ModelJob",
    "ModelJobList",
    "ModelPackage",
    "ModelResult",
    "ModelResultError",
    "ModelStatistics",
    "NotAModel",
    "ProjectError",
    "ProjectNotFound",
    "ProjectTooLarge",
    "ProjectZip",
    "RequestRefused",
    "ServerUnreachable",
    "SubmittedModel",
    "UnexpectedAnswer",
    "UsageError",
    "cancel_job",
    "create_model_package",
    "create_project_zip",
    "download_artifacts",
    "get_job",
    "list_artifacts",
    "list_jobs",
    "read_log",
    "rerun_job",
    "submit_tests_async",
    "submit_tests_streaming",
    "wait_for_job",
]


def test_the_names():
    assert ci_client.__all__ == NAMES
    assert set(NAMES) <= set(dir(ci_client))


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_that_of_the_published_module(name):
    module = next((one for one in (client, functions, models) if name in one.__all__), errors)
    assert getattr(ci_client, name) is getattr(module, name)


@pytest.mark.parametrize("name", [*client.__all__, *functions.__all__])
def test_what_was_in_one_module_is_still_found_there(name):
    assert getattr(client, name) is getattr(ci_client, name)


def test_every_error_is_public():
    of_module = {
        name
        for name, found in vars(errors).items()
        if isinstance(found, type) and issubclass(found, errors.ClientError)
    }
    assert of_module <= set(NAMES)


def test_any_other_name_is_none():
    with pytest.raises(AttributeError, match="no attribute 'Nobody'"):
        _ = ci_client.Nobody


def test_importing_the_package_loads_nothing_heavy():
    heavy = {"httpx", "rich", "ci_client.client", "ci_client.functions", "ci_client.models"}
    script = f"import sys, ci_client; print({heavy} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "set()\n"
