"""Other files in the data directory: packages, artifacts, secrets and keys, and how files are
made durable.
"""
