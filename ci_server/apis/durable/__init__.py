"""Logs and job events by the Durable Streams Protocol, an open specification of append-only streams
over HTTP (PROTOCOL.md of durable-streams/durable-streams). Only its reading half: jobs write.
"""
