"""Who is calling (`auth`, `sessions`, `oidc`), how much they may ask for (`limits`), and the audit
trail.

Nothing here knows of jobs' contents or of a wire format; guards in `ci_server.http` use it.
"""
