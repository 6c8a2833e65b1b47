"""Calculations on numpy. Runs inside a job's container or on its own; knows nothing of CI."""
