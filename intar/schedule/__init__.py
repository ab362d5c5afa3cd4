"""Schedule: which task runs when, on which cores, in which pattern, and what stays on chip (`docs/schedule.md`)."""

from intar.schedule.check.facts import Violation
from intar.schedule.pins import Pins, pins_of_schedule
from intar.schedule.solve import lower_bounds, solve
from intar.schedule.stages import Limits
from intar.schedule.validate import validate

__all__ = ["Limits", "Pins", "Violation", "lower_bounds", "pins_of_schedule", "solve", "validate"]
