"""The HTTP API: its routes, its JSON and its event stream.

A route decodes, calls a service and encodes. JSON names are known here, and nowhere below.
"""
