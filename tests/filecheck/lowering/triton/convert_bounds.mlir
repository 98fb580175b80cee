// RUN: xdsl-opt %s -p convert-attention-to-triton -t triton --split-input-file | filecheck %s

// Where an operation has bounds, a program walks over the keys that its queries reach, in up to three loops: the tiles
// that need no mask in one of their own, without mask and with whole tiles, and those before and after it.

// A window over 1000 queries of 2 heads, 64 rows a program:
//   queries first_m to end_m of the rows;  keys of any of them: lo to hi;  keys of all: lo_unmasked to hi_unmasked
func.func @window(%q: tensor<2x1000x64xf16>, %k: tensor<1000x64xf16>) -> tensor<2x1000x64xf16> {
  %o = attention.sdpa
      q(%q[g, m, k] : tensor<2x1000x64xf16>) k(%k[n, k] : tensor<1000x64xf16>) v(%k[n, d] : tensor<1000x64xf16>)
      scale(1.0) score(window(m - 299 <= n <= m))
      reach(m0 - 299 <= n < m1) unmasked(m1 - 300 <= n < m0 + 1)
      schedule<block_m = 64, block_n = 32, warps = 4, stages = 2>
      -> out[g, m, d] : tensor<2x1000x64xf16>
  func.return %o : tensor<2x1000x64xf16>
}

// CHECK-LABEL: def window_kernel(
// CHECK:         pid_m = pid % num_tiles_m
// CHECK:         offs = pid_m * BLOCK_M
// CHECK-NEXT:    first_m = offs // G
// CHECK-NEXT:    end_m = tl.minimum(tl.cdiv(offs + BLOCK_M, G), M)
// CHECK-NEXT:    hi = tl.minimum(tl.maximum(end_m, 0), N)
// CHECK-NEXT:    lo = tl.minimum(tl.maximum(first_m - 299, 0), N) // BLOCK_N * BLOCK_N
// CHECK-NEXT:    [[FIRST:offs[_0-9]*]] = tl.cdiv(tl.minimum(tl.maximum(end_m - 300, 0), hi), BLOCK_N) * BLOCK_N
// CHECK-NEXT:    lo_unmasked = tl.minimum(tl.maximum([[FIRST]], lo), hi)
// CHECK-NEXT:    [[LAST:offs[_0-9]*]] = tl.minimum(tl.maximum(first_m + 1, 0), hi) // BLOCK_N * BLOCK_N
// CHECK-NEXT:    hi_unmasked = tl.maximum([[LAST]], lo_unmasked)
// CHECK:         # Tiles up to the first that needs no mask
// CHECK-NEXT:    for start_n in tl.range(lo, lo_unmasked, BLOCK_N, num_stages=2):
// CHECK:             tl.load({{.*}}, mask=mask_n[None, :], other=0.0)
// CHECK:             float("-inf"))
// CHECK:         # Tiles that need no mask
// CHECK-NEXT:    for start_n_1 in tl.range(lo_unmasked, hi_unmasked, BLOCK_N, num_stages=2):
// CHECK-NEXT:        start_1 = tl.cast(start_n_1, tl.int64)
// CHECK-NEXT:        k_1 = tl.load(k_ptrs + start_1 * stride_kn)
// CHECK-NEXT:        # S = Q K^T
// CHECK-NEXT:        scores_1 = tl.dot(q, k_1)
// CHECK-NEXT:        m_new_1 = tl.maximum(m_i, tl.max(scores_1, axis=1) * QK_SCALE)
// CHECK:             v_1 = tl.load(v_ptrs + start_1 * stride_vn)
// CHECK:         # Tiles after the last that needs no mask
// CHECK-NEXT:    for start_n_2 in tl.range(hi_unmasked, hi, BLOCK_N, num_stages=2):
// CHECK:             tl.where(mask_n_1[None, :], scores_2, float("-inf"))

// -----

// A causal mask: later queries have more keys, so their programs come first. Nothing is masked from the start, so there
// are two loops. The bias is in both.
func.func @causal(%q: tensor<256x64xf16>, %bias: tensor<256xf32>) -> tensor<256x64xf16> {
  %o = attention.sdpa
      q(%q[m, k] : tensor<256x64xf16>) k(%q[n, k] : tensor<256x64xf16>) v(%q[n, d] : tensor<256x64xf16>)
      scale(1.0) score(bias(%bias[n] : tensor<256xf32>) causal(n <= m))
      reach(n < m1) unmasked(n < m0 + 1)
      schedule<block_m = 64, block_n = 64, warps = 4, stages = 2>
      -> out[m, d] : tensor<256x64xf16>
  func.return %o : tensor<256x64xf16>
}

// CHECK-LABEL: def causal_kernel(
// CHECK:         pid_m = num_tiles_m - 1 - {{.*}}
// CHECK:         hi = tl.minimum(tl.maximum(end_m, 0), N)
// CHECK-NEXT:    hi_unmasked = tl.minimum(tl.maximum(first_m + 1, 0), hi) // BLOCK_N * BLOCK_N
// CHECK:         for start_n in tl.range(0, hi_unmasked, BLOCK_N, num_stages=2):
// CHECK:             bias = tl.load(
// CHECK-NOT:         tl.where(offs_n
// CHECK:         for start_n_1 in tl.range(hi_unmasked, hi, BLOCK_N, num_stages=2):
// CHECK:             bias_1 = tl.load(
// CHECK:             tl.where(offs_n_1[None, :] <= {{.*}}, scores_1, float("-inf"))

// -----

// Decoding: the tiles of the window are what the splits share out, by the length that is read. 16 rows wait for memory,
// so there is one loop, with masks. Symbols are 64 bits wide.
func.func @decode(%q: tensor<2x4x64xf16>, %k: tensor<2x5000x64xf16>, %lens: tensor<2xi32>)
    -> (tensor<2x1x4x3x1x64xf32>, tensor<2x1x4x3x1xf32>) {
  %out, %lse = attention.partial
      q(%q[b, g, k] : tensor<2x4x64xf16>) k(%k[b, n, k] : tensor<2x5000x64xf16>) v(%k[b, n, d] : tensor<2x5000x64xf16>)
      kv_lens(%lens[b] : tensor<2xi32>)
      splits(3) tile(64) scale(0.125)
      reach(m0 + s0 - 512 <= n) unmasked(m1 + s0 - 513 <= n) scalars(%lens[b] : tensor<2xi32>)
      schedule<block_m = 16, block_n = 64, warps = 2, stages = 3>
      -> out : tensor<2x1x4x3x1x64xf32>, lse : tensor<2x1x4x3x1xf32>
  func.return %out, %lse : tensor<2x1x4x3x1x64xf32>, tensor<2x1x4x3x1xf32>
}

// CHECK-LABEL: def decode_partial_kernel(
// CHECK:         lens = tl.load({{.*}}).to(tl.int64)
// CHECK-NEXT:    # Tiles before this one are out of reach
// CHECK-NEXT:    first_tile = tl.minimum(tl.maximum(lens - 512, 0), kv_len.to(tl.int64)).to(tl.int32) // TILE
// CHECK-NEXT:    # This split's share of the tiles: keys lo to hi
// CHECK-NEXT:    num_tiles = tl.maximum(tl.cdiv(kv_len, TILE) - first_tile, 0)
// CHECK-NEXT:    lo = (first_tile + num_tiles * split // SPLITS) * TILE
// CHECK-NEXT:    hi = tl.minimum((first_tile + num_tiles * (split + 1) // SPLITS) * TILE, kv_len)
// CHECK:         for start_n in tl.range(lo, hi, BLOCK_N, num_stages=3):
// CHECK-NOT:     tl.range

// -----

// Division of what may be negative rounds down: the remainder is made natural first.
func.func @chunks(%q: tensor<256x64xf16>) -> tensor<256x64xf16> {
  %o = attention.sdpa
      q(%q[m, k] : tensor<256x64xf16>) k(%q[n, k] : tensor<256x64xf16>) v(%q[n, d] : tensor<256x64xf16>)
      scale(1.0) reach(32 * ((m0 - 32) floordiv 32) <= n)
      schedule<block_m = 64, block_n = 64, warps = 4, stages = 2>
      -> out[m, d] : tensor<256x64xf16>
  func.return %o : tensor<256x64xf16>
}

// CHECK-LABEL: def chunks_kernel(
// CHECK:         offs = first_m.to(tl.int64) - 32
// CHECK-NEXT:    offs_1 = tl.minimum(tl.maximum((offs - (offs % 32 + 32) % 32) // 32 * 32, 0), N).to(tl.int32)
// CHECK-NEXT:    lo = offs_1 // BLOCK_N * BLOCK_N
