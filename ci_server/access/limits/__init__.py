"""How much one caller may ask for: counted in this process, told by name when it is too much."""
