"""Group-rational layers on GPUs: one operator, `intar::group_rational`, and the modules of KAT around it.

Needs PyTorch; Triton (extra `gpu`) only for tensors on a GPU. ``import intar`` imports neither.
"""

from intar.gpu.modules import GRKAN, KAT, GroupRational, KATBlock
from intar.gpu.operator import group_rational

__all__ = ["GRKAN", "KAT", "GroupRational", "KATBlock", "group_rational"]
