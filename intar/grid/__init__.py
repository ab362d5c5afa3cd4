"""Networks of images as lists of taps on one common grid: all rewriting before the quantiser."""

from intar.grid.components import Grid, grids
from intar.grid.prepare import PASSES, prepare

__all__ = ["PASSES", "Grid", "grids", "prepare"]
