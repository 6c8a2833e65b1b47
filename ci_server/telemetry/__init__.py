"""What operators see of the server: its log, the id of each request, and what it counts."""
