"""What executors have in common: the job's environment, the project's archive, requirements.

Nothing here knows which executor uses it.
"""
