"""The quantised graph, written one group of float operators after the other: integer tasks and constants."""
