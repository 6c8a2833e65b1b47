"""The runs API: long runs that tell their progress, their results, and the metadata of cells.

Its paths and names are a published contract. Every path may have a slash at its end.
"""
