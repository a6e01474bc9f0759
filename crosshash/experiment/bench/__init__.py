"""Suites of experiments: expanded to runs, of which the missing ones run, and a report of all."""
