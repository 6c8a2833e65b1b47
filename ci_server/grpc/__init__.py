"""The Job Worker service: the same jobs, logs and rules as the HTTP doors, over gRPC.

It decodes, calls the services, and encodes. Only client certificates let anybody in. It needs the
extra `grpc`: `library.prepare` says so, and comes before every import of a module here that imports
grpc.
"""
