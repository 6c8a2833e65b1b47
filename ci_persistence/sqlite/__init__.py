"""Rows: one module for each port that the database implements."""
