"""Official sources, and files fetched from them."""
