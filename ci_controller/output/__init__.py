"""A job's output on its way to its log: the cap on its size, and masked secrets."""
