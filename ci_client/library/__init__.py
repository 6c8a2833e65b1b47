"""The library behind `ci_client`: requests, events that resume, downloads, configuration.

Nothing here prints.
"""
