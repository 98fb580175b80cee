// RUN: xdsl-opt %s -p 'flash-decoding{splits=4},convert-attention-to-triton' --split-input-file -t triton | filecheck %s
// RUN: xdsl-opt %s -p convert-attention-to-triton --split-input-file -t triton | filecheck %s --check-prefix=ONE

// What optional fields of a schedule make of a partial and its combine.

// One kernel: programs store their split and draw a ticket; the last of a tile of rows puts all together. Another kernel
// has cleared the tickets.
// CHECK-LABEL: def one_partial_kernel_clear(tickets_ptr):
// CHECK:           mask = offs < 6
// CHECK-NEXT:      tl.store(tickets_ptr + offs, tl.full((BLOCK,), 0, tl.int32), mask=mask)
// CHECK-LABEL: def one_partial_kernel(
// CHECK:           tl.store(out_ptrs, out, mask=mask_r[:, None])
// CHECK:           tl.store(lse_ptr + row, lse, mask=mask_r)
// CHECK-NEXT:      # All of this split is stored before its ticket is drawn
// CHECK-NEXT:      tl.debug_barrier()
// CHECK-NEXT:      arrived = tl.atomic_add(tickets_ptr + tl.program_id(0), 1, sem="acq_rel")
// CHECK-NEXT:      # The last split to arrive puts all together
// CHECK-NEXT:      if arrived == SPLITS - 1:
// CHECK:               for s in tl.range(0, SPLITS):
// CHECK:                   cache_modifier=".cg"
// CHECK:               tl.store(result_ptrs, (result / safe_total[:, None]).to(tl.bfloat16), mask=mask_r[:, None])
// CHECK-LABEL: def one(
// CHECK:           tickets = empty((6,), "int32")
// CHECK-NEXT:      one_partial_kernel_clear[(1,)](tickets)
// CHECK-NEXT:      one_partial_kernel[(6, 4)](
// CHECK-NOT:       _combine_kernel
func.func @one(%q: tensor<3x2x4x64xbf16>, %k: tensor<3x2x1024x64xbf16>) -> tensor<3x2x4x64xbf16> {
  %o = attention.sdpa q(%q[b, h, g, k] : tensor<3x2x4x64xbf16>) k(%k[b, h, n, k] : tensor<3x2x1024x64xbf16>)
      v(%k[b, h, n, d] : tensor<3x2x1024x64xbf16>) scale(0.125)
      schedule<block_m = 16, block_n = 64, warps = 4, stages = 3, kernels = 1> -> out[b, h, g, d] : tensor<3x2x4x64xbf16>
  func.return %o : tensor<3x2x4x64xbf16>
}

// -----

// Runs: the tiles of all 3 sequences lie in one row, which 9 programs a head share evenly. Each walks over the sequences
// that its share touches; run r of sequence b has row r + b of the partial results, so there are 9 + 3 - 1. One warp puts
// together the few splits of a row.
// CHECK-LABEL: def runs_partial_kernel(
// CHECK:           lens = tl.load(lens_ptrs, mask=offs_b < BATCH, other=0)
// CHECK:           tiles = tl.cdiv(lens, TILE)
// CHECK-NEXT:      total = tl.sum(tiles, axis=0)
// CHECK-NEXT:      # The tiles of a run
// CHECK-NEXT:      share = tl.maximum(tl.cdiv(total, RUNS), 1)
// CHECK-NEXT:      run = tl.program_id(1)
// CHECK-NEXT:      # The tiles of all sequences in one row
// CHECK-NEXT:      ends = tl.cumsum(tiles)
// CHECK-NEXT:      starts = ends - tiles
// CHECK-NEXT:      first_tile = run * share
// CHECK-NEXT:      end_tile = tl.minimum(first_tile + share, total)
// CHECK-NEXT:      first = tl.sum((ends <= first_tile).to(tl.int32), axis=0)
// CHECK-NEXT:      end = tl.sum((starts < end_tile).to(tl.int32), axis=0)
// CHECK-NEXT:      # The sequences of this run
// CHECK-NEXT:      for batch in tl.range(first, end, num_stages=1):
// CHECK:               lo = tl.maximum(first_tile - start, 0) * TILE
// CHECK-NEXT:          hi = tl.minimum(tl.minimum(end_tile - start, tl.cdiv(kv_len, TILE)) * TILE, kv_len)
// CHECK-NEXT:          split = run + batch
// CHECK:               for start_n in tl.range(lo, hi, BLOCK_N, num_stages=3):
// CHECK:               tl.store(out_ptrs
// CHECK-LABEL: def runs_combine_kernel(
// CHECK:           first_run = start // share
// CHECK-NEXT:      splits = tl.where(num_tiles == 0, 0, (start + num_tiles - 1) // share - first_run + 1)
// CHECK-NEXT:      first_split = first_run + batch
// CHECK:           mask_s = offs_s < splits.to(tl.int64)
// CHECK-NEXT:      offs_split = first_split.to(tl.int64) + offs_s
// CHECK-LABEL: def runs(
// CHECK:           partial = empty((2, 4, 11, 1, 64), "float32")
// CHECK-NEXT:      partial_lse = empty((2, 4, 11, 1), "float32")
// CHECK-NEXT:      runs_partial_kernel[(2, 9)](
// CHECK:           num_warps=4,
// CHECK:           runs_combine_kernel[(24,)](
// CHECK:           num_warps=1,
func.func @runs(%q: tensor<3x2x4x64xbf16>, %k: tensor<3x2x1024x64xbf16>, %lens: tensor<3xi32>) -> tensor<3x2x4x64xbf16> {
  %o = attention.sdpa q(%q[b, h, g, k] : tensor<3x2x4x64xbf16>) k(%k[b, h, n, k] : tensor<3x2x1024x64xbf16>)
      v(%k[b, h, n, d] : tensor<3x2x1024x64xbf16>) kv_lens(%lens[b] : tensor<3xi32>) scale(0.125)
      schedule<block_m = 16, block_n = 64, warps = 4, stages = 3, runs = 9> -> out[b, h, g, d] : tensor<3x2x4x64xbf16>
  func.return %o : tensor<3x2x4x64xbf16>
}

// -----

// Launches that overlap: each kernel waits for the one before it. The combine's programs, a warp each, may come as soon as
// all programs of the first kernel run, and those of the next call when the combine's have come.
// CHECK-LABEL: def _pdl():
// CHECK-LABEL: def overlap_partial_kernel(
// CHECK:           if tl.target_info.cuda_capability_geq(9, 0):
// CHECK-NEXT:          tl.extra.cuda.gdc_wait()
// CHECK-NEXT:      if tl.target_info.cuda_capability_geq(9, 0):
// CHECK-NEXT:          tl.extra.cuda.gdc_launch_dependents()
// CHECK:           q = tl.load(
// CHECK-LABEL: def overlap_combine_kernel(
// CHECK:               tl.extra.cuda.gdc_launch_dependents()
// CHECK:               tl.extra.cuda.gdc_wait()
// CHECK:           tl.load(
// CHECK-LABEL: def overlap(
// CHECK:           num_warps=4, **_pdl(),
// CHECK:           num_warps=1, **_pdl(),
// Without splits, one kernel lets the next call come after its loop over keys: before that, there would be no room for
// all of its programs.
// ONE-LABEL: def overlap_kernel(
// ONE:                 tl.extra.cuda.gdc_wait()
// ONE:             for start_n in
// ONE:                 tl.extra.cuda.gdc_launch_dependents()
// ONE:             tl.store(
func.func @overlap(%q: tensor<2x4x64xbf16>, %k: tensor<2x1024x64xbf16>) -> tensor<2x4x64xbf16> {
  %o = attention.sdpa q(%q[h, g, k] : tensor<2x4x64xbf16>) k(%k[h, n, k] : tensor<2x1024x64xbf16>)
      v(%k[h, n, d] : tensor<2x1024x64xbf16>) scale(0.125)
      schedule<block_m = 16, block_n = 64, warps = 4, stages = 3, pdl = 1> -> out[h, g, d] : tensor<2x4x64xbf16>
  func.return %o : tensor<2x4x64xbf16>
}

// -----

// Unpacked: a program for each query head, so 8 rather than 2 tiles of rows.
// CHECK-LABEL: def unpacked(
// CHECK:           unpacked_partial_kernel[(8, 4)](
func.func @unpacked(%q: tensor<2x4x64xbf16>, %k: tensor<2x1024x64xbf16>) -> tensor<2x4x64xbf16> {
  %o = attention.sdpa q(%q[h, g, k] : tensor<2x4x64xbf16>) k(%k[h, n, k] : tensor<2x1024x64xbf16>)
      v(%k[h, n, d] : tensor<2x1024x64xbf16>) scale(0.125)
      schedule<block_m = 16, block_n = 64, warps = 4, stages = 3, pack = 0> -> out[h, g, d] : tensor<2x4x64xbf16>
  func.return %o : tensor<2x4x64xbf16>
}

// -----

// Constants of the compiled kernel: the distances between keys of K and of V. All other strides are arguments as before.
// CHECK-LABEL: def constant_partial_kernel(
// CHECK:           stride_qb, stride_qh, stride_qm, stride_qk, stride_kb,
// CHECK-NEXT:      stride_kh, stride_kn: tl.constexpr, stride_kk, stride_vb, stride_vh, stride_vn: tl.constexpr,
// CHECK-NEXT:      stride_vd,
// CHECK:           tl.load(k_ptrs + start * stride_kn)
func.func @constant(%q: tensor<2x4x200x64xbf16>, %k: tensor<2x4x1024x64xbf16>) -> tensor<2x4x200x64xbf16> {
  %o = attention.sdpa q(%q[b, h, m, k] : tensor<2x4x200x64xbf16>) k(%k[b, h, n, k] : tensor<2x4x1024x64xbf16>)
      v(%k[b, h, n, d] : tensor<2x4x1024x64xbf16>) scale(0.125)
      schedule<block_m = 128, block_n = 64, warps = 4, stages = 2, constant_strides = 1>
      -> out[b, h, m, d] : tensor<2x4x200x64xbf16>
  func.return %o : tensor<2x4x200x64xbf16>
}
