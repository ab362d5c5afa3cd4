"""What a circuit does not do, whoever asks for it: the reason and the way out, by the operator's name in small letters."""

from __future__ import annotations

from intar.frontends.onnx_nodes import Rejected

_ORDER = (
    "it orders elements by their values",
    "what moves where is fixed in the circuit",
    "end the network before it and leave it to the host; the largest element is max, its index argmax",
)
_COUNT = (
    "how many elements it gives depends on their values",
    "the circuit is made for fixed shapes",
    "choose by numbers that are known before the export, multiply with a mask of ones and zeros, or leave it to the host",
)
_SPECTRUM = (
    "it computes with complex numbers",
    "activations are real numbers",
    "write it as products with constant matrices of cosines and sines, real and imaginary parts apart",
)
_CHANCE = (
    "it draws random numbers",
    "a circuit computes the same every time",
    "make the random numbers an input of the network",
)
_SAMPLED = (
    "it reads an image in places that are computed at run time",
    "what is read where is fixed in the circuit",
    "for fixed places write it as indices or a product with a constant matrix",
)
_LOOP = (
    "it is a loop",
    "a circuit has one way through it",
    "unroll it, or export LSTM, GRU and RNN as such",
)

REASONS: dict[str, tuple[str, str, str]] = {
    **dict.fromkeys(("argsort", "kthvalue", "median", "mode", "msort", "sort", "topk"), _ORDER),
    **dict.fromkeys(
        ("masked_select", "nonmaxsuppression", "nonzero", "unique", "unique2", "unique_consecutive"), _COUNT
    ),
    **dict.fromkeys(
        ("dft", "fft_c2c", "fft_c2r", "fft_r2c", "polar", "stft", "view_as_complex", "view_as_real"),
        _SPECTRUM,
    ),
    **dict.fromkeys(
        ("bernoulli", "multinomial", "normal", "rand", "rand_like", "randint", "randn", "randn_like"), _CHANCE
    ),
    **dict.fromkeys(("randomnormal", "randomnormallike", "randomuniform", "randomuniformlike"), _CHANCE),
    **dict.fromkeys(("deformconv", "grid_sampler_2d", "grid_sampler_3d", "gridsample", "roialign"), _SAMPLED),
    **dict.fromkeys(("loop", "scan"), _LOOP),
}


def refusal(op: str) -> Rejected | None:
    """The reason why there is no such operator, where one can say more than that."""
    reason = REASONS.get(op.lower().lstrip("_"))
    return Rejected(*reason) if reason is not None else None


def counted() -> Rejected:
    """Why there is no tensor whose size depends on values."""
    return Rejected(*_COUNT)
