"""Values: projection, discounting, and the ways to go through policies and scenarios."""
