"""The command line, the worker, and what they ask of a machine: parity, benchmark, capabilities."""
