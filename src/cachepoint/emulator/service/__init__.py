"""The operations, and what they refuse."""
