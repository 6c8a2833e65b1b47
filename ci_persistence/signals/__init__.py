"""Wake-ups: within one process, and between processes by a socket in the data directory.

They are hints; whoever is woken looks.
"""
