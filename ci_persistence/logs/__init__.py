"""Logs as files: live segments, compressed archives, readers by offset, and marks beside
them, which have times and line numbers.
"""
