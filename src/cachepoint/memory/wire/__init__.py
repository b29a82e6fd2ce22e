"""The connections to the store, and what goes over them."""
