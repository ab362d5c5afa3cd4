"""The nodes of the machine and their steps, as a program holds them (docs/program.md)."""
