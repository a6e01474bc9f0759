"""Features: files, what they mean, the cache of computed ones, and their export."""
