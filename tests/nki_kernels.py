"""Running modules as NKI kernels in tests, on the model or on Amazon's simulator."""

from collections.abc import Sequence

import nki_model
import numpy as np
from attention_cases import AttentionCase
from nki_model import checker
from pipelines import transform

from flashlower.dialects import nki
from flashlower.lowering.nki.printer import print_module
from flashlower.lowering.nki.runtime import call, signatures

TOLERANCE = {"f32": 1e-5, "f16": 1e-3, "bf16": 5e-3}
"""Relative error of the output; LSE is held to 1e-4, as exponentials are summed after they are rounded."""
TARGETS = ("trn1", "trn2", "trn3")
BOUNDS = "infer-attention-bounds"


def run(
    text: str,
    inputs: Sequence[np.ndarray],
    *,
    passes: str = "",
    splits: int = 0,
    target: str = "trn2",
    cores: int = 1,
    **options: str,
) -> list[np.ndarray]:
    """The results of the only attention function of a module, after some passes; its source passes the checker."""
    nki_model.nki()
    split = f"flash-decoding{{splits={splits}}}" if splits else ""
    module = transform(text, ",".join(filter(None, (passes, split))))
    ((name, signature),) = signatures(module).items()
    more = "".join(f" {key}={value}" for key, value in options.items())
    lowered = transform(str(module), f"convert-attention-to-nki{{target={target} cores={cores}{more}}}")
    source = print_module(lowered)
    problems = checker.check(source)
    assert not problems, "\n".join(map(str, problems))
    result = call(source, name, inputs, signature, target, cores)
    return list(result) if isinstance(result, tuple) else [result]


def relative_error(got: np.ndarray, want: np.ndarray) -> float:
    """||got - want|| / ||want|| over the finite elements; infinities and NaN must be in the same places."""
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    finite = np.isfinite(want)
    np.testing.assert_array_equal(np.where(finite, 0.0, want), np.where(np.isfinite(got), 0.0, got))
    norm = float(np.linalg.norm(want[finite]))
    error = float(np.linalg.norm(got[finite] - want[finite]))
    return error if norm == 0 else error / norm


def check(case: AttentionCase, **options: object) -> None:
    """Runs a case as an NKI kernel and compares all results with float64."""
    got, want = run(case.module_text(), case.inputs(), **options), case.expected()  # pyright: ignore[reportArgumentType]
    assert len(got) == len(want)
    for result, expected, tolerance in zip(got, want, (TOLERANCE[case.dtype], 1e-4), strict=False):
        assert result.shape == expected.shape
        assert relative_error(result, expected) <= tolerance


def kernels(text: str, options: str = "", passes: str = "") -> list[nki.KernelOp]:
    """The kernels that a module becomes."""
    module = transform(text, f"{passes}convert-attention-to-nki{options}")
    return [op for op in module.ops if isinstance(op, nki.KernelOp)]
