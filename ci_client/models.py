"""The library for models: pack one, submit it to the model-job API, and read its job.

The names here are imported from `ci_client`, as those of `ci_client.client` are.
"""

from pathlib import Path
from typing import Any, TypeVar

import httpx

from ci_client.client import Client
from ci_client.errors import RequestRefused
from ci_client.library.job_ids import checked_job_id, is_whole_id
from ci_client.library.model_job import (
    ModelArtifact,
    ModelJob,
    ModelJobList,
    ModelResult,
    ModelStatistics,
    SubmittedModel,
)
from ci_client.library.transport import address, json_of, unexpected
from ci_client.library.upload import VALIDATION_SECONDS, OnProgress, UploadFile
from ci_client.packing.model_package import ModelPackage, create_model_package

__all__ = [
    "ModelArtifact",
    "ModelClient",
    "ModelJob",
    "ModelJobList",
    "ModelPackage",
    "ModelResult",
    "ModelStatistics",
    "SubmittedModel",
    "create_model_package",
]

_JOBS = "/v1/jobs"
_NO_SUCH_ROUTE = ("not_found", "method_not_allowed", "http_error")
_Read = TypeVar("_Read", ModelJob, SubmittedModel)


class ModelClient(Client):
    """A connection to one server's model-job API.

    A model's job is a job like every other: what `Client` does with jobs it does with these, too,
    such as following one, and downloading its artifacts.
    """

    def submit_model(
        self,
        package: ModelPackage | str | Path,
        *,
        name: str | None = None,
        priority: int | None = None,
        on_progress: OnProgress | None = None,
    ) -> SubmittedModel:
        """Upload a model's zip; what the server says of its job.

        `name` is what people call the model. Of jobs of the same name the server learns how long
        they take. `priority` is from 0 (lowest, the default) to 10.

        Raises:
            RequestRefused: the server does not take it; the message tells why.
            ServerUnreachable: no answer.
            UnexpectedAnswer: this is no CI server.
        """
        given = {"model_name": name, "priority": None if priority is None else str(priority)}
        with UploadFile(package, on_progress) as file:
            answer = self._ask_models(
                "POST",
                f"{_JOBS}/submit",
                data={key: value for key, value in given.items() if value is not None},
                files={"package": ("model.zip", file, "application/zip")},
                timeout=VALIDATION_SECONDS,
            )
        return self._read(SubmittedModel, answer)

    def get_model_job(self, job_id: str) -> ModelJob:
        """What the server knows about a model's job, with the result once there is one.

        Raises:
            JobNotFound, RequestRefused, ServerUnreachable, UnexpectedAnswer.
        """
        path = f"{_JOBS}/{checked_job_id(job_id)}"
        return self._read(ModelJob, self._ask_models("GET", path, job_id))

    def list_model_jobs(
        self, *, status: str | None = None, limit: int | None = None, cursor: str | None = None
    ) -> ModelJobList:
        """A page of the jobs of the model-job API, newest first.

        Raises:
            RequestRefused, ServerUnreachable, UnexpectedAnswer.
        """
        asked = {"status": status, "limit": limit, "cursor": cursor}
        given = {key: value for key, value in asked.items() if value is not None}
        answer = self._ask_models("GET", _JOBS, params=given)
        found = answer.get("jobs") if isinstance(answer, dict) else None
        if not isinstance(found, list):
            raise unexpected(self._http, "not a list of jobs")
        page = ModelJobList(self._read(ModelJob, job) for job in found)
        page.next_cursor = answer.get("nextCursor")
        return page

    def cancel_model_job(self, job_id: str, *, force: bool = False) -> None:
        """Cancel a queued job; with `force` one that is under way, too.

        Raises:
            JobFinished: it is too late.
            AccessRefused: it is the job of another tenant.
            JobNotFound, RequestRefused, ServerUnreachable.
        """
        path = f"{_JOBS}/{checked_job_id(job_id)}"
        params = {"force": "true"} if force else {}
        self._send_models("DELETE", path, job_id, params=params)

    def _ask_models(self, method: str, path: str, job_id: str | None = None, **options: Any) -> Any:
        return json_of(self._http, self._send_models(method, path, job_id, **options))

    def _send_models(
        self, method: str, path: str, job_id: str | None = None, **options: Any
    ) -> httpx.Response:
        try:
            return self._exchange.send(method, path, job_id, **options)
        except RequestRefused as error:
            if error.http_status in (404, 405) and error.code in _NO_SUCH_ROUTE:
                raise RequestRefused(
                    "no_model_api",
                    f"The server at {address(self._http)} is too old for the model-job API. Use "
                    "`ci submit engine` to value models there.",
                    error.http_status,
                ) from error
            raise

    def _read(self, kind: type[_Read], answer: Any) -> _Read:
        try:
            found = kind.read(answer)
            if not is_whole_id(found.job_id):
                raise ValueError("it has no usable id")
        except ValueError as error:
            raise unexpected(self._http, f"not a model's job: {error}") from error
        return found
