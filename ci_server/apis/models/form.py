"""The form of a model's submission: parts in, what the intake takes out."""

from dataclasses import replace
from pathlib import Path

from fastapi.exceptions import RequestValidationError

from ci_common.job import DEFAULT_PRIORITY, LONGEST_TITLE, Door, is_title
from ci_common.model_result import OUTPUT
from ci_server.http.multipart import FormShape, UploadForm
from ci_server.submission.model_package import read_model_package
from ci_server.submission.project_config import MOST_PRIORITY
from ci_server.submission.request import SubmissionRequest

JOB = "engine"
"""The name of the job, in the package's own table, that has its image and limits, if any."""
FORM = FormShape(
    file="package",
    texts={"model_name": 4 * LONGEST_TITLE, "priority": 32},
    how="send multipart/form-data with the model's zip as the part 'package', "
    "e.g. curl -F package=@model.zip -F priority=5",
    ignores_others=True,
    name_suffix=".zip",
)


def read_form(form: UploadForm) -> SubmissionRequest:
    """What the form asks for; `complete` gives the command the model's directory.

    Raises RequestValidationError.
    """
    return SubmissionRequest(
        job=JOB,
        command=engine_command("."),
        priority=_priority(form.text("priority")),
        title=_title(form.text("model_name")),
        door=Door.MODELS,
    )


def complete(package: Path, request: SubmissionRequest) -> SubmissionRequest:
    """The request, with the command for the model that is in the package.

    Raises InvalidPackageError.
    """
    directory = read_model_package(package).directory
    return replace(request, command=engine_command("." if directory == "." else f"./{directory}"))


def engine_command(directory: str) -> tuple[str, ...]:
    """What the job runs. `-P`, because a file of the model must not stand in for a module of the
    same name.
    """
    run = ("python", "-P", "-m", "engine", "run", directory)
    return (*run, "--output", OUTPUT, "--plot", f"{OUTPUT}/npv.png")


def _priority(content: bytes | None) -> int:
    if content is None or not content.strip():
        return DEFAULT_PRIORITY
    text = content.decode(errors="replace").strip()
    if not (text.isascii() and text.isdecimal() and int(text) <= MOST_PRIORITY):
        raise _form_error("priority", f"must be an integer from 0 to {MOST_PRIORITY}")
    return int(text)


def _title(content: bytes | None) -> str | None:
    if not content:
        return None
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise _form_error("model_name", "must be UTF-8") from None
    if not is_title(text):
        raise _form_error("model_name", f"must be 1 to {LONGEST_TITLE} printable characters")
    return text


def _form_error(name: str, problem: str) -> RequestValidationError:
    return RequestValidationError([{"loc": ("body", name), "msg": problem}])
