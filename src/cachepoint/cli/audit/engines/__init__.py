"""Where an audit runs: one machine, or many."""
