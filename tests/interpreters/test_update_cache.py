"""Locks in what `attention.update_cache` means, against formulations that share no code with the project.

LightLLM's bytes are compared bit for bit, on inputs that quantisers get wrong; KIVI's and fp8's by their formulas;
infinities, NaN, zeros and denormals by what the operation's documentation says; places by hand.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from quantizers import DTYPES, KINDS, adversarial, lightllm_int4, lightllm_int8
from update_cases import UpdateCase
from xdsl.utils.exceptions import InterpretationError

from flashlower.dialects.parsing import parse_module
from flashlower.interpreters import run_module


def run(case: UpdateCase, **changes: Any) -> tuple[dict[str, Any], tuple[Any, ...]]:
    """The inputs by name, some of them replaced, and the results."""
    names = [name for name, _, _, _ in case.operands()]
    inputs = {**dict(zip(names, case.inputs(), strict=True)), **changes}
    return inputs, run_module(parse_module(case.module_text()), list(inputs.values()))


def stored(slots: Any, new: Any, old: Any) -> Any:
    """A pool of single slots with the rows of new tokens where their slots are in it."""
    result = old.copy()
    for place in np.ndindex(*slots.shape):
        if 0 <= slots[place] < len(old):
            result[slots[place]] = new[place]
    return result


@pytest.mark.parametrize("scale", ["bf16", "f16", "f32"])
@pytest.mark.parametrize("dtype", ["bf16", "f16", "f32"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("codes", "zero", "reference"), [("u4", 7, lightllm_int4), ("i8", 0, lightllm_int8)])
def test_the_bytes_of_lightllm(codes: str, zero: int, reference: Any, kind: str, dtype: str, scale: str) -> None:

    case = UpdateCase(cache="token_table", places="slots", channels=64, dtype=dtype, kind=kind, codes=codes, zero=zero)
    case = replace(case, scale=scale, group=8, rounding="toward_zero", seed=hash((kind, dtype)) % 1000)
    inputs, (pool, scales) = run(case)
    with np.errstate(over="ignore"):
        wanted, wanted_scales = reference(np.swapaxes(inputs["new"], 1, 2), scale)
    want = stored(inputs["slots"], wanted_scales, inputs["cache_scale"])
    # Where LightLLM's scale would be infinite, it is the largest finite one: `test_infinities_saturate`.
    finite = np.isfinite(want.astype(np.float32))
    assert finite.all() or (kind == "huge" and scale == "f16")
    assert np.array_equal(scales[finite].view(np.uint8), want[finite].view(np.uint8))
    of_bytes = finite.repeat(pool.shape[-1] // finite.shape[-1], -1)
    assert np.array_equal(pool[of_bytes], stored(inputs["slots"], wanted, inputs["cache"])[of_bytes])


def dequantised(codes: Any, scale: Any, offset: Any = 0.0) -> Any:
    return codes.astype(np.float64) * np.asarray(scale, np.float64) + np.asarray(offset, np.float64)


def test_groups_of_tokens_are_those_of_kivi() -> None:
    """K: of 8 tokens of one channel, offset = min, scale = (max - min) / 15; values are within half a step."""
    case = UpdateCase(cache="contiguous", tokens=16, token_group=8, group=1, part="offset", scale="f32", storage="i8")
    inputs, (cache, scale, offset) = run(case)
    bits = cache.view(np.uint8)
    codes = np.stack([bits & 15, bits >> 4], -1).reshape(*bits.shape[:-1], -1)
    x = inputs["new"].astype(np.float64)
    for b, first in enumerate(inputs["positions"]):
        for start in range(0, 16, 8):
            at = int(first) + start
            if at < 0:
                continue
            group = x[b, :, start : start + 8]
            low, high = group.min(1), group.max(1)
            assert np.array_equal(offset[b][:, at // 8], low.astype(np.float32))
            np.testing.assert_allclose(scale[b][:, at // 8], (high - low) / 15, rtol=1e-6)
            found = codes[b][:, at : at + 8]
            assert (found.min(1) == 0).all() and (found.max(1) == 15).all()
            step = scale[b][:, at // 8, None]
            values = dequantised(found, step, offset[b][:, at // 8, None])
            assert (abs(values - group) <= step * 0.5001).all()


@pytest.mark.parametrize(("codes", "largest"), [("f8E4M3FN", 448), ("f8E5M2", 57344)])
def test_8_bit_floats_are_those_of_ml_dtypes(codes: str, largest: int) -> None:
    storage = {"f8E4M3FN": ml_dtypes.float8_e4m3fn, "f8E5M2": ml_dtypes.float8_e5m2}[codes]
    case = UpdateCase(cache="token_table", places="slots", codes=codes, storage=codes, scale="f32", dtype="f32")
    inputs, (pool, scales) = run(case)
    x = np.swapaxes(inputs["new"], 1, 2)
    scale = (abs(x).max(-1) / np.float32(largest)).astype(np.float32)
    want = np.clip(x / scale[..., None], -largest, largest).astype(storage)
    assert np.array_equal(pool.view(np.uint8), stored(inputs["slots"], want, inputs["cache"]).view(np.uint8))
    assert np.array_equal(scales, stored(inputs["slots"], scale, inputs["cache_scale"]))


def test_ties_go_to_even_or_towards_zero() -> None:
    values = np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.5, 7.0], np.float32)
    case = UpdateCase(batch=1, heads=1, tokens=1, channels=8, dtype="f32", codes="i8", given="tensor", scale="f32")
    at = {"new": values.reshape(1, 1, 1, 8), "positions": np.array([0], np.int32), "cache_scale": np.float32(1)}
    for rounding, want in (
        ("to_nearest_even", [-2, -2, 0, 0, 2, 2, 4, 7]),
        ("toward_zero", [-2, -1, 0, 0, 1, 2, 3, 7]),
    ):
        _, (cache,) = run(replace(case, rounding=rounding), **{k: np.asarray(v) for k, v in at.items()})
        assert cache[0, 0, 0].tolist() == want


def one_row(values: list[float], dtype: str = "bf16", **options: Any) -> tuple[Any, ...]:
    """What becomes of 8 values with a scale of their own: codes or elements, and what was made."""
    case = UpdateCase(batch=1, heads=1, tokens=1, channels=8, dtype=dtype, **options)
    new = np.array(values).astype(DTYPES[dtype]).reshape(1, 1, 1, 8)
    _, results = run(case, new=new, positions=np.array([0], np.int32))
    return tuple(result[0, 0, 0] for result in results)


def test_infinities_saturate() -> None:
    """They count as the largest finite number; what is too large for the type of the scale is its largest number."""
    inf, most = np.inf, float(ml_dtypes.finfo(ml_dtypes.bfloat16).max)
    codes, scale = one_row([inf, -inf, 1e38, 0, 1, 2, 3, most], codes="i8")
    assert codes.tolist() == [127, -127, round(1e38 / float(scale)), 0, 0, 0, 0, 127]
    assert scale == np.float32(most / 127).astype(ml_dtypes.bfloat16)
    codes, scale = one_row([inf, 0, 0, 0, 1e30, 0, 0, 0], codes="i8", scale="f16")
    assert scale == np.finfo(np.float16).max and codes.tolist() == [127, 0, 0, 0, 127, 0, 0, 0]
    floats, scale = one_row([-inf, 0, 0, 0, 1, 0, 0, 0], codes="f8E5M2", storage="f8E5M2", scale="f32")
    assert floats[0] == -57344 and np.isfinite(scale)


@pytest.mark.parametrize(
    "options", [{"codes": "i8"}, {"codes": "u8", "part": "offset"}, {"codes": "i8", "part": "zero"}]
)
def test_a_nan_makes_its_group_nan(options: dict[str, Any]) -> None:
    _, scale, *rest = one_row([1, np.nan, np.inf, 0, 1, 2, 3, 4], **options)
    assert np.isnan(scale)
    if options.get("part") == "offset":
        assert np.isnan(rest[0])


def test_a_nan_with_a_given_scale() -> None:
    """The code of 0 for integers; 8-bit floats have a NaN."""
    values = [1.0, np.nan, 2.0, 0, 0, 0, 0, 0]
    given = {"given": "tensor", "scale": ""}
    assert one_row(values, codes="u8", zero=128, **given)[0].view(np.uint8).tolist() == [129, 128, 130, *[128] * 5]
    found = one_row(values, codes="f8E4M3FN", storage="f8E4M3FN", **given)[0].astype(np.float32)
    assert np.isnan(found[1]) and found[2] == 2


def test_zeros_and_what_no_scale_can_tell_from_them() -> None:
    tiny = float(np.finfo(np.float32).smallest_subnormal)
    for values in ([0.0, -0.0, 0, 0, 0, 0, 0, 0], [tiny, -tiny, 0, 0, 0, 0, 0, 0]):
        codes, scale = one_row(values, "f32", codes="u4", zero=7, storage="i32", scale="bf16")
        assert scale == 0 and codes.tolist() == [0x77777777]
    # A constant group: the offset alone says what it is.
    codes, scale, offset = one_row([3.0] * 8, codes="u8", part="offset")
    assert (codes == 0).all() and scale == 0 and offset == 3


def test_denormals_are_numbers() -> None:
    """Multiples of the least bf16: a scale of 1 of it, and codes that count it."""
    least = float(ml_dtypes.finfo(ml_dtypes.bfloat16).smallest_subnormal)
    codes, scale = one_row([least * n for n in (127, -126, 64, 1, 0, -1, 3, 100)], codes="i8")
    assert float(scale) == least and codes.tolist() == [127, -126, 64, 1, 0, -1, 3, 100]


def test_asymmetric_zero_points_hold_zero() -> None:
    """As ONNX's DynamicQuantizeLinear: 0 is a code, whatever the values."""
    for values in ([1, 2, 3, 4, 5, 6, 7, 8], [-8, -7, -6, -5, -4, -3, -2, -1], [-1, 0, 0, 0, 0, 0, 0, 2]):
        codes, scale, zero = one_row(values, "f32", codes="u8", part="zero", part_type="f32", scale="f32")
        assert zero == np.rint(-min(0, *values) / scale)
        found = (codes.view(np.uint8).astype(np.float64) - zero) * scale
        assert abs(found - values).max() <= float(scale)


def test_tokens_without_a_place_are_not_stored() -> None:
    """Negative and too large slots and positions, pages that are none, rows that are none."""
    case = UpdateCase(batch=1, heads=1, tokens=6, channels=8, codes="", storage="f32", dtype="f32", page_size=4)
    slots = np.array([[-1, 0, case.pages * 4 - 1, case.pages * 4, -7, 9]], np.int32)
    inputs, (pool,) = run(replace(case, cache="token_major", places="slots"), slots=slots)
    want = inputs["cache"].reshape(-1, 8).copy()
    want[[0, len(want) - 1, 9]] = inputs["new"][0, 0, [1, 2, 5]]
    assert np.array_equal(pool.reshape(-1, 8), want)

    table = np.array([[3, -1, 99, 0, 1, 2]], np.int32)
    inputs, (pool,) = run(replace(case, cache="token_major"), positions=np.array([2], np.int32), block_table=table)
    want = inputs["cache"].copy()
    want[3, 2:4, 0] = inputs["new"][0, 0, :2]
    assert np.array_equal(pool, want)

    rows = replace(case, cache="token_major", rows=True)
    inputs, (pool,) = run(rows, rows=np.array([2], np.int32), positions=np.array([0], np.int32))
    assert np.array_equal(pool, inputs["cache"])

    inputs, (cache,) = run(case, positions=np.array([case.keys - 2], np.int32))
    assert np.array_equal(cache[0, 0, -2:], inputs["new"][0, 0, :2])
    assert np.array_equal(cache[0, 0, :-2], inputs["cache"][0, 0, :-2])


def test_groups_of_tokens_start_at_multiples() -> None:
    case = UpdateCase(tokens=8, token_group=8, group=1, codes="i8")
    with pytest.raises(InterpretationError, match=r"groups of 8 tokens start at multiples of it, but positions are"):
        run(case, positions=np.array([0, 4, 8], np.int32))


def test_adversarial_inputs_are_what_they_say() -> None:
    rng = np.random.default_rng(0)
    assert not adversarial(rng, (4, 8), "bf16", "zeros")[..., :4].any()
    assert 0 < abs(adversarial(rng, (4, 8), "bf16", "denormals").astype(np.float32)).max() < 1e-38
    assert np.isfinite(adversarial(rng, (4, 8), "bf16", "huge").astype(np.float32)).all()
