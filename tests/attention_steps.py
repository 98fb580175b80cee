"""Steps of score regions for `attention_cases`: each as IR text, and as the same function in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
from attention_reference import Score

if TYPE_CHECKING:
    from attention_cases import AttentionCase

DTYPES: dict[str, Any] = {"f64": np.float64, "f32": np.float32, "f16": np.float16, "bf16": ml_dtypes.bfloat16}


@dataclass(frozen=True)
class Step:
    """One step of a score region: short form or lines of IR, the tensor it captures, and the same in NumPy."""

    text: str
    """
    A short form, or lines of IR from %s, %b..., %hq, %m, %n and the captured tensor to %r, with temporaries %t_...;
    {f} is the type of the logit, {-inf} its least value.
    """
    score: Callable[[np.ndarray | None], Score]
    """The step for a captured tensor."""
    short: bool = True
    captured: tuple[str, Any] | None = None
    """MLIR element type and array of the captured tensor."""


SHORT_STEPS = ("causal", "causal_top", "causal_late", "window", "soft_cap", "bias", "bias_row", "mask", "alibi")
REGION_STEPS = ("document", "all_masked", "finite_mask", "relative", "strided")


def make_step(name: str, case: AttentionCase, rng: np.random.Generator, captured: str) -> Step:
    """
    A step of a score region, by its name. `captured` is the name of the tensor that it captures, if it does.

    Short forms: causal (the last query sees the last key), causal_top, causal_late (rows without any key), window,
    soft_cap, bias, bias_row (bf16, one row of a head), mask (with rows of all false), alibi. Regions, which do not
    mix with them: document, all_masked, finite_mask (by a large number, with rows of nothing else, which are means of
    V), relative (a table read at a computed index), strided.
    """
    sizes = case.sizes
    heads = case.kv_heads * case.group
    shift = case.keys - case.queries
    batch_indices = "".join(f"{name}, " for name in case.batch_names)

    def keep(condition: Callable[..., np.ndarray]) -> Callable[[np.ndarray | None], Score]:
        return lambda t: lambda s, b, hq, m, n: np.where(condition(t, b, hq, m, n), s, -np.inf)

    def signed(base: str, offset: int) -> str:
        return f"{base} {'+' if offset >= 0 else '-'} {abs(offset)}"

    def float_tensor(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape)

    match name:
        case "causal" | "causal_top" | "causal_late":
            offset = {"causal": shift, "causal_top": 0, "causal_late": -2}[name]
            return Step(f"causal(n <= {signed('m', offset)})", keep(lambda t, b, hq, m, n: n <= m + offset))
        case "window":
            first, last = shift - 20, shift + 3
            text = f"window({signed('m', first)} <= n <= {signed('m', last)})"
            return Step(text, keep(lambda t, b, hq, m, n: (m + first <= n) & (n <= m + last)))
        case "soft_cap":
            return Step("soft_cap(2.0)", lambda t: lambda s, b, hq, m, n: 2.0 * np.tanh(s / 2.0))
        case "bias":
            array = float_tensor(*case.batch, heads, sizes["m"], sizes["n"]).astype(np.float32)
            type = f"tensor<{'x'.join(map(str, array.shape))}xf32>"
            text = f"bias(%{captured}[{batch_indices}hq, m, n] : {type})"
            return Step(
                text,
                lambda t: lambda s, b, hq, m, n: s + t[(*b, hq, m)][n],
                captured=("f32", array),
            )
        case "bias_row":
            array = float_tensor(1, heads, sizes["n"]).astype(ml_dtypes.bfloat16)
            type = f"tensor<1x{heads}x{sizes['n']}xbf16>"
            return Step(
                f"bias(%{captured}[0, hq, n] : {type})",
                lambda t: lambda s, b, hq, m, n: s + t[0, hq][n].astype(np.float64),
                captured=("bf16", array),
            )
        case "mask":
            array = rng.random((*case.batch, sizes["m"], sizes["n"])) < 0.6
            array[(0,) * len(case.batch)][0] = False
            type = f"tensor<{'x'.join(map(str, array.shape))}xi1>"
            text = f"mask(%{captured}[{batch_indices}m, n] : {type})"
            return Step(text, keep(lambda t, b, hq, m, n: t[(*b, m)][n]), captured=("i1", array))
        case "alibi":
            slopes = (0.5 ** np.arange(1, heads + 1)).astype(np.float32)
            text = f"alibi(%{captured}[hq] : tensor<{heads}xf32>, {signed('n - m', -shift)})"
            return Step(
                text,
                lambda t: lambda s, b, hq, m, n: s + np.float64(t[hq]) * (n - m - shift),
                captured=("f32", slopes),
            )
        case "document":
            documents = np.sort(rng.integers(0, 3, sizes["n"])).astype(np.int32)
            type = f"tensor<{sizes['n']}xi32>"
            text = f"""
                %t_shift = arith.constant {max(shift, 0)} : index
                %t_query = arith.addi %m, %t_shift : index
                %t_a = tensor.extract %{captured}[%t_query] : {type}
                %t_b = tensor.extract %{captured}[%n] : {type}
                %t_same = arith.cmpi eq, %t_a, %t_b : i32
                %t_lowest = arith.constant {{-inf}} : {{f}}
                %r = arith.select %t_same, %s, %t_lowest : {{f}}
            """
            last = sizes["n"] - 1
            return Step(
                text,
                keep(lambda t, b, hq, m, n: t[min(m + max(shift, 0), last)] == t[n]),
                short=False,
                captured=("i32", documents),
            )
        case "all_masked":
            return Step(
                "%r = arith.constant {-inf} : {f}",
                lambda t: lambda s, b, hq, m, n: np.full(n.shape, -np.inf),
                short=False,
            )
        case "finite_mask":
            array = rng.random((*case.batch, sizes["m"], sizes["n"])) < 0.6
            array[(0,) * len(case.batch)][0] = False
            lowest = float(rng.choice(np.array([-2.3819763e38, np.finfo(np.float32).min], np.float32)))
            type = f"tensor<{'x'.join(map(str, array.shape))}xi1>"
            indices = ", ".join(f"%{name}" for name in (*case.batch_names, "m", "n"))
            text = f"""
                %t_keep = tensor.extract %{captured}[{indices}] : {type}
                %t_lowest = arith.constant {lowest!r} : {{f}}
                %r = arith.select %t_keep, %s, %t_lowest : {{f}}
            """
            return Step(
                text,
                lambda t: lambda s, b, hq, m, n: np.where(t[(*b, m)][n], s, lowest),
                short=False,
                captured=("i1", array),
            )
        case "relative":
            array = float_tensor(heads, 8).astype(DTYPES[case.accumulator])
            text = f"""
                %t_zero = arith.constant 0 : index
                %t_seven = arith.constant 7 : index
                %t_three = arith.constant 3 : index
                %t_distance = arith.subi %n, %m : index
                %t_bucket = arith.floordivsi %t_distance, %t_three : index
                %t_low = arith.maxsi %t_bucket, %t_zero : index
                %t_clamped = arith.minsi %t_low, %t_seven : index
                %t_bias = tensor.extract %{captured}[%hq, %t_clamped] : tensor<{heads}x8x{{f}}>
                %r = arith.addf %s, %t_bias : {{f}}
            """
            return Step(
                text,
                lambda t: lambda s, b, hq, m, n: s + t[hq][np.clip((n - m) // 3, 0, 7)],
                short=False,
                captured=(case.accumulator, array),
            )
        case "strided":
            text = """
                %t_two = arith.constant 2 : index
                %t_zero = arith.constant 0 : index
                %t_rest = arith.remui %n, %t_two : index
                %t_even = arith.cmpi ult, %t_rest, %t_two : index
                %t_is_even = arith.cmpi eq, %t_rest, %t_zero : index
                %t_keep = arith.andi %t_even, %t_is_even : i1
                %t_abs = math.absf %s : {f}
                %t_low = arith.negf %t_abs : {f}
                %t_exp = math.exp2 %t_low : {f}
                %t_lowest = arith.constant {-inf} : {f}
                %r = arith.select %t_keep, %t_exp, %t_lowest : {f}
            """
            return Step(
                text,
                lambda t: lambda s, b, hq, m, n: np.where(n % 2 == 0, np.exp2(-np.abs(s)), -np.inf),
                short=False,
            )
        case _:
            raise ValueError(f"unknown step {name}")
