"""Other files in the data directory: packages, artifacts, secrets and keys, what processes have
counted, and how files are made durable.
"""
