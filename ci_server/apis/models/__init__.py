"""The model-job API: `/v1/jobs`, and the WebSocket of a job's stream.

Its names, statuses and codes are a published contract. It has no state of its own: everything is a
job like any other.
"""
