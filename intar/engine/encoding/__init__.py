"""How each kind of node is flattened into the array that the C++ side reads (`intar.engine.encode`)."""
