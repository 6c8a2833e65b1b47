"""How much one caller may ask for. Counts are per process; a refusal names the exceeded limit."""
