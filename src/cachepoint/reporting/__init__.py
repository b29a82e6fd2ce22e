"""Many calls: sessions, totals, pictures, and what caching would save."""
