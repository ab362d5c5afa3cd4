"""What nodes become in RTL: the parameters and connections of their modules, and the bits of their steps."""
