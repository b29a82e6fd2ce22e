"""How near calls came to the cheapest that any placement of checkpoints could have been."""
