"""A job's log and states as events for a reader who may come late, drop out and come back."""
