// RUN: xdsl-opt %s -p schedule-attention --split-input-file | filecheck %s
// RUN: xdsl-opt %s -p 'schedule-attention{target=mi300x}' --split-input-file | filecheck %s --check-prefix AMD

// Decode steps on quantised K and V, by where codes and scales lie: assembly and tiles that lie transposed on NVIDIA's
// GPUs; one warp where a key or lane has one scale, two where values have scales of their own; pairs of heads where
// tokens lie outside of heads. The other target has no assembly, and tiles as for floats.

// LightLLM's int4.
// CHECK: schedule<block_m = 8, block_n = 32, warps = 2, stages = 3, pdl = 1, transposed = 1, heads = 2, assembly = 1>
// AMD: schedule<block_m = 16, block_n = 64, warps = 4, stages = 2>
func.func @token_major(%q: tensor<4x1x32x128xbf16>, %k: tensor<64x64x8x16xi32>, %s: tensor<64x64x8x16xbf16>, %t: tensor<4x16xi32>) -> tensor<4x1x32x128xbf16> {
  %out = attention.sdpa
    q(%q[b, m, h * 4 + g, k] : tensor<4x1x32x128xbf16>)
    k(%k[page, slot, h, k floordiv 8] : tensor<64x64x8x16xi32>) quantized(u4, zero = 7, round = bf16)
    k_scale(%s[page, slot, h, k floordiv 8] : tensor<64x64x8x16xbf16>)
    v(%k[page, slot, h, d floordiv 8] : tensor<64x64x8x16xi32>) quantized(u4, zero = 7, round = bf16)
    v_scale(%s[page, slot, h, d floordiv 8] : tensor<64x64x8x16xbf16>)
    block_table(%t[b, p] : tensor<4x16xi32>)
    scale(0.088)
    -> out[b, m, h * 4 + g, d] : tensor<4x1x32x128xbf16>
  func.return %out : tensor<4x1x32x128xbf16>
}

// -----

// The same with the tokens of a head together.
// CHECK: schedule<block_m = 8, block_n = 64, warps = 2, stages = 3, pdl = 1, transposed = 1, assembly = 1>
func.func @head_major(%q: tensor<4x1x32x128xbf16>, %k: tensor<64x8x64x16xi32>, %s: tensor<64x8x64x16xbf16>, %t: tensor<4x16xi32>) -> tensor<4x1x32x128xbf16> {
  %out = attention.sdpa
    q(%q[b, m, h * 4 + g, k] : tensor<4x1x32x128xbf16>)
    k(%k[page, h, slot, k floordiv 8] : tensor<64x8x64x16xi32>) quantized(u4, zero = 7, round = bf16)
    k_scale(%s[page, h, slot, k floordiv 8] : tensor<64x8x64x16xbf16>)
    v(%k[page, h, slot, d floordiv 8] : tensor<64x8x64x16xi32>) quantized(u4, zero = 7, round = bf16)
    v_scale(%s[page, h, slot, d floordiv 8] : tensor<64x8x64x16xbf16>)
    block_table(%t[b, p] : tensor<4x16xi32>)
    scale(0.088)
    -> out[b, m, h * 4 + g, d] : tensor<4x1x32x128xbf16>
  func.return %out : tensor<4x1x32x128xbf16>
}

// -----

// A scale for each key and head.
// CHECK: schedule<block_m = 8, block_n = 64, warps = 1, stages = 3, pdl = 1, transposed = 1, assembly = 1>
func.func @keys(%q: tensor<4x1x32x128xbf16>, %k: tensor<64x64x8x16xi32>, %s: tensor<64x64x8xf32>, %t: tensor<4x16xi32>) -> tensor<4x1x32x128xbf16> {
  %out = attention.sdpa
    q(%q[b, m, h * 4 + g, k] : tensor<4x1x32x128xbf16>)
    k(%k[page, slot, h, k floordiv 8] : tensor<64x64x8x16xi32>) quantized(i4)
    k_scale(%s[page, slot, h] : tensor<64x64x8xf32>)
    v(%k[page, slot, h, d floordiv 8] : tensor<64x64x8x16xi32>) quantized(i4)
    v_scale(%s[page, slot, h] : tensor<64x64x8xf32>)
    block_table(%t[b, p] : tensor<4x16xi32>)
    scale(0.088)
    -> out[b, m, h * 4 + g, d] : tensor<4x1x32x128xbf16>
  func.return %out : tensor<4x1x32x128xbf16>
}

// -----

// 8 bits, and fewer sequences and heads than cores; no transposed tiles for more than 8 rows.
// CHECK: schedule<block_m = 8, block_n = 64, warps = 2, stages = 3, pdl = 1, transposed = 1, assembly = 1>
// CHECK: schedule<block_m = 16, block_n = 64, warps = 2, stages = 3, pdl = 1, assembly = 1>
func.func @bytes(%q: tensor<4x1x32x128xbf16>, %q4: tensor<4x4x32x128xbf16>, %k: tensor<4x8x256x32xi32>) -> (tensor<4x1x32x128xbf16>, tensor<4x4x32x128xbf16>) {
  %out = attention.sdpa
    q(%q[b, m, h * 4 + g, k] : tensor<4x1x32x128xbf16>)
    k(%k[b, h, n, k floordiv 4] : tensor<4x8x256x32xi32>) quantized(f8E4M3FN)
    v(%k[b, h, n, d floordiv 4] : tensor<4x8x256x32xi32>) quantized(f8E4M3FN)
    scale(0.088)
    -> out[b, m, h * 4 + g, d] : tensor<4x1x32x128xbf16>
  %out4 = attention.sdpa
    q(%q4[b, m, h * 4 + g, k] : tensor<4x4x32x128xbf16>)
    k(%k[b, h, n, k floordiv 4] : tensor<4x8x256x32xi32>) quantized(f8E4M3FN)
    v(%k[b, h, n, d floordiv 4] : tensor<4x8x256x32xi32>) quantized(f8E4M3FN)
    scale(0.088)
    -> out[b, m, h * 4 + g, d] : tensor<4x4x32x128xbf16>
  func.return %out, %out4 : tensor<4x1x32x128xbf16>, tensor<4x4x32x128xbf16>
}

// -----

// 8-bit integers of few sequences: one tile under way, and more programs.
// CHECK: schedule<block_m = 8, block_n = 64, warps = 2, stages = 2, pdl = 1, transposed = 1, assembly = 1>
// 8-bit floats of many sequences in a token-major pool: pairs of heads.
// CHECK: schedule<block_m = 8, block_n = 32, warps = 2, stages = 3, transposed = 1, heads = 2, assembly = 1>
func.func @integers(%q: tensor<4x1x32x128xbf16>, %k: tensor<64x64x8x32xi32>, %s: tensor<64x64x8xf32>, %t: tensor<4x16xi32>, %q32: tensor<32x1x32x128xbf16>, %many: tensor<32x512xi32>) -> (tensor<4x1x32x128xbf16>, tensor<32x1x32x128xbf16>) {
  %out = attention.sdpa
    q(%q[b, m, h * 4 + g, k] : tensor<4x1x32x128xbf16>)
    k(%k[page, slot, h, k floordiv 4] : tensor<64x64x8x32xi32>) quantized(i8)
    k_scale(%s[page, slot, h] : tensor<64x64x8xf32>)
    v(%k[page, slot, h, d floordiv 4] : tensor<64x64x8x32xi32>) quantized(i8)
    v_scale(%s[page, slot, h] : tensor<64x64x8xf32>)
    block_table(%t[b, p] : tensor<4x16xi32>)
    scale(0.088)
    -> out[b, m, h * 4 + g, d] : tensor<4x1x32x128xbf16>
  %out32 = attention.sdpa
    q(%q32[b, m, h * 4 + g, k] : tensor<32x1x32x128xbf16>)
    k(%k[page, slot, h, k floordiv 4] : tensor<64x64x8x32xi32>) quantized(f8E4M3FN)
    v(%k[page, slot, h, d floordiv 4] : tensor<64x64x8x32xi32>) quantized(f8E4M3FN)
    block_table(%many[b, p] : tensor<32x512xi32>)
    scale(0.088)
    -> out[b, m, h * 4 + g, d] : tensor<32x1x32x128xbf16>
  func.return %out, %out32 : tensor<4x1x32x128xbf16>, tensor<32x1x32x128xbf16>
}
