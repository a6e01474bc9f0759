"""Network blocks that several methods share, one idea per file."""
