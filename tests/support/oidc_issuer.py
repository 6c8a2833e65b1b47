"""A stand-in OpenID Connect issuer: a real HTTP server that signs everybody in at once."""

import base64
import hashlib
import json
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote_plus, urlencode, urlsplit

import jwt

from support.issuer import jwk, private_key

CLIENT, SECRET = "ci-dashboard", "s3cret:/+ of the client"


class OidcIssuer:
    """What it does wrong is set by its attributes."""

    def __init__(self):
        self.reset()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def reset(self):
        """Do everything right again."""
        self.claims = {"sub": "ann", "tenant_id": "acme", "email": "ann@example.com"}
        """Of the next ID token; a value of `None` leaves the claim out."""
        self.algorithm, self.key_name = "RS256", "first"
        self.published = [("RS256", "first"), ("ES256", "first")]
        """Keys that the key set has."""
        self.signs_for = CLIENT
        self.methods = ["client_secret_basic"]
        self.document = {}
        """Members of the discovery document that are others."""
        self.takes_public_clients = False
        self.is_down = False
        self.answer_extra = {"session_state": "x"}
        """Parameters of the answer, besides code and state; or in place of them."""
        self.codes = {}
        self.asked = []
        """Parameters of the requests to the authorization endpoint."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self):
        return f"http://127.0.0.1:{self._server.server_port}/realm"

    def discovery(self):
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
            "token_endpoint_auth_methods_supported": self.methods,
            **self.document,
        }

    def authorize(self, asked):
        """Where the browser goes with its code."""
        self.asked.append(asked)
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked
        answer = {"code": code, "state": asked["state"], **self.answer_extra}
        shown = {name: value for name, value in answer.items() if value is not None}
        return f"{asked['redirect_uri']}?{urlencode(shown)}"

    def exchange(self, form, authorization):
        """Status and content of the token endpoint's answer."""
        if not self._is_client(form, authorization):
            return 401, {"error": "invalid_client"}
        asked = self.codes.pop(form.get("code"), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if (
            asked is None
            or asked["code_challenge"] != challenge
            or asked["redirect_uri"] != form.get("redirect_uri")
        ):
            return 400, {"error": "invalid_grant"}
        token = self.id_token(asked["nonce"])
        return 200, {"access_token": "a", "token_type": "Bearer", "id_token": token}

    def id_token(self, nonce):
        now = int(time.time())
        usual = {"iss": self.url, "aud": self.signs_for, "iat": now, "exp": now + 300}
        claims = {**usual, "nonce": nonce, **self.claims}
        settled = {name: value for name, value in claims.items() if value is not None}
        kid = f"{self.algorithm}-{self.key_name}"
        key = private_key(self.algorithm, self.key_name)
        return jwt.encode(settled, key, self.algorithm, headers={"kid": kid})

    def _is_client(self, form, authorization):
        if self.takes_public_clients and authorization is None:
            return form.get("client_id") == CLIENT
        if "client_secret_basic" in self.methods:
            pair = base64.b64decode((authorization or "").removeprefix("Basic ")).decode()
            sent = tuple(map(unquote_plus, pair.split(":", 1)))
        else:
            sent = form.get("client_id"), form.get("client_secret")
        return sent == (CLIENT, SECRET)

    def _keys(self):
        return {
            "keys": [
                jwk(algorithm, f"{algorithm}-{name}", name) for algorithm, name in self.published
            ]
        }

    def _handler(self):
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                url = urlsplit(self.path)
                place = url.path.removeprefix("/realm")
                if outer.is_down:
                    self._answer(503, {})
                elif place == "/.well-known/openid-configuration":
                    self._answer(200, outer.discovery())
                elif place == "/keys":
                    self._answer(200, outer._keys())
                elif place == "/authorize":
                    asked = {name: values[0] for name, values in parse_qs(url.query).items()}
                    self._answer(302, {}, Location=outer.authorize(asked))
                else:
                    self._answer(404, {})

            def do_POST(self):
                content = self.rfile.read(int(self.headers["Content-Length"])).decode()
                form = {name: values[0] for name, values in parse_qs(content).items()}
                if outer.is_down:
                    self._answer(503, {})
                else:
                    self._answer(*outer.exchange(form, self.headers["Authorization"]))

            def _answer(self, status, content, **headers):
                body = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                """Nothing."""

        return Handler
