"""What operators see of the controller: what it counts, and the traces of jobs."""
