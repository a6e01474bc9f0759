"""The grammar in which a method's training algorithm is written."""
