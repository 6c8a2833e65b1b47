"""Words every room shares: the job, its life, the ports between rooms, errors and settings."""
