"""HTTP itself, for every door: the protocol, its bounds, guards, errors, and how a request ends.

Nothing here knows of jobs.
"""
