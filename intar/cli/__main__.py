"""``python -m intar.cli``."""

from intar.cli import main

main()
