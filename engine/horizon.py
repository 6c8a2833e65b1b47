"""How far a projection looks."""

YEARS = 50
