"""What a value shows of itself in a notebook."""
