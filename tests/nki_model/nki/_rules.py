"""The rules that the model enforces, by name.

Every check of the model fails with one of these names, so that a test can ask for the rule it meant to break. The text
says what the rule is and where it stands: "doc" is the NKI 0.6.0 (Neuron SDK 2.32) documentation of the function or the
architecture guides, "inference" is what follows from them without being written there.
"""


class RuleError(Exception):
    """A kernel broke a rule of the machine. `rule` is its name, a key of `RULES`."""

    def __init__(self, rule: str, message: str):
        if rule not in RULES:
            raise KeyError(f"unknown rule {rule!r}")
        super().__init__(f"[{rule}] {message}")
        self.rule = rule


RULES: dict[str, str] = {
    # Tensors and memory
    "shape": "doc: shapes are positive integers; tensors in SBUF and PSUM have 2 to 5 dimensions.",
    "dtype": "doc: a dtype is one of nki.language's.",
    "partition-size": "doc: at most 128 partitions.",
    "start-partition": "doc: an operand of a compute engine starts at partition 0 if it has more than 64 partitions, "
    "at 0 or 64 if more than 32, else at 0, 32, 64 or 96. A tile without an address starts at 0 (inference).",
    "partition-stride": "doc: the partitions of an operand are consecutive, dimension 0 of the access pattern.",
    "access-pattern": "doc: an operand of a compute engine has at most 4 free dimensions, of at most 65535 "
    "elements, at strides of at most 32767; dimensions that are contiguous count as one.",
    "out-of-range": "doc: slices and access patterns stay inside of their tensor.",
    "view": "doc: what reshape, permute, broadcast and the other views of a tensor demand.",
    "ap-base": "doc: `ap` addresses storage; its offset is documented both as absolute and as relative to the view, so "
    "an explicit offset is given on tensors that start at 0 only.",
    "indirect": "doc: `vector_offset` needs a tensor in HBM, indirect_dim 0 and an integer SBUF tensor [P, 1]; "
    "`scalar_offset` an SBUF tensor [1, 1] or a register; not both; indirect views are for DMA.",
    "indirect-stride": "doc: with vector_offset, the first step of a pattern is the size of a row of the tensor.",
    "buffer": "doc: buffers are sbuf, psum, private_hbm, shared_hbm; operands of compute engines are in SBUF or PSUM.",
    "sbuf-capacity": "doc: 192, 224, 256 KiB a partition on trn1, trn2, trn3 for all live tiles together. A tile lives "
    "from its first write to its last access, on all partitions (inference: the compiler allocates by liveness).",
    "psum-capacity": "doc: 8 banks of 2 KiB a partition for all live tiles together; a PSUM tile starts at a bank and "
    "lives from its first write to its last access.",
    "address": "doc: an explicit address lies inside of the memory; in PSUM it is the start of a bank.",
    "uninitialised": "doc: memory is undefined until it is written.",
    "clobbered": "doc: tiles with explicit addresses share memory: what another tile has overwritten cannot be read.",
    "gpsimd-psum": "doc: the GpSimd engine cannot access PSUM.",
    "engine": "doc: the engines that an instruction can run on.",
    "enum": "doc: enumeration parameters take members of their enumeration, operators those of nki.language.",
    "target": "doc: the instruction or the option does not exist on this target.",
    "operand-shape": "doc: operands have as many partitions, and elements a partition, as the instruction needs.",
    "overlap": "inference: an output that overlaps an input must be the same elements in the same order.",
    "not-modelled": "documented, and not modelled here.",
    # Tensor engine
    "matmul-memory": "doc: nc_matmul reads SBUF and writes PSUM.",
    "matmul-contraction": "doc: stationary and moving have the same partitions, the contraction.",
    "matmul-stationary-size": "doc: at most 128 elements a partition (or the tile size) in stationary.",
    "matmul-moving-size": "doc: at most 512 elements a partition in moving; on trn3 4096, 8192 for a bf16 dst.",
    "matmul-dst-shape": "doc: dst is [stationary free size, moving free size].",
    "matmul-dst-bank": "doc: a matmul writes one PSUM bank (2 KiB a partition) on trn1 and trn2.",
    "matmul-dst-dtype": "doc: dst is float32; on trn3 also bfloat16.",
    "matmul-dtype": "doc: float8_e4m3, float8_e5m2, bfloat16, float16, float32; float8_e4m3fn on trn3 only.",
    "matmul-mixed-fp32": "doc: float32 does not mix with other dtypes.",
    "matmul-mixed-fp8": "doc: float8_e4m3 and float8_e4m3fn do not mix.",
    "matmul-accumulate": "doc: accumulate=True needs a PSUM location that a matmul has initialised (on trn3: that "
    "anything has initialised).",
    "matmul-tile": "doc: tile_position and tile_size come together; the start is a multiple of the size.",
    "transpose-memory": "doc: a Tensor engine transpose reads SBUF and writes PSUM.",
    "transpose-size": "doc: at most 128x128 on the Tensor engine, 32x32 on the Vector engine.",
    "transpose-dtype": "doc: dst has the dtype of data.",
    "transpose-finite": "doc: a Tensor engine transpose of NaN or Inf is not exact on trn1.",
    # Elementwise, reductions, selection
    "activation-op": "doc: the operator is in the table of activation functions.",
    "activation-scale": "doc: scale is a number or float32 [P, 1].",
    "activation-bias": "doc: bias is [P, 1]; from trn2 on a number too.",
    "activation-range": "doc: sin, arctan, log, sqrt, rsqrt and reciprocal have a limited input range.",
    "activation-reduce": "doc: reduce_op is nl.add; reduce_res is [P, 1].",
    "reduce-registers": "doc: reduction registers are read or added to only after a reset.",
    "alu-op": "doc: the operator is in the table of ALU operators; bitvec operators need integers and do not mix with "
    "arithmetic ones.",
    "two-psum-inputs": "doc: two tensor inputs may not both be in PSUM.",
    "scalar-operand": "doc: a scalar operand is a number or a [P, 1] tile, float32 in tensor_scalar.",
    "scalar-engine-ops": "doc: tensor_scalar on the Scalar engine is multiply(+add) or add.",
    "reduce-axis": "doc: tensor_reduce reduces the last free dimensions, never the partitions.",
    "reduce-op": "doc: the operator is a legal reduction.",
    "memset-value": "doc (0.3.0): an integer tile takes an integer. (Published kernels set float tiles to 0.)",
    "select-memory": "doc: affine_select reads and writes SBUF; select_reduce and tensor_copy_predicated do not read "
    "two operands from PSUM.",
    "pattern": "doc: a pattern has up to four [step, number] pairs whose numbers multiply to the elements a partition.",
    "select-value": "doc: on_false_value is a float.",
    "predicate": "doc: the dtype of the predicate.",
    "range-select-value": "doc: on_false_value is exactly FP32_MIN.",
    "range-select-bound": "doc: bounds are float32 [P, 1].",
    "range-select-op": "doc: comparisons are equal, less, less_equal, greater, greater_equal; the reduction maximum.",
    "range-select-index": "doc: range_start is a compile-time int; range_start + index stays within 2^24.",
    "same-dtype": "doc: the instruction does not convert.",
    "gather-index": "doc: indices are uint32 (uint16 for local_gather), inside of the partition.",
    "shuffle": "doc: 32 entries, 0 to 31 or 255; source and destination start on a legal partition.",
    # DMA
    "dma-psum": "doc: DMA moves data between HBM and SBUF.",
    "dma-size": "doc: dst and src have the same number of elements.",
    "dma-cast": "doc (0.3.0): dtypes match with dge_mode.hwdge, which does not convert; other DMA does.",
    "dma-dge": "doc: vector_offset needs dge_mode unknown or swdge; engine goes with hwdge, scalar or sync.",
    "dma-bounds": "doc: an index out of bounds with oob_mode.error.",
    "dma-oob-mode": "doc: oob_mode.skip is for indirect access.",
    "dma-transpose": "doc: what dma_transpose demands of its operands.",
    # Control
    "register": "doc: registers are loaded from one-element tensors; loop variables are read-only.",
    "loop": "doc: fori_loop and while_loop: a positive constant step, a body that returns nothing or the condition.",
    "compile-time-value": "doc: a tensor's elements are not known when the kernel is specialised.",
    "list-argument": "doc (0.3.0): a kernel takes tuples, not lists.",
    "launch": "doc: the launch grid is one number, 1 or 2; 2 needs trn2 or later.",
    "program-axis": "doc: the launch grid has one axis.",
    "core-sync": "doc: sendrecv and core_barrier meet their counterpart on the other core.",
    "core-race": "doc: what the other core wrote to shared HBM is read after a core_barrier.",
    "sendrecv": "doc: SBUF to SBUF, same shape and dtype, ranks 0 and 1; limits of gpsimd_dma.",
    "same-program": "doc: both cores run the same program: shared tensors and results agree.",
    "output-buffer": "doc: a kernel returns tensors in shared_hbm.",
    "output-unwritten": "every element of a returned tensor is written.",
    "nested-kernel": "doc: a kernel does not call a function decorated with nki.jit.",
}


def fail(rule: str, message: str) -> None:
    """Raise RuleError."""
    raise RuleError(rule, message)
