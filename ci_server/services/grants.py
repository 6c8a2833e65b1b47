"""Signed URLs: whoever has one may read one file of one job for a while, without credentials.

Nothing is stored. A URL can be taken back only with all others, by rotating the key.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import quote, urlencode

from ci_common.errors import GrantExpiredError, InvalidGrantError

EXPIRES, SIGNATURE = "expires", "sig"
"""The names of the parameters in the URL."""

_VERSION = "artifact-1"
_TIME = re.compile(r"[1-9][0-9]{0,11}")


@dataclass(frozen=True, slots=True)
class Grants:
    """Signs, and verifies what was signed. `keys` are newest first."""

    keys: Callable[[], Sequence[bytes]]
    seconds: float
    now: Callable[[], datetime]

    def signer(self, base_url: str, job_id: str) -> Callable[[str], str]:
        """Makes URLs of a job's artifacts, by path, for a principal who was found to be allowed to
        read the job.

        `base_url` has no slash at its end.
        """
        expires = int((self.now() + timedelta(seconds=self.seconds)).timestamp())
        key = self.keys()[0]

        def url_of(path: str) -> str:
            query = {EXPIRES: expires, SIGNATURE: _signature(key, job_id, path, str(expires))}
            return f"{base_url}/artifacts/{job_id}/{quote(path)}?{urlencode(query)}"

        return url_of

    def check_artifact(self, job_id: str, path: str, expires: str, proof: str) -> None:
        """Raise InvalidGrantError or GrantExpiredError unless this was signed, and still holds."""
        if not proof.isascii() or not _TIME.fullmatch(expires):
            raise InvalidGrantError
        wanted = [_signature(key, job_id, path, expires) for key in self.keys()]
        if not any(hmac.compare_digest(proof, one) for one in wanted):
            raise InvalidGrantError
        if int(expires) <= self.now().timestamp():
            raise GrantExpiredError


def _signature(key: bytes, job_id: str, path: str, expires: str) -> str:
    """Only the path, which is last, may hold any character."""
    text = f"{_VERSION}\n{job_id}\n{expires}\n{path}"
    proof = hmac.digest(key, text.encode(errors="surrogatepass"), hashlib.sha256)
    return base64.urlsafe_b64encode(proof).rstrip(b"=").decode("ascii")
