"""The client: send a directory to a CI server and watch its job.

The names here are the library, and the only ones that a program should import. What talks HTTP is
loaded when it is used, so that the command `ci` starts fast. `library` holds requests, events and
downloads, `packing` makes the zip, `command` is the command line.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ci_client.errors import (
    AccessRefused,
    ArtifactsIncomplete,
    ClientError,
    ConfigError,
    DownloadError,
    JobFinished,
    JobNotFound,
    LocalServerError,
    ModelResultError,
    NotAModel,
    ProjectError,
    ProjectNotFound,
    ProjectTooLarge,
    RequestRefused,
    ServerUnreachable,
    UnexpectedAnswer,
    UsageError,
)

if TYPE_CHECKING:
    from ci_client.client import Client, JobList, ProjectZip, create_project_zip
    from ci_client.functions import (
        cancel_job,
        download_artifacts,
        get_job,
        list_artifacts,
        list_jobs,
        read_log,
        rerun_job,
        submit_tests_async,
        submit_tests_streaming,
        wait_for_job,
    )
    from ci_client.models import (
        ModelArtifact,
        ModelClient,
        ModelJob,
        ModelJobList,
        ModelPackage,
        ModelResult,
        ModelStatistics,
        SubmittedModel,
        create_model_package,
    )

__all__ = [
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

_OF_MODELS = frozenset(
    {
        "ModelArtifact",
        "ModelClient",
        "ModelJob",
        "ModelJobList",
        "ModelPackage",
        "ModelResult",
        "ModelStatistics",
        "SubmittedModel",
        "create_model_package",
    }
)


_OF_CONNECTIONS = frozenset({"Client", "JobList", "ProjectZip", "create_project_zip"})


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in _OF_MODELS:
        module = "models"
    else:
        module = "client" if name in _OF_CONNECTIONS else "functions"
    return getattr(import_module(f"{__name__}.{module}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
