"""What executors have in common: the job's environment, the check and the archive of its package,
requirements, and how an output is read to its end.

Nothing here knows which executor uses it.
"""
