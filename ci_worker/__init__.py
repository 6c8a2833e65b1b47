"""The command `job-worker`: a client of the Job Worker service, and the certificates for it.

It knows nothing of the server but the messages in `ci_common.worker_api`.
"""
