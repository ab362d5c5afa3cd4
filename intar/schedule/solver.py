"""The one door to OR-Tools CP-SAT: parameters, status and figures. Nothing else imports ortools.

Reproducible: a fixed seed, interleaved search and a limit in deterministic time; the wall clock decides nothing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ortools.sat.python import cp_model

from intar.errors import InternalError

Model = cp_model.CpModel
Variable = cp_model.IntVar
Linear = cp_model.LinearExprT
Interval = cp_model.IntervalVar


@dataclass(frozen=True)
class Outcome:
    """What the solver found: `values` by variable index; `bound` is proved; `gap` is relative to the objective."""

    status: Literal["OPTIMAL", "FEASIBLE", "INFEASIBLE", "UNKNOWN"]
    objective: int
    bound: int
    seconds: float
    values: Mapping[int, int] = field(repr=False)

    @property
    def found(self) -> bool:
        """There is a solution in `values`."""
        return self.status in ("OPTIMAL", "FEASIBLE")

    @property
    def gap(self) -> float:
        """How far the objective is above the bound, relative to the objective."""
        return (self.objective - self.bound) / max(1, self.objective)

    def __getitem__(self, variable: Variable) -> int:
        return self.values[variable.index]


def linear_sum(terms: Sequence[Linear]) -> Linear:
    """Sum of terms as one expression (0 if there are none)."""
    return cp_model.LinearExpr.sum(list(terms)) if terms else 0


def weighted_sum(variables: Sequence[Variable], weights: Sequence[int]) -> Linear:
    """``sum of weight * variable`` (0 if there are none)."""
    return cp_model.LinearExpr.weighted_sum(list(variables), list(weights)) if variables else 0


def run(
    model: Model, variables: Sequence[Variable], seed: int = 0, limit: float = 60.0, presolve: bool = True
) -> Outcome:
    """Solve the model.

    Parameters
    ----------
    variables : those whose values the caller wants.
    seed : random seed.
    limit : deterministic time (about seconds of one core).
    presolve : False turns presolve off, a second opinion for tests.
    """
    solver = cp_model.CpSolver()
    solver.parameters.random_seed = seed
    solver.parameters.interleave_search = True
    solver.parameters.num_workers = 4
    solver.parameters.max_deterministic_time = limit
    solver.parameters.linearization_level = 2
    solver.parameters.cp_model_presolve = presolve
    began = time.perf_counter()
    status = solver.solve(model)
    seconds = time.perf_counter() - began
    if status == cp_model.MODEL_INVALID:
        raise InternalError(f"CP-SAT refuses the model: {model.validate()}")
    if status == cp_model.INFEASIBLE:
        return Outcome("INFEASIBLE", 0, 0, seconds, {})
    if status == cp_model.UNKNOWN:
        return Outcome("UNKNOWN", 0, 0, seconds, {})
    values = {variable.index: int(solver.value(variable)) for variable in variables}
    name: Literal["OPTIMAL", "FEASIBLE"] = "OPTIMAL" if status == cp_model.OPTIMAL else "FEASIBLE"
    objective, bound = round(solver.objective_value), round(solver.best_objective_bound)
    return Outcome(name, objective, bound, seconds, values)
