"""Arithmetic that gives the same bits everywhere: exact sums, exp and log, statistics, threads."""
