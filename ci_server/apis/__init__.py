"""APIs: each maps its own wire format to the one job service."""
