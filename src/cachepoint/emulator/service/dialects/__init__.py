"""How each API writes a request and an answer; in between all of them speak Converse."""
