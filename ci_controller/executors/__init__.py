"""Ways to run a job's command; each an implementation of the port Executor."""
