"""An issuer of JWTs: keys, tokens of every shape, and a server for the key set."""

import base64
import functools
import hashlib
import hmac
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

ISSUER = "https://issuer.example"
AUDIENCE = "ci"

_JWK = {"RS256": RSAAlgorithm, "ES256": ECAlgorithm, "EdDSA": OKPAlgorithm}


@functools.cache
def private_key(algorithm, name="", bits=2048):
    """A key of the algorithm; another one for each name."""
    if algorithm == "RS256":
        return rsa.generate_private_key(public_exponent=65537, key_size=bits)
    if algorithm == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    return ed25519.Ed25519PrivateKey.generate()


def jwk(algorithm, kid="k1", name="", key=None, **members):
    """The public half as an entry of a key set; a kid of `None` is left out."""
    key = key or private_key(algorithm, name)
    entry = _JWK[algorithm].to_jwk(key.public_key(), as_dict=True)
    return {**entry, **({} if kid is None else {"kid": kid}), **members}


def key_set(*entries):
    return json.dumps({"keys": list(entries)}).encode()


def claims(**changes):
    """Good ones, but for these; `None` leaves one out, `from_now` is settled now."""
    now = int(time.time())
    found = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "tenant_id": "acme",
        "sub": "ann",
        "nbf": now,
        "exp": now + 600,
        **changes,
    }
    settled = {name: value(now) if callable(value) else value for name, value in found.items()}
    return {name: value for name, value in settled.items() if value is not None}


def from_now(seconds, kind=int):
    """A time for `claims`: so many seconds from when the token is made, not the test collected."""
    return lambda now: kind(now + seconds)


def token(algorithm="ES256", kid="k1", name="", key=None, header=(), **changes):
    """A JWT, signed well."""
    headers = {**dict(header), **({} if kid is None else {"kid": kid})}
    return jwt.encode(
        claims(**changes), key or private_key(algorithm, name), algorithm, headers=headers
    )


def segment(content):
    if not isinstance(content, bytes):
        content = json.dumps(content).encode()
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def raw_token(header, payload, sign=lambda content: b""):
    """A token of any bytes at all, signed by a function of them."""
    body = f"{segment(header)}.{segment(payload)}"
    return f"{body}.{segment(sign(body.encode()))}"


def by(algorithm, name=""):
    """A signature of the algorithm's key over the bytes, for `raw_token`."""
    key = private_key(algorithm, name)
    return lambda content: jwt.PyJWS()._algorithms[algorithm].sign(content, key)


def hmac_by(secret):
    return lambda content: hmac.digest(secret, content, hashlib.sha256)


def pem(algorithm):
    return (
        private_key(algorithm)
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


class KeySetServer:
    """Serves a key set on the loopback interface, at every path, or misbehaves."""

    def __init__(self, *entries):
        self.body = key_set(*entries)
        self.status = 200
        self.headers = {}
        self.requests = 0
        self.paths = set()
        self.go_on = threading.Event()
        self.go_on.set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self._server.server_port}/jwks.json"

    @property
    def issuer(self):
        """The issuer whose keys are here, by convention."""
        return f"http://127.0.0.1:{self._server.server_port}/"

    def serve(self, *entries):
        """Rotate: these keys from now on."""
        self.body = key_set(*entries)

    def stop(self):
        """Be down."""
        self.go_on.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self._thread.is_alive():
            self.stop()

    def _handler(self):
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.requests += 1
                outer.paths.add(self.path)
                outer.go_on.wait(30)
                try:
                    self.send_response(outer.status)
                    for name, value in outer.headers.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(outer.body)
                except OSError:
                    return  # the client had enough

            def log_message(self, *_):
                pass

        return Handler
