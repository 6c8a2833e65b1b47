"""The command `ci-admin`: what an operator does to a whole instance. A composition root."""
