"""The published methods, one file each: network, loss, algorithm."""
