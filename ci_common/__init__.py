"""What all packages share: the job and its transitions, ports, errors and settings."""
