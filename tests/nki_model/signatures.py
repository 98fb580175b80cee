"""The functions of NKI 0.6.0 that a printed kernel may call, with the signatures of the SDK 2.32 documentation."""

import ast
from dataclasses import dataclass

_ISA = """
activation(dst, op, data, bias=None, scale=1.0, reduce_op=None, reduce_res=None, reduce_cmd=idle, name=None)
affine_select(dst, pattern, channel_multiplier, on_true_tile, on_false_value, cmp_op=equal, offset=0, name=None)
core_barrier(data, cores, engine=gpsimd, name=None)
dma_copy(dst, src, priority=None, oob_mode=error, dge_mode=unknown, engine=unknown, name=None)
dma_transpose(dst, src, axes=None, priority=None, dge_mode=unknown, oob_mode=error, name=None)
get_nc_version()
iota(dst, pattern, offset=0, channel_multiplier=0, name=None)
memset(dst, value, engine=unknown, name=None)
nc_matmul(dst, stationary, moving, is_stationary_onezero=False, is_moving_onezero=False, is_transpose=False, \
accumulate=None, tile_position=(), tile_size=(), perf_mode=none, name=None)
nc_n_gather(dst, data, indices, name=None)
nc_stream_shuffle(dst, src, shuffle_mask, name=None)
nc_transpose(dst, data, engine=unknown, name=None)
range_select(dst, on_true_tile, comp_op0, comp_op1, bound0, bound1, reduce_cmd=reset_reduce, reduce_res=None, \
reduce_op=maximum, range_start=0, on_false_value=FP32_MIN, name=None)
reciprocal(dst, data, name=None)
register_alloc(x=None)
register_load(dst, src)
register_move(dst, src)
register_store(dst, src)
scalar_tensor_tensor(dst, data, op0, operand0, op1, operand1, reverse0=False, reverse1=False, name=None)
select_reduce(dst, predicate, on_true, on_false, reduce_res=None, reduce_cmd=idle, reduce_op=maximum, \
reverse_pred=False, name=None)
sendrecv(src, dst, send_to_rank, recv_from_rank, pipe_id, dma_engine=dma, name=None)
tensor_copy(dst, src, engine=unknown, name=None)
tensor_copy_predicated(dst, src, predicate, reverse_pred=False, name=None)
tensor_reduce(dst, op, data, axis, negate=False, keepdims=False, name=None)
tensor_scalar(dst, data, op0, operand0, reverse0=False, op1=None, operand1=None, reverse1=False, engine=unknown, \
name=None)
tensor_scalar_reduce(dst, data, op0, operand0, reduce_op, reduce_res=None, reverse0=False, reduce_cmd=reset_reduce, \
reduce_init=None, reduce_res_negate=False, name=None)
tensor_tensor(dst, data1, data2, op, engine=unknown, name=None)
tensor_tensor_scan(dst, data0, data1, initial, op0, op1, reverse0=False, reverse1=False, name=None)
"""

_LANGUAGE = """
device_print(print_prefix, tensor)
ds(start, size)
fori_loop(lower, upper, body_fun, step=1)
ndarray(shape, dtype, buffer=sbuf, name='', address=None)
num_programs(axes=0)
program_id(axis=0)
program_ndim()
shared_constant(constant)
while_loop(init, body_fun)
"""

_TENSOR = """
ap(pattern, offset=None, scalar_offset=None, vector_offset=None, indirect_dim=0, dtype=None)
broadcast(dim, size)
expand_dim(dim)
flatten_dims(start_dim, end_dim)
permute(dims)
rearrange(src_pattern, dst_pattern, fixed_sizes=None)
reshape(shape)
reshape_dim(dim, shape)
select(dim, index)
slice(dim, start, end, step=1)
squeeze_dim(dim)
vector_select(dim, vector_offset)
view(dtype)
"""


def _names(text: str) -> list[str]:
    return text.split()


ENUMS = {
    "dge_mode": ("unknown", "swdge", "hwdge", "none"),
    "dma_engine": ("dma", "gpsimd_dma"),
    "engine": ("unknown", "tensor", "scalar", "gpsimd", "dma", "vector", "sync"),
    "matmul_perf_mode": ("none", "double_row"),
    "nc_version": ("gen2", "gen3", "gen4"),
    "oob_mode": ("error", "skip"),
    "reduce_cmd": ("idle", "reset", "reduce", "reset_reduce", "load_reduce"),
}
DTYPES = _names(
    """bool_ int8 int16 int32 uint8 uint16 uint32 float16 float32 bfloat16 float8_e4m3 float8_e4m3fn float8_e5m2"""
)
BUFFERS = ("sbuf", "psum", "hbm", "private_hbm", "shared_hbm")
OPERATORS = _names(
    """add subtract multiply maximum minimum power equal not_equal greater greater_equal less less_equal logical_and
    logical_or logical_xor bitwise_and bitwise_or bitwise_xor invert left_shift right_shift abs abs_max abs_min square
    relu
    rsqrt reciprocal copy sigmoid gelu gelu_apprx_tanh gelu_apprx_sigmoid silu tanh softplus mish erf exp log sin arctan
    sqrt sign"""
)
DEPRECATED = ("affine_range", "sequential_range", "static_range", "dynamic_range")
# Parameters that take an operator of nki.language or a member of an enumeration.
CHOICES = {
    "op", "op0", "op1", "reduce_op", "cmp_op", "comp_op0", "comp_op1", "engine", "reduce_cmd", "dge_mode", "oob_mode",
    "dma_engine", "perf_mode", "dtype", "buffer",
}  # fmt: skip


@dataclass(frozen=True)
class Signature:
    """Parameters in order, and those without a default."""

    parameters: tuple[str, ...]
    required: tuple[str, ...]


def _parse(text: str) -> dict[str, Signature]:
    table = {}
    for line in text.strip().splitlines():
        function = ast.parse(f"def {line}: pass").body[0]
        assert isinstance(function, ast.FunctionDef)
        names = tuple(arg.arg for arg in function.args.args)
        table[function.name] = Signature(names, names[: len(names) - len(function.args.defaults)])
    return table


ISA = _parse(_ISA)
LANGUAGE = _parse(_LANGUAGE)
TENSOR = _parse(_TENSOR)
