"""What an issuer says of itself, which may change while people sign in."""

import asyncio
import json

import pytest

from ci_server.access.oidc.issuer import Issuer
from support.issuer import AUDIENCE, KeySetServer, jwk, token
from support.waiting import until

pytestmark = pytest.mark.anyio


def document(issuer, keys):
    endpoints = dict.fromkeys(("authorization_endpoint", "token_endpoint"), f"{issuer}here")
    return json.dumps({"issuer": issuer, **endpoints, "jwks_uri": keys}).encode()


async def test_a_login_under_way_ends_well_when_the_issuer_moves_its_keys():
    now = 0.0
    key = jwk("ES256")
    with KeySetServer() as server, KeySetServer(key) as old, KeySetServer(key) as new:
        issuer = Issuer(server.issuer, AUDIENCE, lambda: now)
        server.body = document(server.issuer, old.url)
        known = await issuer.known()
        old.go_on.clear()
        login = asyncio.create_task(known.verifier.verify(token(iss=server.issuer)))
        await until(lambda: old.requests)
        server.body = document(server.issuer, new.url)
        now += 600
        moved = await issuer.known()
        old.go_on.set()
        assert (await login)["sub"] == "ann"
        assert (await moved.verifier.verify(token(iss=server.issuer)))["sub"] == "ann"
        assert (old.requests, new.requests) == (1, 1)
        await issuer.close()
