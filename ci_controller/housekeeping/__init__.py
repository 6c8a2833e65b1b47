"""Periodic work: retention, leftovers, and a wall clock that believes a jump only after a while."""
