"""nki.isa: the instructions."""

from nki._activation import activation, activation_reduce
from nki._control import (
    VirtualRegister,
    core_barrier,
    register_alloc,
    register_load,
    register_move,
    register_store,
    sendrecv,
)
from nki._dma import dma_copy, dma_transpose
from nki._elementwise import (
    memset,
    reciprocal,
    scalar_tensor_tensor,
    tensor_copy,
    tensor_copy_predicated,
    tensor_scalar,
    tensor_tensor,
)
from nki._enums import dge_mode, dma_engine, engine, matmul_perf_mode, oob_mode, reduce_cmd
from nki._matmul import nc_matmul, nc_transpose
from nki._reduce import tensor_reduce, tensor_scalar_reduce, tensor_tensor_scan
from nki._select import (
    affine_select,
    iota,
    nc_n_gather,
    nc_stream_shuffle,
    range_select,
    select_reduce,
)
from nki._target import nc_version, target

# Names that the documentation still uses for members of `engine`.
tensor_engine, vector_engine, scalar_engine, gpsimd_engine = engine.tensor, engine.vector, engine.scalar, engine.gpsimd


def get_nc_version() -> nc_version:
    """The target's NeuronCore version."""
    return target().version


__all__ = [
    "VirtualRegister",
    "activation",
    "activation_reduce",
    "affine_select",
    "core_barrier",
    "dge_mode",
    "dma_copy",
    "dma_engine",
    "dma_transpose",
    "engine",
    "get_nc_version",
    "iota",
    "matmul_perf_mode",
    "memset",
    "nc_matmul",
    "nc_n_gather",
    "nc_stream_shuffle",
    "nc_transpose",
    "nc_version",
    "oob_mode",
    "range_select",
    "reciprocal",
    "reduce_cmd",
    "register_alloc",
    "register_load",
    "register_move",
    "register_store",
    "scalar_tensor_tensor",
    "select_reduce",
    "sendrecv",
    "tensor_copy",
    "tensor_copy_predicated",
    "tensor_reduce",
    "tensor_scalar",
    "tensor_scalar_reduce",
    "tensor_tensor",
    "tensor_tensor_scan",
]
