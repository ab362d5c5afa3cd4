"""What nodes become in C++: all that has to be computed is computed here, so that templates only instantiate and wire."""
