"""The ports between the rooms, split by who uses them. Each docstring is the contract.

All coroutine methods may be called concurrently on one event loop. Times are aware UTC.
"""
