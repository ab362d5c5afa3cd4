"""intar: a compiler from trained neural networks to statically scheduled FPGA accelerators."""

__version__ = "0.1.0"
