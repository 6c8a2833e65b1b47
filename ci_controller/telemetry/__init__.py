"""What operators see of the controller: what it counts."""
