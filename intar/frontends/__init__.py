"""Front ends: everything that becomes a task graph. Importing this package imports neither onnx nor torch."""

from intar.frontends.builder import Builder
from intar.frontends.load import load_model

__all__ = ["Builder", "load_model"]
