"""``python -m crosshash``."""

from crosshash.cli import main

main()
