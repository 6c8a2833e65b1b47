"""Tokens as clients of the model-job API have them: RS256, a key id, `tid`, no `aud`.

The issuer is a server of the test's own, which rotates its keys and has outages.
"""

import pytest

from ci_server.access.auth.key_cache import PAUSE_SECONDS
from support.issuer import AUDIENCE, KeySetServer, jwk, token

OLD, NEW = jwk("RS256", "old"), jwk("RS256", "new", "new")
WARNING = "CI_JWT_CHECK_AUDIENCE=false: every token that"


@pytest.fixture
def issuer():
    with KeySetServer(OLD) as server:
        yield server


def settings(issuer, **others):
    return {
        "controller": "external",
        "jwt_issuer": issuer.issuer,
        "jwt_check_audience": "false",
        "jwt_require_kid": "true",
        "jwt_tenant_claims": "tenant_id,tid",
        "requests_per_second_per_user": 0,
        **others,
    }


def bearer(issuer, kid="old", **changes):
    name = "new" if kid == "new" else ""
    given = {"aud": None, "tenant_id": None, "tid": "acme", "iss": issuer.issuer}
    given = {"role": "admin", **given, **changes}
    return {"Authorization": f"Bearer {token('RS256', kid, **{'name': name, **given})}"}


def ask(server, headers):
    answer = server.http.get("/usage", headers=headers)
    if answer.status_code == 200:
        return answer.json()["tenants"][0]["tenant"]
    return answer.status_code, answer.json()["error"]["code"]


def asked_to_wait(server, headers):
    """How long a refusal for now says to wait."""
    answer = server.http.get("/usage", headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "not_ready")
    assert "WWW-Authenticate" not in answer.headers
    wait = int(answer.headers["Retry-After"])
    assert 1 <= wait <= PAUSE_SECONDS
    return wait


def test_tokens_of_such_an_issuer(issuer, own_server):
    server = own_server(hardened=True, **settings(issuer)).start()
    assert ask(server, bearer(issuer)) == "acme"
    assert ask(server, bearer(issuer, tenant_id="globex")) == "globex"
    for audience in (AUDIENCE, "another service", ["a", "b"]):
        assert ask(server, bearer(issuer, aud=audience)) == "acme"
    assert issuer.paths == {"/.well-known/jwks.json"}
    wrong = (401, "invalid_credentials")
    assert ask(server, bearer(issuer, tid=None)) == wrong
    assert ask(server, bearer(issuer, tenant_id="")) == wrong
    assert ask(server, bearer(issuer, kid=None)) == wrong
    assert ask(server, bearer(issuer, name="thief")) == wrong
    assert ask(server, bearer(issuer, exp=1)) == wrong
    assert ask(server, bearer(issuer, iss=issuer.issuer.rstrip("/"))) == wrong
    assert ask(server, {}) == (401, "unauthenticated")
    assert server.log_path.read_text().count(WARNING) == 1


def test_by_default_an_audience_is_checked_and_tid_is_no_tenant(issuer, own_server):
    server = own_server(
        controller="external", jwt_issuer=issuer.issuer, jwt_audience=AUDIENCE
    ).start()
    good = {"aud": AUDIENCE, "tid": None, "tenant_id": "acme"}
    assert ask(server, bearer(issuer, **good)) == "acme"
    assert ask(server, bearer(issuer, kid=None, **good)) == "acme"
    for changes in ({"aud": None}, {"aud": "other"}, {"tid": "acme", "tenant_id": None}):
        wrong = ask(server, bearer(issuer, **{**good, **changes}))
        assert wrong == (401, "invalid_credentials")
    assert WARNING not in server.log_path.read_text()


def test_outages_at_the_start_and_during_a_rotation(issuer, own_server):
    issuer.status = 503
    server = own_server(**settings(issuer)).start()
    asked_to_wait(server, bearer(issuer))
    asked_to_wait(server, bearer(issuer))
    assert issuer.requests == 1
    issuer.status = 200
    seconds = PAUSE_SECONDS + 30
    server.until(lambda: ask(server, bearer(issuer)), lambda it: it == "acme", "recovery", seconds)

    issuer.status = 503
    issuer.serve(NEW)
    new = bearer(issuer, kid="new")
    # Within the pause after a fetch that went well nobody can say, so it is wrong at first.
    server.until(
        lambda: ask(server, new), lambda it: it == (503, "not_ready"), "the outage", seconds
    )
    asked_to_wait(server, new)
    assert ask(server, bearer(issuer)) == "acme"
    issuer.status = 200
    server.until(lambda: ask(server, new), lambda it: it == "acme", "the new key", seconds)
    assert ask(server, bearer(issuer)) == (401, "invalid_credentials")
