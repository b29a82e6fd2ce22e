"""What is remembered: the protocol, its records, and the memory of one process."""
