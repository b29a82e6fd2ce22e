"""What stands in the store, and how it is written and read: pure."""
