"""Text encoders, one file each; those registered are found by their names."""
