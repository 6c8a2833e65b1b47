"""Who may send models to the worker: bearer tokens, and the keys that they are checked with."""

import hashlib
import json

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from engine.errors import RequestError
from engine.service.access import Access
from engine.service.keys import (
    FRESH_SECONDS,
    MAX_BYTES,
    PAUSE_SECONDS,
    STALE_SECONDS,
    Keys,
    KeysUnavailable,
    PublicKey,
    check_url,
    decoded,
    parse,
)
from engine.service.settings import read_settings
from engine.service.tokens import (
    SHA256_INFO,
    Expected,
    InvalidToken,
    signature_fits,
    verify,
)
from support.issuer import (
    AUDIENCE,
    ISSUER,
    KeySetServer,
    by,
    claims,
    from_now,
    hmac_by,
    jwk,
    key_set,
    private_key,
    raw_token,
    token,
)
from support.workers import answered, ask, model, running

TOKEN = "a-token-of-some-length"
EXPECTED = Expected(ISSUER, AUDIENCE)
HEADER = {"alg": "RS256", "kid": "k1"}
KNOWN = parse(key_set(jwk("RS256")))


def rs256(**changes):
    return token("RS256", **changes)


# ------------------------------------------------------------------ over HTTP


def tell(worker, path="/capabilities", **headers):
    """Status, error message and challenge."""
    with answered(worker.server_address, "GET", path, **headers) as answer:
        document = json.loads(answer.read())
        message = document.get("error", {}).get("message")
        return answer.status, message, answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    ("value", "challenge"),
    [
        (None, "Bearer"),
        ("", "Bearer"),
        (TOKEN, "Bearer"),
        (f"Basic {TOKEN}", "Bearer"),
        ("Bearer", "Bearer"),
        ("Bearer ", "Bearer"),
        (f"Bearer {TOKEN}x", 'Bearer error="invalid_token"'),
        (f"Bearer {TOKEN[:-1]}", 'Bearer error="invalid_token"'),
        ("Bearer \xff\xfe", 'Bearer error="invalid_token"'),
    ],
)
def test_wrong_tokens(value, challenge):
    with running(Access(TOKEN)) as worker:
        headers = {} if value is None else {"Authorization": value}
        status, message, told = tell(worker, **headers)
        assert (status, told) == (401, challenge)
        assert message
        status, answer = ask(worker, "POST", "/execute", json.dumps(model()), **headers)
        assert (status, answer["error"]["code"]) == (401, "unauthorized")


def test_the_right_token():
    with running(Access(TOKEN)) as worker:
        for kind in ("Bearer", "bearer"):
            assert tell(worker, Authorization=f"{kind} {TOKEN}")[0] == 200
        body = json.dumps(model())
        assert ask(worker, "POST", "/execute", body, Authorization=f"Bearer {TOKEN}")[0] == 200


def test_probes_and_metrics_need_no_token():
    with running(Access(TOKEN)) as worker:
        for path in ("/health", "/ready"):
            assert ask(worker, "GET", path)[0] == 200
            with answered(worker.server_address, "HEAD", path) as answer:
                assert answer.status == 200
        with answered(worker.server_address, "GET", "/metrics") as answer:
            assert answer.status == 200
        with answered(worker.server_address, "HEAD", "/capabilities") as answer:
            assert answer.status == 401


def test_tokens_of_an_issuer_and_an_issuer_that_is_down():
    with KeySetServer(jwk("RS256"), jwk("ES256", kid="k2")) as server:
        keys = Keys(server.url)
        with running(Access(TOKEN, keys, EXPECTED)) as worker:
            assert tell(worker, Authorization=f"Bearer {rs256()}")[0] == 200
            assert tell(worker, Authorization=f"Bearer {TOKEN}")[0] == 200
            status, message, _ = tell(worker, Authorization=f"Bearer {token('ES256', 'k2')}")
            assert (status, message) == (401, "the token must be signed with RS256")
        assert server.requests == 1
        server.status = 500
        with running(Access(None, Keys(server.url), EXPECTED)) as worker:
            headers = {"Authorization": f"Bearer {rs256()}"}
            with answered(worker.server_address, "GET", "/capabilities", **headers) as answer:
                assert (answer.status, answer.headers["Retry-After"]) == (503, "10")
            assert tell(worker, **headers)[0] == 503
        assert server.requests == 2


# ------------------------------------------------------------------ tokens


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: rs256(exp=None), "has expired"),
        (lambda: rs256(exp=from_now(-31)), "has expired"),
        (lambda: raw_token(HEADER, claims(exp=True), by("RS256")), "has expired"),
        (lambda: raw_token(HEADER, claims(exp="9999999999"), by("RS256")), "has expired"),
        (lambda: rs256(nbf=from_now(60)), "is not valid yet"),
        (lambda: rs256(iss="https://other.example"), "another issuer"),
        (lambda: rs256(iss=None), "another issuer"),
        (lambda: rs256(aud="other"), "another audience"),
        (lambda: rs256(aud=["other"]), "another audience"),
        (lambda: rs256(aud=None), "another audience"),
        (lambda: rs256(kid="k9"), "unknown key"),
        (lambda: rs256(kid=None), "has no key id"),
        (lambda: rs256(name="other"), "signature is invalid"),
        (lambda: rs256(header={"crit": ["x"], "x": 1}), "extensions"),
        (lambda: token("ES256"), "signed with RS256"),
        (lambda: raw_token({"alg": "none", "kid": "k1"}, claims()), "signed with RS256"),
        (lambda: raw_token({"alg": "HS256", "kid": "k1"}, claims(), hmac_by(b"x")), "RS256"),
        (lambda: raw_token(HEADER, claims()), "signature is invalid"),
        (lambda: raw_token(HEADER, [1], by("RS256")), "not a JWT"),
        (lambda: raw_token(HEADER, b"{", by("RS256")), "not a JWT"),
        (lambda: raw_token(HEADER, b'{"exp": 1, "exp": 2}', by("RS256")), "not a JWT"),
        (lambda: raw_token(HEADER, b'{"exp": NaN}', by("RS256")), "not a JWT"),
        (lambda: raw_token(HEADER, b'{"exp": Infinity}', by("RS256")), "not a JWT"),
        (lambda: raw_token(HEADER, b"[" * 9_000, by("RS256")), "not a JWT"),
        (lambda: raw_token(HEADER, b"\xff", by("RS256")), "not a JWT"),
        (lambda: rs256() + "=", "not a JWT"),
        (lambda: rs256() + ".", "not a JWT"),
        (lambda: "..", "not a JWT"),
        (lambda: "", "not a JWT"),
        (lambda: "é.é.é", "not a JWT"),
        (lambda: rs256(name="k1", padding="x" * 20_000), "not a JWT"),
    ],
)
def test_tokens_that_prove_nothing(made, message):
    with pytest.raises(InvalidToken, match=message):
        verify(made(), KNOWN.get, EXPECTED)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"aud": ["other", AUDIENCE]},
        {"exp": from_now(-20)},
        {"nbf": None},
        {"exp": from_now(9.5, float)},
    ],
)
def test_tokens_that_are_good(changes):
    verify(rs256(**changes), KNOWN.get, EXPECTED)


def test_each_bit_of_a_signature_matters():
    key, content = KNOWN["k1"], b"signed"
    signature = by("RS256")(content)
    assert signature_fits(key, content, signature)
    for bit in range(0, 2048, 31):
        changed = bytearray(signature)
        changed[bit // 8] ^= 1 << bit % 8
        assert not signature_fits(key, content, bytes(changed))
    number = int.from_bytes(signature)
    for other in (signature + b"\0", signature[1:], b"\0" + signature, b"", b"\0" * 256):
        assert not signature_fits(key, content, other)
    assert number + key.modulus >= 1 << 2048 or not signature_fits(
        key, content, (number + key.modulus).to_bytes(256)
    )


def test_other_paddings_and_hashes_are_no_signatures():
    own = private_key("RS256")
    key, content = KNOWN["k1"], b"signed"
    for scheme, kind in [
        (padding.PKCS1v15(), hashes.SHA512()),
        (padding.PKCS1v15(), hashes.SHA1()),
        (padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256()),
    ]:
        assert not signature_fits(key, content, own.sign(content, scheme, kind))


def forged(tail, size=256):
    """A message that a lax parser takes for one with this tail: its end is free to choose."""
    head = b"\0\1" + b"\xff" * 8 + b"\0" + tail
    return head + b"\0" * (size - len(head))


def test_a_forged_signature_of_a_small_exponent():
    """Bleichenbacher's: a cube root makes the beginning right, where the rest is not compared."""
    key = PublicKey((1 << 2047) + 1, 3)  # the modulus is not used: the cube is below it
    content = b"signed"
    message = forged(SHA256_INFO + hashlib.sha256(content).digest())
    root = cube_root(int.from_bytes(message))
    assert (root**3).to_bytes(256)[:62] == message[:62]
    assert not signature_fits(key, content, root.to_bytes(256))


def cube_root(number):
    """The least integer whose cube is not below a number."""
    low, high = 0, 1 << (number.bit_length() // 3 + 1)
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if middle**3 < number else (low, middle)
    return low


# ------------------------------------------------------------------ keys


def test_which_keys_are_taken():
    known = jwk("RS256")
    entries = [
        known,
        jwk("ES256", kid="curve"),
        jwk("RS256", kid=None),
        jwk("RS256", kid="encryption", use="enc"),
        jwk("RS256", kid="other", alg="RS512"),
        jwk("RS256", kid="short", key=private_key("RS256", "short", 1024)),
        {**known, "kid": "e1", "e": "AQ"},
        {**known, "kid": "e4", "e": "BA"},
        {**known, "kid": 5},
        "no key",
    ]
    assert parse(key_set(*entries)) == KNOWN


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{}", b'{"keys": {}}', b"\xff", key_set({**jwk("RS256"), "n": "é"}),
     key_set({**jwk("RS256"), "n": 5}), key_set(*[jwk("RS256")] * 101)],
)  # fmt: skip
def test_what_is_no_key_set(content):
    with pytest.raises(ValueError):  # noqa: PT011 - any of the decoders'
        parse(content)


@pytest.mark.parametrize("text", ["A", "AB", "AAA=", "A+A", "A/A", "A A", "AA\n", "é", None])
def test_what_is_no_base64url(text):
    with pytest.raises(ValueError, match="base64url"):
        decoded(text)


class Issuer:
    """A key set that can be changed or taken away, and a clock."""

    def __init__(self):
        self.now, self.asked, self.error = 0.0, 0, None
        self.names = ["k1"]

    def fetch(self, url):
        self.asked += 1
        if self.error:
            raise self.error
        return key_set(*(jwk("RS256", kid=name) for name in self.names))

    def keys(self):
        return Keys("https://issuer.example", self.fetch, lambda: self.now)


def test_keys_are_kept_and_renewed():
    issuer = Issuer()
    keys = issuer.keys()
    for _ in range(3):
        assert keys.find("k1")
    assert issuer.asked == 1
    issuer.now += FRESH_SECONDS
    issuer.names = ["k2"]
    assert keys.find("k1") is None
    assert keys.find("k2")
    assert issuer.asked == 2


def test_unknown_names_ask_at_a_bounded_rate():
    issuer = Issuer()
    keys = issuer.keys()
    assert all(keys.find(f"x{n}") is None for n in range(50))
    assert issuer.asked == 1
    issuer.now += PAUSE_SECONDS
    issuer.names.append("new")
    assert keys.find("new")
    assert issuer.asked == 2


@pytest.mark.parametrize("error", [OSError(), ValueError(), TimeoutError()])
def test_keys_that_cannot_be_had(error):
    issuer = Issuer()
    keys = issuer.keys()
    assert keys.find("k1")
    issuer.error = error
    issuer.now += FRESH_SECONDS
    assert keys.find("k1")  # still good
    issuer.now += STALE_SECONDS
    for _ in range(3):
        with pytest.raises(KeysUnavailable):
            keys.find("k1")
    assert issuer.asked == 3
    issuer.now += PAUSE_SECONDS
    issuer.error = None
    assert keys.find("k1")


@pytest.mark.parametrize("spoil", ["redirect", "large", "error"])
def test_answers_that_are_not_taken(spoil):
    with KeySetServer(jwk("RS256")) as server, KeySetServer(jwk("RS256")) as other:
        if spoil == "redirect":
            server.status, server.headers = 302, {"Location": other.url}
        elif spoil == "large":
            server.body += b" " * MAX_BYTES
        else:
            server.status = 404
        with pytest.raises(KeysUnavailable):
            Keys(server.url).find("k1")
        assert other.requests == 0


@pytest.mark.parametrize(
    "url", ["http://issuer.example/keys", "file:///etc/passwd", "ftp://x/y", "https://", "keys"]
)
def test_places_that_keys_are_not_taken_from(url):
    with pytest.raises(RequestError, match="must be https"):
        check_url(url)


def test_the_environment():
    assert read_settings({}).access.is_open
    assert read_settings({"ENGINE_TOKEN": TOKEN}).access == Access(TOKEN)
    named = {
        "ENGINE_JWKS_URL": "https://issuer.example/keys",
        "ENGINE_JWT_ISSUER": ISSUER,
        "ENGINE_JWT_AUDIENCE": AUDIENCE,
    }
    found = read_settings(named).access
    assert (found.is_open, found.expected) == (False, EXPECTED)
    assert read_settings({"PORT": "3000", "MAX_MEMORY_MB": "512"}).memory == 512 << 20
    assert read_settings({}, container=4 << 30).memory == 3584 << 20
    assert read_settings({}, container=512 << 20).memory == 256 << 20
