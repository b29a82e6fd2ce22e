"""`cachepoint audit`: what was called already, in figures."""
