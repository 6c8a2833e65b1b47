"""Logs as files: live segments, compressed archives, and readers by offset."""
