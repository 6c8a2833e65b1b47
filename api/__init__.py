"""The Job Worker service for programs that are run from a checkout; see docs/grpc.md."""
