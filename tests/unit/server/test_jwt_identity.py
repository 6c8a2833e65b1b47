"""JWTs: every algorithm, and every attack on them that is known."""

import base64
import json
import logging

import pytest

from ci_common.errors import InvalidCredentialsError
from ci_common.principal import Principal, Role
from ci_server.access.auth.credentials import Credentials
from ci_server.access.auth.iap import (
    ASSERTION_HEADER,
    IAP_ALGORITHMS,
    IAP_ISSUER,
    IapAssertionIdentity,
    ProxyUsers,
)
from ci_server.access.auth.jwt_identity import ClaimNames, JwtIdentity
from ci_server.access.auth.jwt_keys import parse_key_set
from ci_server.access.auth.jwt_verifier import JwtVerifier
from ci_server.access.auth.key_cache import KeyCache
from support.issuer import (
    AUDIENCE,
    ISSUER,
    by,
    claims,
    from_now,
    hmac_by,
    jwk,
    key_set,
    pem,
    private_key,
    raw_token,
    segment,
    token,
)

pytestmark = pytest.mark.anyio

ALGORITHMS = ("RS256", "ES256", "EdDSA")


class Published:
    """A key set without a network."""

    url = "https://issuer.example/jwks.json"

    def __init__(self, *entries):
        self.body = key_set(*entries)
        self.fetches = 0

    async def fetch(self):
        self.fetches += 1
        return self.body

    async def close(self):
        pass


def identity(*entries, audience=AUDIENCE, names=None, **options):
    keys = KeyCache(Published(*entries))
    verifier = JwtVerifier(keys, ISSUER, audience, **options)
    return JwtIdentity(verifier, Role.SUBMITTER, names or ClaimNames())


async def identify(bearer, *entries, **options):
    credentials = Credentials({"authorization": f"Bearer {bearer}"})
    return await identity(*(entries or (jwk("ES256"),)), **options).identify(credentials)


async def refused(bearer, *entries, told=None, **options):
    with pytest.raises(InvalidCredentialsError, match=told) as error:
        await identify(bearer, *entries, **options)
    return error.value.message


# ------------------------------------------------------------------ good ones


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_every_algorithm(algorithm):
    keys = [jwk(each, kid=each) for each in ALGORITHMS]
    assert await identify(token(algorithm, kid=algorithm), *keys) == Principal(
        "acme", "ann", Role.SUBMITTER, "jwt"
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"role": "viewer"}, Principal("acme", "ann", Role.VIEWER, "jwt")),
        ({"user_id": "u-7"}, Principal("acme", "u-7", Role.SUBMITTER, "jwt")),
        ({"user_id": "u-7", "sub": None}, Principal("acme", "u-7", Role.SUBMITTER, "jwt")),
        ({"aud": ["other", AUDIENCE]}, Principal("acme", "ann", Role.SUBMITTER, "jwt")),
        ({"nbf": None}, Principal("acme", "ann", Role.SUBMITTER, "jwt")),
        ({"exp": from_now(-20)}, Principal("acme", "ann", Role.SUBMITTER, "jwt")),
        ({"nbf": from_now(20)}, Principal("acme", "ann", Role.SUBMITTER, "jwt")),
    ],
)
async def test_what_claims_make_of_a_caller(changes, expected):
    assert await identify(token(**changes)) == expected


async def test_a_token_without_a_key_id():
    one = jwk("ES256")
    assert await identify(token(kid=None), one)
    others = [jwk("RS256", "k0"), jwk("ES256", "k2", "other"), jwk("EdDSA", "k3")]
    assert await identify(token(kid=None), *others, one)
    assert await identify(token(kid=None), jwk("ES256", kid=None))


async def test_keys_of_one_name_are_all_tried():
    assert await identify(token(), jwk("RS256"), jwk("ES256", name="other"), jwk("ES256"))


@pytest.mark.parametrize(
    "bearer", ["ci_a.b.c", "nothing", "a.b", "a.b.c.d", ".b.c", "a.b.c=", "a.b!.c", "ä.b.c"]
)
async def test_other_bearer_tokens_are_somebody_elses(bearer):
    assert await identify(bearer) is None


async def test_other_credentials_are_somebody_elses():
    for headers in ({}, {"authorization": f"Basic {token()}"}):
        assert await identity(jwk("ES256")).identify(Credentials(headers)) is None
    assert await identity(jwk("ES256")).identify(Credentials(token=token())) is None


# ------------------------------------------------------------------ claims


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"exp": from_now(-60)}, "has expired"),
        ({"exp": None}, "lacks"),
        ({"exp": from_now(600, str)}, "malformed"),
        ({"exp": True}, "malformed"),
        ({"exp": 1e400}, "malformed"),
        ({"exp": 10**400}, "malformed"),
        ({"nbf": from_now(60)}, "not valid yet"),
        ({"nbf": "soon"}, "malformed"),
        ({"iat": from_now(60)}, "not valid yet"),
        ({"iss": "https://issuer.example.evil"}, "another issuer"),
        ({"iss": "https://issuer"}, "another issuer"),
        ({"iss": [ISSUER]}, "another issuer|malformed"),
        ({"iss": None}, "lacks"),
        ({"aud": "ci-other"}, "another audience"),
        ({"aud": ["other"]}, "another audience"),
        ({"aud": []}, "lacks"),
        ({"aud": {"ci": True}}, "another audience"),
        ({"aud": None}, "lacks"),
        ({"tenant_id": None}, "no claim 'tenant_id'"),
        ({"tenant_id": 7}, "'tenant_id' is not a string"),
        ({"tenant_id": ["acme"]}, "'tenant_id' is not a string"),
        ({"tenant_id": ""}, "'tenant_id' is not a string"),
        ({"tenant_id": "  "}, "'tenant_id' is not a string"),
        ({"tenant_id": "a\nb"}, "'tenant_id' is not a string"),
        ({"tenant_id": "a" * 300}, "'tenant_id' is too long"),
        ({"tenant_id": None, "tid": "acme"}, "no claim 'tenant_id'"),
        ({"tenant_id": "a\0b"}, "'tenant_id' is not a string"),
        ({"tenant_id": "a\u202eb"}, "'tenant_id' is not a string"),
        ({"tenant_id": "a" * 5000}, "'tenant_id' is too long"),
        ({"tenant_id": "a" * 10_000}, "token is too large"),
        ({"sub": None}, "no claim 'user_id' or 'sub'"),
        ({"user_id": 7}, "'user_id' is not a string"),
        ({"role": "root"}, "role is not one of admin, submitter, viewer"),
        ({"role": ["admin"]}, "role is not one of"),
        ({"role": ""}, "role is not one of"),
        ({"role": "ADMIN"}, "role is not one of"),
    ],
)
async def test_claims_that_will_not_do(changes, told):
    header = {"alg": "ES256", "kid": "k1"}
    await refused(raw_token(header, claims(**changes), by("ES256")), told=told)


async def test_an_unknown_role_of_none_is_not_the_default():
    content = {**claims(), "role": None}
    await refused(raw_token({"alg": "ES256", "kid": "k1"}, content, by("ES256")), told="role")


@pytest.mark.parametrize(
    "payload",
    [
        json.dumps(claims())[:-1].encode() + b', "tenant_id": "other"}',
        json.dumps(claims())[:-1].encode() + b', "x": {"a": 1, "a": 2}}',
        json.dumps(claims())[:-1].encode() + b', "x": NaN}',
        json.dumps(claims())[:-1].encode() + b', "x": ' + b"[" * 2000 + b"]" * 2000 + b"}",
        json.dumps([claims()]).encode(),
        b"\xff\xfe",
        b"",
    ],
    ids=["twice", "twice-inside", "nan", "deep", "list", "bytes", "empty"],
)
async def test_payloads_of_more_than_one_meaning(payload):
    await refused(raw_token({"alg": "ES256", "kid": "k1"}, payload, by("ES256")), told="malformed")


# ------------------------------------------------------------------ other issuers' habits

BOTH = ClaimNames(("tenant_id", "tid"), ("user_id", "sub"))


@pytest.mark.parametrize(
    ("changes", "tenant", "user"),
    [
        ({"tenant_id": None, "tid": "globex"}, "globex", "ann"),
        ({"tid": "globex"}, "acme", "ann"),
        ({"tenant_id": None, "tid": "globex", "user_id": "u-7"}, "globex", "u-7"),
    ],
)
async def test_the_first_listed_claim_that_a_token_has(changes, tenant, user):
    found = await identify(token(**changes), names=BOTH)
    assert (found.tenant, found.user) == (tenant, user)


async def test_the_order_is_that_of_the_list():
    names = ClaimNames(("https://acme.example/tenant", "tid", "tenant_id"), ("email",))
    changes = {"tid": "globex", "email": "ann@example.com"}
    found = await identify(token(**changes), names=names)
    assert (found.tenant, found.user) == ("globex", "ann@example.com")
    spaced = token(**changes, **{"https://acme.example/tenant": "initech"})
    assert (await identify(spaced, names=names)).tenant == "initech"


@pytest.mark.parametrize(
    ("email", "told"),
    [
        ("Ann@example.com", "Ann@example.com"),
        (None, None),
        (["a@b"], None),
        ("nobody", None),
        ("a\0@b", None),
        ("\x1b[31m@b", None),
    ],
)
async def test_an_email_is_told_if_it_is_one(email, told):
    found = await identify(token(email=email))
    assert (found.user, found.email) == ("ann", told)


@pytest.mark.parametrize("first", ["", " ", 7, None, ["acme"], "a\nb", "a" * 300])
async def test_an_unusable_claim_is_not_passed_over_for_the_next(first):
    content = {**claims(tid="globex"), "tenant_id": first}
    bearer = raw_token({"alg": "ES256", "kid": "k1"}, content, by("ES256"))
    await refused(bearer, names=BOTH, told="'tenant_id'")


@pytest.mark.parametrize("names", [BOTH, ClaimNames(("tid",), ("sub",))])
async def test_a_token_with_none_of_the_claims(names):
    await refused(token(tenant_id=None), names=names, told="no claim .*'tid'")


@pytest.mark.parametrize("audience", [None, AUDIENCE, "other", ["a", "b"], [], "", 7, {"ci": True}])
async def test_any_audience_or_none_where_none_is_checked(audience):
    assert (await identify(token(aud=audience), audience=None)).user == "ann"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"exp": None}, "lacks"),
        ({"exp": from_now(-60)}, "expired"),
        ({"iss": None}, "lacks"),
        ({"iss": "https://evil.example"}, "another issuer"),
        ({"name": "thief"}, "signature"),
        ({"tenant_id": None}, "no claim"),
    ],
)
async def test_without_an_audience_all_else_is_checked(changes, told):
    await refused(token(**{"aud": None, **changes}), audience=None, told=told)


async def test_a_key_id_may_be_required():
    one = jwk("RS256")
    assert await identify(token("RS256"), one, requires_kid=True)
    for bearer in (token("RS256", kid=None), token("RS256", kid=None, name="thief")):
        await refused(bearer, one, requires_kid=True, told="has no key id")


# ------------------------------------------------------------------ signatures and headers


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", "", None, 7, ["ES256"], {}])
async def test_no_signature_and_no_algorithm(algorithm):
    header = {"alg": algorithm, "kid": "k1"}
    await refused(raw_token(header, claims()), told="algorithm")
    await refused(raw_token(header, claims(), by("ES256")), told="algorithm")


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
@pytest.mark.parametrize(
    "secret",
    [
        pem("RS256"),
        pem("RS256").strip(),
        json.dumps(jwk("RS256")).encode(),
        key_set(jwk("RS256")),
        base64.urlsafe_b64decode(jwk("RS256")["n"] + "=="),
        b"",
    ],
    ids=["pem", "stripped-pem", "jwk", "jwks", "modulus", "empty"],
)
async def test_a_public_key_is_no_secret(algorithm, secret):
    forged = raw_token({"alg": algorithm, "kid": "k1"}, claims(), hmac_by(secret))
    await refused(forged, jwk("RS256"), told="algorithm")


@pytest.mark.parametrize("algorithm", ["RS384", "PS256", "ES384", "ES256K", "Ed448", "RSA-OAEP"])
async def test_other_algorithms_are_not_accepted(algorithm):
    forged = raw_token({"alg": algorithm, "kid": "k1"}, claims(), by("RS256"))
    await refused(forged, jwk("RS256"), told="algorithm")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_another_key_of_the_same_name(algorithm):
    await refused(token(algorithm, name="thief"), jwk(algorithm), told="signature")


@pytest.mark.parametrize("claimed", ALGORITHMS)
@pytest.mark.parametrize("used", ALGORITHMS)
async def test_the_algorithm_is_the_keys(claimed, used):
    forged = raw_token({"alg": claimed, "kid": "k1"}, claims(), by(used))
    if claimed == used:
        assert await identify(forged, jwk(used))
    else:
        await refused(forged, jwk(used), told="signature")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_a_signature_of_other_content(algorithm):
    header, payload, signature = token(algorithm).split(".")
    other = segment(claims(tenant_id="other"))
    await refused(f"{header}.{other}.{signature}", jwk(algorithm), told="signature")
    await refused(f"{header}.{payload}.", jwk(algorithm), told="signature")
    await refused(f"{header}.{payload}.{segment(b'0' * 64)}", jwk(algorithm), told="signature")


async def test_a_signature_of_zeros():
    header = {"alg": "ES256", "kid": "k1"}
    await refused(raw_token(header, claims(), lambda _: bytes(64)), told="signature")


@pytest.mark.parametrize("header", [{"crit": ["exp"], "exp": 1}, {"crit": []}, {"crit": ["b64"]}])
async def test_critical_extensions_are_refused(header):
    head = {"alg": "ES256", "kid": "k1", **header}
    await refused(raw_token(head, claims(), by("ES256")), told="crit")


@pytest.mark.parametrize("place", ["jwk", "jku", "x5u", "x5c"])
async def test_keys_that_a_token_brings_along_are_not_read(place):
    brought = jwk("ES256", kid="thief", name="thief")
    value = {"jwk": brought, "x5c": ["MII"]}.get(place, "http://127.0.0.1:1/jwks.json")
    for kid in ("k1", "thief", None):
        await refused(token(name="thief", kid=kid, header={place: value}.items()), told="signature")


@pytest.mark.parametrize("kid", [7, ["k1"], {"k": 1}, "k" * 1000, None])
async def test_key_ids_that_are_none(kid):
    head = {"alg": "ES256", "kid": kid}
    await refused(raw_token(head, claims(), by("ES256")), told="malformed")


async def test_a_key_id_is_a_name_and_no_path():
    for kid, told in (
        ("../../etc/passwd", "signature"),
        ("k1' OR '1'='1", "signature"),
        ("k1\x00", "signature"),
        ("\ud800", "malformed"),
    ):
        head = {"alg": "ES256", "kid": kid}
        await refused(raw_token(head, claims(), by("ES256")), told=told)


async def test_a_huge_token():
    await refused(token(padding="x" * 8192), told="too large")
    assert await identify(token(padding="x" * 4000))


@pytest.mark.parametrize(
    "garbage",
    ["a..", "a.b.c", "e30.e30.", "bm9wZQ.e30.x", "A" * 60_000 + ".A.A", "-.-.-", "W10.e30.A"],
)
async def test_garbage(garbage):
    await refused(garbage)


async def test_headers_of_two_meanings():
    head = b'{"alg": "none", "kid": "k1", "alg": "ES256"}'
    await refused(raw_token(head, claims(), by("ES256")), told="malformed")


async def test_what_is_told_and_what_is_logged(caplog):
    caplog.set_level(logging.INFO)
    secret = token(name="thief", kid="unknown-kid")
    told = await refused(secret)
    assert told == "the token's signature is not valid; get a new one from its issuer"
    assert "unknown-kid" in caplog.text
    assert secret not in caplog.text
    assert secret.split(".")[2] not in caplog.text
    assert all(record.levelno == logging.INFO for record in caplog.records)


# ------------------------------------------------------------------ key sets


def usable(*entries):
    return parse_key_set(key_set(*entries))[0]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_keys_that_are_used(algorithm):
    for members in ({}, {"use": "sig"}, {"alg": algorithm}, {"key_ops": ["verify"]}):
        (key,) = usable(jwk(algorithm, **members))
        assert (key.kid, key.algorithm) == ("k1", algorithm)


def test_keys_that_are_ignored():
    weak = jwk("RS256", key=private_key("RS256", "weak", 1024))
    bad = [
        weak,
        jwk("ES256", use="enc"),
        jwk("ES256", key_ops=["sign"]),
        jwk("ES256", key_ops="verify"),
        jwk("ES256", alg="RS256"),
        jwk("RS256", alg="RSA-OAEP"),
        jwk("ES256", crv="P-384"),
        jwk("ES256", crv=7),
        jwk("ES256", x=7),
        jwk("ES256", x="!!!"),
        jwk("ES256", x="AAAA"),
        jwk("EdDSA", x="AAAA"),
        jwk("EdDSA", crv="Ed448"),
        jwk("RS256", n=None),
        jwk("RS256", e="AA"),
        jwk("ES256", kid=None) | {"kid": 7},
        {"kty": "oct", "k": "c2VjcmV0", "kid": "k1"},
        {"kty": ["RSA"]},
        {},
        "key",
        None,
    ]
    keys, ignored = parse_key_set(key_set(*bad, jwk("ES256", "good")))
    assert [key.kid for key in keys] == ["good"]
    assert len(ignored) == len(bad)
    assert "2048" in ignored[0]
    assert not any("c2VjcmV0" in reason for reason in ignored)


def test_a_private_key_in_the_set_verifies_and_nothing_more():
    entry = jwk("RS256", d="AQAB", p="AQ", q="AQ")
    assert not hasattr(usable(entry)[0].key, "sign")


def test_a_set_without_end():
    keys, ignored = parse_key_set(key_set(*[jwk("EdDSA", f"k{n}") for n in range(150)]))
    assert len(keys) == 100
    assert "50 keys" in ignored[0]


@pytest.mark.parametrize(
    "content",
    [b"", b"<html>", b"[]", b"{}", b'{"keys": {}}', b'{"keys": [], "keys": []}', b"[" * 100_000],
)
def test_what_is_no_key_set(content):
    with pytest.raises(ValueError, match="not a"):
        parse_key_set(content)


# ------------------------------------------------------------------ the identity-aware proxy

IAP_AUDIENCE = "/projects/1/global/backendServices/2"
USERS = ProxyUsers("acme", Role.SUBMITTER)


async def assert_iap(assertion, *entries):
    keys = KeyCache(Published(*(entries or (jwk("ES256"),))))
    verifier = JwtVerifier(keys, IAP_ISSUER, IAP_AUDIENCE, IAP_ALGORITHMS)
    credentials = Credentials({ASSERTION_HEADER: assertion}, peer="192.0.2.1")
    return await IapAssertionIdentity(verifier, USERS).identify(credentials)


def assertion(algorithm="ES256", **changes):
    good = {"iss": IAP_ISSUER, "aud": IAP_AUDIENCE, "email": "Ann@example.com", "tenant_id": None}
    return token(algorithm, **{**good, **changes})


async def test_a_signed_assertion_is_good_from_anywhere():
    assert await assert_iap(assertion()) == Principal(
        "acme", "ann@example.com", Role.SUBMITTER, "iap-assertion"
    )


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"aud": "/projects/9/global/backendServices/2"}, "another audience"),
        ({"iss": ISSUER}, "another issuer"),
        ({"exp": from_now(-60)}, "expired"),
        ({"name": "thief"}, "signature"),
        ({"email": None}, "names no user"),
        ({"email": ["a@b"]}, "names no user"),
        ({"email": "nobody"}, "names no user"),
        ({"email": "a@b, c@d"}, "names no user"),
        ({"email": "a\0@b"}, "names no user"),
    ],
)
async def test_assertions_that_prove_nothing(changes, told):
    with pytest.raises(InvalidCredentialsError, match=told):
        await assert_iap(assertion(**changes))


async def test_assertions_are_signed_with_one_algorithm_only():
    with pytest.raises(InvalidCredentialsError, match="algorithm"):
        await assert_iap(assertion("RS256"), jwk("RS256"))


@pytest.mark.parametrize("garbage", ["", "x", "a.b.c", "a.b.c, d.e.f", "ci_key"])
async def test_an_assertion_that_is_none_is_not_overlooked(garbage):
    with pytest.raises(InvalidCredentialsError):
        await assert_iap(garbage)
