"""What `xdsl-opt` finds of flashlower: its dialects, passes and targets, through the entry point `xdsl.universe`.

This file is imported at every start of `xdsl-opt`, for whatever purpose: it imports nothing heavy, and each
factory imports what it names only when it is called (hence the marks for the linter).
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points

from xdsl.ir import Dialect
from xdsl.passes import ModulePass
from xdsl.universe import Universe
from xdsl.utils.target import Target

from flashlower.dialects import dense_literals

# Before any literal is parsed: the first one of a module may stand in an op of another dialect.
dense_literals.install()


def has_foreign_stablehlo(plugins: Iterable[EntryPoint]) -> bool:
    """Whether the package xdsl-jax is among the plugins.

    It registers a `stablehlo` dialect too, and two of one name stop every `xdsl-opt`: ours steps aside, and `chlo`,
    which is built on it.
    """
    return any(plugin.dist is not None and plugin.dist.name == "xdsl-jax" for plugin in plugins)


def get_attention() -> Dialect:
    from flashlower.dialects.attention import Attention  # noqa: PLC0415

    return Attention


def get_chlo() -> Dialect:
    from flashlower.dialects.chlo import CHLO  # noqa: PLC0415

    return CHLO


def get_stablehlo() -> Dialect:
    from flashlower.dialects.stablehlo import StableHLO  # noqa: PLC0415

    return StableHLO


def get_tl() -> Dialect:
    from flashlower.dialects.tl import TL  # noqa: PLC0415

    return TL


def get_nki() -> Dialect:
    from flashlower.dialects.nki import NKI  # noqa: PLC0415

    return NKI


def get_launch() -> Dialect:
    from flashlower.dialects.launch import Launch  # noqa: PLC0415

    return Launch


def get_triton_target() -> type[Target]:
    from flashlower.lowering.triton.target import TritonTarget  # noqa: PLC0415

    return TritonTarget


def get_nki_target() -> type[Target]:
    from flashlower.lowering.nki.target import NkiTarget  # noqa: PLC0415

    return NkiTarget


def get_nki_cost_target() -> type[Target]:
    from flashlower.lowering.nki.target import NkiCostTarget  # noqa: PLC0415

    return NkiCostTarget


def get_inline_calls() -> type[ModulePass]:
    from flashlower.rewrites.inline import InlineCallsPass  # noqa: PLC0415

    return InlineCallsPass


def get_convert_attention_to_triton() -> type[ModulePass]:
    from flashlower.lowering.triton.convert import ConvertAttentionToTritonPass  # noqa: PLC0415

    return ConvertAttentionToTritonPass


def get_convert_attention_to_nki() -> type[ModulePass]:
    from flashlower.lowering.nki.convert import ConvertAttentionToNkiPass  # noqa: PLC0415

    return ConvertAttentionToNkiPass


def get_decompose_attention() -> type[ModulePass]:
    from flashlower.rewrites.decompose_attention import DecomposeAttentionPass  # noqa: PLC0415

    return DecomposeAttentionPass


def get_flash_decoding() -> type[ModulePass]:
    from flashlower.rewrites.flash_decoding import FlashDecodingPass  # noqa: PLC0415

    return FlashDecodingPass


def get_fuse_attention() -> type[ModulePass]:
    from flashlower.rewrites.fuse_attention import FuseAttentionPass  # noqa: PLC0415

    return FuseAttentionPass


def get_infer_attention_bounds() -> type[ModulePass]:
    from flashlower.rewrites.infer_bounds import InferAttentionBoundsPass  # noqa: PLC0415

    return InferAttentionBoundsPass


def get_outline_attention() -> type[ModulePass]:
    from flashlower.rewrites.outline_attention import OutlineAttentionPass  # noqa: PLC0415

    return OutlineAttentionPass


def get_schedule_attention() -> type[ModulePass]:
    from flashlower.rewrites.schedule import ScheduleAttentionPass  # noqa: PLC0415

    return ScheduleAttentionPass


UNIVERSE = Universe(
    all_dialects={
        "attention": get_attention,
        "launch": get_launch,
        "nki": get_nki,
        "tl": get_tl,
    },
    all_passes={
        "convert-attention-to-nki": get_convert_attention_to_nki,
        "convert-attention-to-triton": get_convert_attention_to_triton,
        "decompose-attention": get_decompose_attention,
        "flash-decoding": get_flash_decoding,
        "outline-attention": get_outline_attention,
        "schedule-attention": get_schedule_attention,
        "fuse-attention": get_fuse_attention,
        "infer-attention-bounds": get_infer_attention_bounds,
        "inline-calls": get_inline_calls,
    },
    all_targets={
        "nki": get_nki_target,
        "nki-cost": get_nki_cost_target,
        "triton": get_triton_target,
    },
)

if not has_foreign_stablehlo(entry_points(group="xdsl.universe")):
    UNIVERSE.all_dialects.update(chlo=get_chlo, stablehlo=get_stablehlo)
