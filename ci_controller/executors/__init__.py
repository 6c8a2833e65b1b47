"""Ways to run a job's command; each an implementation of the port Executor.

An executor is a folder, and a line in `registry`. It imports `ci_common`, `shared` and its own
folder.
"""
