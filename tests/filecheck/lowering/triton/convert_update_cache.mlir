// RUN: xdsl-opt %s -p convert-attention-to-triton --split-input-file | filecheck %s
// RUN: xdsl-opt %s -p convert-attention-to-triton --split-input-file -t triton | filecheck %s --check-prefix=TEXT

// Updates of caches: rows of values are quantised in registers, packed into elements, and stored at their places. The
// results are the operands, which the kernel writes to.

// LightLLM's int4, a row a program: groups of 8 are the last axis of a tile, pairs of codes a byte.
func.func @int4(%x: tensor<4x8x128xbf16>, %pool: tensor<99x8x64xi8>, %s: tensor<99x8x16xbf16>, %to: tensor<4xi32>) -> (tensor<99x8x64xi8>, tensor<99x8x16xbf16>) {
  %c, %d = attention.update_cache
      new(%x[m, h, k] : tensor<4x8x128xbf16>)
      cache(%pool[page, h, k floordiv 2] : tensor<99x8x64xi8>) quantized(u4, zero = 7, round = bf16)
      cache_scale(%s[page, h, k floordiv 8] : tensor<99x8x16xbf16>)
      slots(%to[m] : tensor<4xi32>)
      quantizer(symmetric, toward_zero)
  func.return %c, %d : tensor<99x8x64xi8>, tensor<99x8x16xbf16>
}

// CHECK-LABEL: tl.jit @int4_update_kernel(
// CHECK:         %page = tl.cast {{.*}} : tensor<1xi32> -> tensor<1xi64>
// A token is stored if its page is one of the pool:  0 <= page < 99
// CHECK-NEXT:    [[LOW:%.+]] = tl.constant 0 : i64
// CHECK-NEXT:    [[ABOVE:%.+]] = tl.ge %page, [[LOW]]
// CHECK:         [[BELOW:%.+]] = tl.lt %page,
// CHECK-NEXT:    %placed = tl.and [[ABOVE]], [[BELOW]]
// CHECK:         %new = tl.load {{.*}} -> tensor<1x16x8xbf16>
// CHECK-NEXT:    %x = tl.cast %new : tensor<1x16x8xbf16> -> tensor<1x16x8xf32>
//   amax = max min(|x|, largest), NaN as inf;   scale = bf16(amax / 7), rounded as IEEE 754 has it
// CHECK:         %amax = tl.max {{.*}} 2 : tensor<1x16x8xf32> -> tensor<1x16xf32>
// CHECK:         tl.div_rn %amax, {{.*}} : (tensor<1x16xf32>, f32) -> tensor<1x16xf32>
// CHECK:         %scale = tl.cast {{.*}} : tensor<1x16xf32> -> tensor<1x16xbf16>
// CHECK:         tl.store %scale_ptrs, %scale mask
//   q = x / scale, 0 where that is 0; clamped to -7..7, towards zero, + 7
// CHECK:         tl.div_rn %x, {{.*}} : (tensor<1x16x8xf32>, tensor<1x16x1xf32>) -> tensor<1x16x8xf32>
// CHECK:         %codes = tl.add
//   byte i = code 2i | code 2i + 1 << 4
// CHECK:         [[PAIRS:%.+]] = tl.reshape %codes[%BLOCK_R, %BLOCK_W, %LANES] : tensor<1x16x8xi32>[i32, i32, i32] -> tensor<1x64x2xi32>
// CHECK:         [[SHIFTED:%.+]] = tl.shl [[PAIRS]],
// CHECK:         %words = tl.sum [[SHIFTED]] 2 : tensor<1x64x2xi32> -> tensor<1x64xi32>
// CHECK:         [[BYTES:%.+]] = tl.cast %words : tensor<1x64xi32> -> tensor<1x64xi8>
// CHECK:         tl.store %cache_ptrs, [[BYTES]] mask

// The host gives back what it was given.
// CHECK-LABEL: func.func @int4(
// CHECK-NOT:     launch.empty
// CHECK:         launch.kernel @int4_update_kernel
// CHECK:         func.return %pool, %s

// TEXT-LABEL: def int4_update_kernel(
// TEXT:           amax = tl.max(tl.where(x == x, tl.minimum(tl.abs(x), 3.3895314e38), float("inf")), axis=2)
// TEXT-NEXT:      {{.*}} = tl.minimum(tl.div_rn(amax, 7.0), 3.3895314e38)
// TEXT-NEXT:      scale = tl.where(amax < float("inf"), {{.*}}, float("nan")).to(tl.bfloat16)
// TEXT:           y = tl.where({{.*}} != 0.0, tl.div_rn(x, {{.*}}), 0.0)
// TEXT:           words = tl.sum(tl.reshape(codes, (BLOCK_R, BLOCK_W, LANES)) << {{.*}}, axis=2)
// TEXT-LABEL: def int4(x, pool, s, to, *, empty=None):
// TEXT:           return pool, s

// -----

// Planar words: lane j of word i is channel i + 16 j, so lanes are the second axis of the tile. Pages by a block table,
// whose entries are read only for tokens within it.
func.func @planar(%x: tensor<2x8x64x128xf16>, %pool: tensor<99x8x16x16xi32>, %s: tensor<99x8x16xf32>, %t: tensor<2x9xi32>, %at: tensor<2xi32>) -> tensor<99x8x16x16xi32> {
  %c, %d = attention.update_cache
      new(%x[b, h, m, d] : tensor<2x8x64x128xf16>)
      cache(%pool[page, h, slot, d mod 16] : tensor<99x8x16x16xi32>) quantized(i4)
      cache_scale(%s[page, h, slot] : tensor<99x8x16xf32>)
      block_table(%t[b, p] : tensor<2x9xi32>) positions(%at[b] : tensor<2xi32>)
      quantizer(symmetric, to_nearest_even)
  func.return %c : tensor<99x8x16x16xi32>
}
// TEXT-LABEL: def planar_update_kernel(
// Rows are tokens and heads: n = first + m, in page n // 16 of the sequence.
// TEXT:           offs_r = pid * BLOCK_R + tl.arange(0, BLOCK_R)
// TEXT:           n = {{.*}} + offs_m
// TEXT-DAG:       n >= 0
// TEXT-DAG:       n < N
// TEXT:           slot = n % {{.*}}
// TEXT:           page = tl.load({{.*}}, mask={{.*}}, other=-1).to(tl.int64)
// TEXT:           placed = {{.*}} & (page >= 0) & (page < NUM_PAGES)
// Signed codes are cut to 4 bits; ties go to even by an addition.
// TEXT:           [[SUM:tmp_[0-9]+]] = tl.minimum(tl.maximum(tl.where(y == y, y, 0.0), -7.0), 7.0) + 12582912.0
// TEXT-NEXT:      tl.reshape(([[SUM]] - 12582912.0).to(tl.int32) & 15, (BLOCK_R, LANES, BLOCK_W))
// TEXT:           words = tl.sum({{.*}} << {{.*}}, axis=1)

// -----

// Scales of 32 tokens for each channel: a program has one group, reduced over its rows, and stores nothing of a sequence
// that does not start at a multiple of 32.
func.func @tokens(%x: tensor<2x64x128xbf16>, %k: tensor<2x320x64xi8>, %s: tensor<2x10x128xf16>, %o: tensor<2x10x128xf16>, %at: tensor<2xi32>) -> tensor<2x320x64xi8> {
  %c, %d, %e = attention.update_cache
      new(%x[b, m, k] : tensor<2x64x128xbf16>)
      cache(%k[b, n, k floordiv 2] : tensor<2x320x64xi8>) quantized(u4)
      cache_scale(%s[b, n floordiv 32, k] : tensor<2x10x128xf16>)
      cache_offset(%o[b, n floordiv 32, k] : tensor<2x10x128xf16>)
      positions(%at[b] : tensor<2xi32>)
      quantizer(asymmetric, to_nearest_even)
  func.return %c : tensor<2x320x64xi8>
}
// TEXT-LABEL: def tokens_update_kernel(
// TEXT:           start_m = pid % GROUPS_M * GROUP_M
// TEXT:           {{.*}} % GROUP_M == 0
// TEXT:           top = tl.max({{.*}}, axis=2)
// TEXT-NEXT:      top = tl.max(top, axis=0)
// TEXT:           bottom = -tl.max(tl.max({{.*}}, axis=2), axis=0)
// TEXT:           tl.div_rn(top - bottom, 15.0)
// TEXT:           tl.store(scale_ptrs,
// TEXT:           tl.store(offset_ptrs,

// -----

// 8-bit floats are rounded by integer arithmetic, the same on every GPU; a given scale is read.
func.func @fp8(%x: tensor<2x1x4x64xbf16>, %v: tensor<2x4x50x64xf8E4M3FN>, %s: tensor<4xf32>, %at: tensor<2x1xi32>) -> tensor<2x4x50x64xf8E4M3FN> {
  %c = attention.update_cache
      new(%x[b, m, h, d] : tensor<2x1x4x64xbf16>)
      cache(%v[b, h, n, d] : tensor<2x4x50x64xf8E4M3FN>) quantized(f8E4M3FN)
      cache_scale(%s[h] : tensor<4xf32>)
      positions(%at[b, m] : tensor<2x1xi32>)
      quantizer(given, to_nearest_even)
  func.return %c : tensor<2x4x50x64xf8E4M3FN>
}
// TEXT-LABEL: def fp8_update_kernel(
// TEXT:           tl.minimum(tl.abs(y), 448.0)
// TEXT:           bits = {{.*}}.to(tl.int32, bitcast=True)
// TEXT:           {{.*}}.to(tl.int8).to(tl.float8e4nv, bitcast=True)
// TEXT-NOT:       tl.store(scale_ptrs

// -----

// Floats are converted.
func.func @floats(%x: tensor<2x1x4x64xbf16>, %k: tensor<2x4x50x64xf16>, %at: tensor<2xi32>) -> tensor<2x4x50x64xf16> {
  %c = attention.update_cache
      new(%x[b, m, h, k] : tensor<2x1x4x64xbf16>)
      cache(%k[b, h, n, k] : tensor<2x4x50x64xf16>)
      positions(%at[b] : tensor<2xi32>)
  func.return %c : tensor<2x4x50x64xf16>
}
// TEXT-LABEL: def floats_update_kernel(
// TEXT:           new = tl.load(
// TEXT-NOT:       div_rn
// TEXT:           tl.store(cache_ptrs, {{.*}}.to(tl.float32).to(tl.float16), mask=
