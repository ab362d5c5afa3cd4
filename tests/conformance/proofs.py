"""What a test asks of a design: every integer golden's in each executor, and the engine's cycles in the RTL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from intar import proof
from intar.design import Design
from intar.proof import Check

Inputs = Sequence[Mapping[str, np.ndarray]]


def require(check: Check) -> None:
    """Every integer equal, or a message with the place of the first that is not."""
    assert check.bit_exact, f"{check.executor} differs in {check.mismatches} integers; {check.first}"


def require_rtl(made: Design, inputs: Inputs, project: Path) -> None:
    """The RTL of a written project: the bits, and the engine's cycles exactly."""
    check = proof.verify_rtl(made, inputs, project)
    require(check)
    assert set(check.cycles) == {made.predicted.cycles}


def require_generated(made: Design, inputs: Inputs, project: Path) -> None:
    """The C++ and the RTL of a written project."""
    require(proof.verify_csim(made, inputs, project))
    require_rtl(made, inputs, project)
