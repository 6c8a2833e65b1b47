"""Moves jobs: observes rows and workloads, plans, and applies."""
