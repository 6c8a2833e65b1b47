"""The front doors: takes submissions, answers questions, streams logs. Starts no workload."""
