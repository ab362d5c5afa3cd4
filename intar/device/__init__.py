"""Boards and budgets: what a schedule may use."""

from intar.device.boards import Board, boards, find_board
from intar.device.machine import Budget, make_machine, read_budget

__all__ = ["Board", "Budget", "boards", "find_board", "make_machine", "read_budget"]
