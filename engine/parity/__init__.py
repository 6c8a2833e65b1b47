"""The same bytes everywhere: the golden set, the places it is valued in, and a check of each."""
