"""How calls are told to people: as lines, and as a table for a notebook."""
