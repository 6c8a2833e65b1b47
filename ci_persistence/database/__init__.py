"""The SQLite file: opening, checking, migrating and locking it.

Nothing here knows of jobs, except for the schema in `migrations`.
"""
