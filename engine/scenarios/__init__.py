"""Interest rate scenarios: from a file, or from a generator that is the same everywhere."""
