"""Which files of a directory are sent, and the zip they are sent as."""
