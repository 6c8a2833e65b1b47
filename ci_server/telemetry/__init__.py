"""What operators see of the server: its log, and the id of each request."""
