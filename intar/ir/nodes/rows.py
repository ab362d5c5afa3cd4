"""Rows nodes: softmax and normalisation of rows, their peaks, and rows over their peaks."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from intar.ir.nodes.step import Step
from intar.ir.nodes.vector import Lookups


class LoadTable(Step):
    """Fill table slot `table` from ``tables``: `Lookups.beats` beats."""

    table: int = Field(ge=0)


class RowsStep(Step):
    """One operation on each of `rows` rows of `cols` elements, in the integers of `docs/numerics.md`.

    ``softmax``: `mult` and `shift` turn distances to the row's maximum into exponents; `numerator` and `out_shift` are one
    over the output's scale. In the first row only the first `visible` elements count (0: all), with `grow` one more in each
    row that follows, and in no row those from the call's position up to `cached`, which is less than `visible`; others, like
    those beyond `cols`, leave as if their power were 0.
    ``norm``: inputs are taken times ``2**lift``, their mean is subtracted where `centred`; `epsilon`, `shift` and
    `out_shift` are E, s and q. For each beat of a row two beats are taken from ``params``: gains of 25 bits and offsets (0
    beyond `cols`). With a `table` the result is looked up there, `lo` and `hi` are the limits of what is looked up, and
    above its gain a column's word has the table's group.
    ``unit``: a row over its largest magnitude; `numerator` and `out_shift` are one over the output's scale, times 2**-24.
    ``peak``: the largest magnitude of a row, one beat a row with that number in all lanes. Neither has a mask or a table.
    `tensor` is the tensor that the step makes, for statistics and messages.
    """

    op: Literal["softmax", "norm", "unit", "peak"] = "softmax"
    rows: int = Field(gt=0)
    cols: int = Field(gt=0)
    visible: int = Field(default=0, ge=0)
    grow: bool = False
    cached: int = Field(default=0, ge=0)
    mult: int = 0
    shift: int = 0
    numerator: int = 0
    out_shift: int = 0
    centred: bool = False
    lift: int = 0
    epsilon: int = 0
    zero: int = 0
    lo: int
    hi: int
    table: int = -1
    relu: bool = False
    tensor: str = ""

    def beats(self, lanes: int) -> int:
        """Beats of `lanes` elements in which a row comes."""
        return -(-self.cols // lanes)

    @property
    def first(self) -> int:
        """Elements of the first row that count."""
        return min(self.visible or self.cols, self.cols)


class Rows(Lookups):
    """Row reductions: `rate` elements a cycle, rows of at most `depth` beats of `lanes`.

    In each play `loads` fill tables from the first cycle on; no row with a table leaves before all of them are done.
    `held` rows, a power of two, are on their way at a time, of which `divisions` rows of a softmax are divided at a time.

    Ports ``in``, ``params`` (32-bit elements; there when a step is a ``norm``), ``tables`` (32-bit elements; there when
    there are `loads`), ``out``.
    """

    kind: Literal["rows"] = "rows"
    bits: int
    depth: int = Field(gt=0)
    held: int = Field(default=4, ge=4)
    divisions: int = Field(default=1, gt=0)
    steps: tuple[RowsStep, ...]
    loads: tuple[LoadTable, ...] = ()

    @property
    def softmax(self) -> bool:
        """A step is a softmax."""
        return any(step.op == "softmax" for step in self.steps)

    @property
    def peaks(self) -> bool:
        """A step needs the largest magnitudes of rows."""
        return any(step.op in ("unit", "peak") for step in self.steps)

    @property
    def placed(self) -> bool:
        """Which elements count in a step depends on the call's position."""
        return any(step.cached for step in self.steps)

    @property
    def norm(self) -> bool:
        """A step is a normalisation."""
        return any(step.op == "norm" for step in self.steps)
