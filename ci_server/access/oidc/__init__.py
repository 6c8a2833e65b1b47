"""Signing in with an OpenID Connect issuer: the authorization code flow with PKCE.

`OidcLogin` is all of it for routes: `begin` says where to send the browser, `finish` takes what it
comes back with. Tokens are verified by `access/auth/jwt_verifier.py`, as those of API clients are.
"""
