"""A server with every identity set up at once, jobs of two tenants, and everybody who may ask.

No controller runs, so jobs stay what they are.
"""

import asyncio
import sqlite3
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace

import httpx

from ci_common.identities import new_token
from ci_common.job import Door, JobStatus, Visibility
from ci_common.principal import Role
from ci_common.run import RunRequest
from ci_persistence.sqlite.identities import SqliteIdentityAdministration
from ci_server.access.auth.iap import ASSERTION_HEADER, EMAIL_HEADER, IAP_ISSUER
from support.identities import a_user, stored
from support.instances import Instance
from support.issuer import AUDIENCE, ISSUER, KeySetServer, jwk, token
from support.live_server import LiveServer

ACME, GLOBEX, OPERATOR = "acme", "globex", "operations"
ANN, BOB = "ann@staff.example", "bob@staff.example"
EVE, OLGA = "eve@staff.example", "olga@staff.example"
SAM = "sam@staff.example"
"""In two tenants, which know nothing of each other: a name alone is nobody."""

PEOPLE = ((ANN, ACME), (BOB, ACME), (EVE, GLOBEX), (OLGA, OPERATOR))
NAMESAKE = (SAM, ACME)
OWNERS = ((ANN, ACME), (EVE, GLOBEX), (SAM, GLOBEX))

STATES = (JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.COMPLETED)
JOBS = (
    *((owner, status, Visibility.TENANT) for owner in OWNERS for status in STATES),
    ((ANN, ACME), JobStatus.COMPLETED, Visibility.VIEWERS),
    ((ANN, ACME), JobStatus.COMPLETED, Visibility.PRIVATE),
)
"""Everybody's, and of one user one from before the upgrade and one that is private."""

ARTIFACT = "output/report.txt"
PLACES = ("made", "logged", "kept")
_RUN = {"control_strategy": "synthetic_control", "max_iterations": 5}
OF_OUR_PAGE = {"sec-fetch-site": "same-origin"}
ABSENT = "00000000-0000-4000-8000-000000000000"
IAP_AUDIENCE = "/projects/1/global/backendServices/2"
IAP_TENANT, IAP_ROLE = ACME, Role.SUBMITTER


def run_id_of(job_id):
    return f"run_{job_id.replace('-', '')[:12]}"


@dataclass(frozen=True)
class Target:
    """A job to ask for; without a tenant one that does not exist."""

    job_id: str
    user: str | None = None
    tenant: str | None = None
    state: str = "absent"
    visibility: Visibility = Visibility.TENANT

    def __str__(self):
        return f"{self.user or 'nobody'}'s {self.state} job ({self.visibility.value})"

    @property
    def run_id(self):
        """Every job is a run's, too."""
        return run_id_of(self.job_id)

    def word(self, place):
        """What is in this place of such jobs of this user, and nowhere else."""
        return f"{place}-{self.visibility.value}-by-{self.tenant}-{self.user.partition('@')[0]}"

    def words(self):
        """Everything that tells of the job."""
        if self.tenant is None:
            return set()
        return {self.job_id, self.run_id, self.user, self.tenant, *map(self.word, PLACES)}


@dataclass(frozen=True)
class Caller:
    """Somebody, by one kind of credentials."""

    kind: str
    user: str | None = None
    tenant: str | None = None
    role: Role | None = None
    headers: dict = field(default_factory=dict, repr=False)
    params: dict = field(default_factory=dict, repr=False)
    only_job: str | None = None
    refused: str | None = None
    """The code of the refusal, for credentials that prove nothing."""

    def __str__(self):
        who = f"{self.user} of {self.tenant}, {self.role.value}" if self.role else "nobody"
        return f"{who} ({self.kind})"


@dataclass(frozen=True)
class World:
    """What the matrix is made of."""

    server: LiveServer
    targets: tuple[Target, ...]
    callers: tuple[Caller, ...]
    database: sqlite3.Connection

    def rows(self):
        """Every job as it is now, newest first: owner, who else may read it, status, and whether
        its end is asked for.
        """
        found = self.database.execute(
            "SELECT job_id, tenant, user, visibility, status, cancel_requested_at IS NOT NULL "
            "FROM jobs ORDER BY seq DESC"
        )
        return {job_id: tuple(rest) for job_id, *rest in found}

    def forget_cancellations(self):
        """Let the next caller find jobs and sessions as the last one did."""
        if self.database.execute("SELECT 1 FROM sessions WHERE ended_at IS NOT NULL").fetchone():
            self.database.execute("UPDATE sessions SET ended_at = NULL")
        if any(asked for *_, asked in self.rows().values()):
            self.database.execute("UPDATE jobs SET cancel_requested_at = NULL")


@contextmanager
def access_world(directory):
    """The world, with its server running."""
    issuer, proxy = KeySetServer(jwk("ES256")), KeySetServer(jwk("ES256", "iap", "iap"))
    with issuer, proxy, LiveServer(directory, hardened=True, **_settings(issuer, proxy)) as server:
        targets, keys = asyncio.run(_fill(Instance(directory)))
        server.start()
        callers = (*keys, *_by_jwt(), *_by_proxy())
        callers += (*_lent(server, callers, targets), *_signed_in(server, keys))
        callers += (*_strangers(server.instance_id()), *_misplaced(callers))
        with closing(sqlite3.connect(server.database, isolation_level=None)) as database:
            yield World(server, targets, callers, database)


def _settings(issuer, proxy):
    return {
        "controller": "external",
        "metrics": "operators",
        "operator_tenant": OPERATOR,
        "jwt_jwks_url": issuer.url,
        "jwt_issuer": ISSUER,
        "jwt_audience": AUDIENCE,
        "iap_jwks_url": proxy.url,
        "iap_audience": IAP_AUDIENCE,
        "iap_tenant": IAP_TENANT,
        "iap_role": IAP_ROLE.value,
        "iap_header": "true",
        "trusted_proxies": "127.0.0.1",
        "stream_token_seconds": 3600,
        "requests_per_second_per_user": 0,
    }


async def _fill(instance):
    async with instance.opened() as database:
        targets = [
            await _job(instance, database, user, tenant, status, visibility)
            for (user, tenant), status, visibility in JOBS
        ]
        administration = SqliteIdentityAdministration(database)
        keys = [
            await _by_key(administration, user, tenant, role)
            for user, tenant in PEOPLE
            for role in Role
        ]
    instance.execute("UPDATE controller_lease SET heartbeat_at = ?", "2020-01-01T00:00:00.000Z")
    return (*targets, Target(ABSENT)), keys


async def _job(instance, database, user, tenant, status, visibility):
    job = Target("", user, tenant, status.value, visibility)
    made, logged, kept = map(job.word, PLACES)
    job_id = await instance.add_to(
        database,
        status,
        f"{logged}\n".encode(),
        {ARTIFACT: kept.encode()},
        tenant=tenant,
        user=user,
        command=(made,),
        door=Door.RUNS,
        visibility=visibility,
        run=lambda job_id: RunRequest(run_id_of(job_id), user, {"query": made, **_RUN}),
    )
    return replace(job, job_id=job_id)


# ------------------------------------------------------------------ who asks


async def _by_key(administration, user, tenant, role):
    known = a_user(user, tenant=tenant)
    key, _ = await stored(administration, known, role=role)
    return Caller("API key", user, tenant, role, _bearer(key))


def _signed_in(server, keys):
    """Pages of ours, in browsers that signed in with keys: of one who sees jobs of each kind of
    owner, and of the operator's.
    """
    for caller in keys:
        if caller.user not in (EVE, OLGA):
            continue
        key = caller.headers["authorization"].removeprefix("Bearer ")
        with httpx.Client(base_url=server.url, trust_env=False) as browser:
            answer = browser.post("/session", json={"api_key": key})
            assert answer.status_code == 200, answer.text
            cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
        yield replace(caller, kind="session", headers={"cookie": cookie, **OF_OUR_PAGE})


def _by_jwt():
    for user, tenant in (*PEOPLE, NAMESAKE):
        for role in Role:
            proof = token(sub=user, tenant_id=tenant, role=role.value, exp=_far)
            yield Caller("JWT", user, tenant, role, _bearer(proof))


def _by_proxy():
    """The proxy knows no tenants: whoever it names is a user of the one that is set."""
    for user in (ANN, BOB, SAM):
        about = (user, IAP_TENANT, IAP_ROLE)
        yield Caller("IAP assertion", *about, {ASSERTION_HEADER: _assertion(user)})
        yield Caller("IAP header", *about, {EMAIL_HEADER: f"accounts.google.com:{user}"})


def _lent(server, callers, targets):
    """For each caller a token for the last job that one is given for, if there is such a job."""
    for caller in callers:
        for target in reversed(targets):
            path = f"/jobs/{target.job_id}/token"
            answer = server.http.post(path, headers=caller.headers)
            if answer.status_code == 200:
                yield replace(
                    caller,
                    kind=f"stream token of {caller.kind}",
                    headers={},
                    params={"token": answer.json()["token"]},
                    only_job=target.job_id,
                )
                break


def _strangers(instance_id):
    wrong = "invalid_credentials"
    thief = {"sub": ANN, "tenant_id": ACME, "exp": _far}
    yield Caller("anonymous", refused="unauthenticated")
    yield Caller("unknown key", headers=_bearer(new_token()), refused=wrong)
    yield Caller("JWT of a thief", headers=_bearer(token(name="thief", **thief)), refused=wrong)
    yield Caller("JWT for others", headers=_bearer(token(aud="others", **thief)), refused=wrong)
    yield Caller("user's password", headers={"authorization": "Basic YTpi"}, refused=wrong)
    stolen = {ASSERTION_HEADER: _assertion(ANN, name="thief")}
    yield Caller("assertion of a thief", headers=stolen, refused=wrong)
    yield Caller("header of nobody", headers={EMAIL_HEADER: ANN}, refused=wrong)
    cookie = {"cookie": f"ci-session-{instance_id[:8]}={new_token()}", **OF_OUR_PAGE}
    yield Caller("cookie of no session", headers=cookie, refused=wrong)
    yield Caller("changed token", params={"token": "st1.e30.x"}, refused=wrong)


def _misplaced(callers):
    """What is good, but not where it is."""
    wrong = "invalid_credentials"
    key = next(caller for caller in callers if caller.kind == "API key")
    lent = next(caller for caller in callers if caller.only_job)
    in_header, in_url = _bearer(lent.params["token"]), {"token": key.headers["authorization"][7:]}
    yield Caller("stream token as a key", headers=in_header, refused=wrong)
    yield Caller("key in the URL", headers=key.headers, params=in_url, refused=wrong)


def _far(now):
    return now + 3600


def _assertion(user, name="iap"):
    return token(
        kid="iap", name=name, iss=IAP_ISSUER, aud=IAP_AUDIENCE, email=user, exp=_far, tenant_id=None
    )


def _bearer(proof):
    return {"authorization": f"Bearer {proof}"}
