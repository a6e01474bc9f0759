"""Results for people: tables for the terminal, plots, and pages with pictures."""
