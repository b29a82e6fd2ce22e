"""Keeping alive what Bedrock holds while nobody calls: what is watched, when it pays, what it may cost."""
