"""A job's output on its way to its log: the pump, the cap on its size, and masked secrets.

Executors use it for what they run on a job's behalf; it knows no executor.
"""
