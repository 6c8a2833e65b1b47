"""A worked example of a run: predict how cells respond to a treatment, from a synthetic atlas.

Every number in it is made up by `atlas_generator`. `python -m haystack` is the command; README.md
beside this package says what it reads and writes.
"""
