"""HTTP and the event stream."""
