"""Observe, plan, apply: the reconcile loop, and the pure function that decides."""
