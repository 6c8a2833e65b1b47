"""What is submitted, checked before anything is stored: the zip, the project's tables, limits
and secrets.
"""
