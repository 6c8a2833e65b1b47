"""Who is asking: credentials in, a Principal out."""
