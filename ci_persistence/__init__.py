"""What is kept: rows in SQLite, packages and logs in files, and the signals about them."""
