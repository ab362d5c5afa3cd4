"""Boards and budgets: what a schedule may use."""

from intar.device.boards import Board, boards, find_board
from intar.device.budget import Budget, read_budget
from intar.device.machine import make_machine

__all__ = ["Board", "Budget", "boards", "find_board", "make_machine", "read_budget"]
