"""Backup and restore of a whole instance, and the inventory that `ci-admin doctor` compares."""
