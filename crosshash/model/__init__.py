"""Two unimodal hash functions and their codes, whatever the method."""
