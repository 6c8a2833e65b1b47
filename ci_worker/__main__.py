"""`python -m ci_worker`: the command `job-worker`."""

from ci_worker.cli import main

main()
