"""What changes the prompt itself, only where the user asks for it."""
