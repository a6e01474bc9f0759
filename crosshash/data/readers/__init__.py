"""Readers of data sets, one file each; they are found by their names."""
