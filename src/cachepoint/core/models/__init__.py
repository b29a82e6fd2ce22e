"""What each model allows, and what its refusals teach."""
