"""Who is calling, and how much they may ask for: identities, limits, and the audit trail.

Nothing here knows of jobs' contents or of a wire format; guards in `ci_server.http` use it.
"""
