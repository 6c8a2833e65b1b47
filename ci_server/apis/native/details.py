"""The HTTP API: what is asked for of one job by itself."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from ci_server.apis.native.present_details import coverage_files_json, resources_json
from ci_server.http.guards import Reader
from ci_server.services.job_details import JobDetailService

router = APIRouter()


async def _details(request: Request) -> JobDetailService:
    details: JobDetailService = request.app.state.job_details
    return details


Details = Annotated[JobDetailService, Depends(_details)]


@router.get("/jobs/{job_id}/resources")
async def get_resources(job_id: str, details: Details, principal: Reader) -> dict[str, Any]:
    """The CPU cores and the memory that the job used, over time: at most 240 points."""
    return resources_json(*await details.resources(principal, job_id))


@router.get("/jobs/{job_id}/coverage")
async def get_coverage(job_id: str, details: Details, principal: Reader) -> dict[str, Any]:
    """What the job's coverage reports say of each file: the 1,000 with the most lines that were not
    run.
    """
    return coverage_files_json(*await details.coverage(principal, job_id))
