"""The command `ci`: its options, what it prints, and its exit codes."""
