"""Where a job's artifacts are fetched, in the answers of doors that tell it."""

from collections.abc import Callable
from urllib.parse import quote

from ci_common.principal import Principal
from ci_server.services.grants import Grants


def artifact_urls(
    grants: Grants, principal: Principal, base_url: str, job_id: str
) -> Callable[[str], str]:
    """Makes URLs by path for somebody who was found to be allowed to read the job: signed ones, but
    not for those who have a token for the job only, since these would outlive it.
    """
    if principal.only_job is None:
        return grants.signer(base_url, job_id)
    return lambda path: f"{base_url}/jobs/{job_id}/artifacts/{quote(path)}"
