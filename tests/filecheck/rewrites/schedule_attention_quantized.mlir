// RUN: xdsl-opt %s -p schedule-attention --split-input-file | filecheck %s
// RUN: xdsl-opt %s -p 'schedule-attention{target=mi300x}' --split-input-file | filecheck %s --check-prefix AMD
// RUN: xdsl-opt %s -p 'schedule-attention{target=h200}' --split-input-file | filecheck %s --check-prefix H200

// Decode steps on quantised K and V, by where codes and scales lie: assembly and tiles that lie transposed on NVIDIA's
// GPUs; mostly one warp; pairs of heads where tokens lie outside of heads and values have scales of their own; dots in
// f16 for codes of 8 bits. Launches overlap for 8-bit floats alone. The other target has no assembly, and tiles as for
// floats.

// LightLLM's int4.
// CHECK: schedule<block_m = 8, block_n = 32, warps = 2, stages = 3, transposed = 1, heads = 2, assembly = 1>
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
// CHECK: schedule<block_m = 8, block_n = 32, warps = 1, stages = 3, transposed = 1, assembly = 1>
// Two warps for few sequences, of which one warp would take many splits.
// CHECK: schedule<block_m = 8, block_n = 64, warps = 2, stages = 3, transposed = 1, assembly = 1>
func.func @head_major(%q: tensor<4x1x32x128xbf16>, %k: tensor<64x8x64x16xi32>, %s: tensor<64x8x64x16xbf16>, %t: tensor<4x16xi32>, %q1: tensor<1x32x128xbf16>, %t1: tensor<64xi32>) -> (tensor<4x1x32x128xbf16>, tensor<1x32x128xbf16>) {
  %out = attention.sdpa
    q(%q[b, m, h * 4 + g, k] : tensor<4x1x32x128xbf16>)
    k(%k[page, h, slot, k floordiv 8] : tensor<64x8x64x16xi32>) quantized(u4, zero = 7, round = bf16)
    k_scale(%s[page, h, slot, k floordiv 8] : tensor<64x8x64x16xbf16>)
    v(%k[page, h, slot, d floordiv 8] : tensor<64x8x64x16xi32>) quantized(u4, zero = 7, round = bf16)
    v_scale(%s[page, h, slot, d floordiv 8] : tensor<64x8x64x16xbf16>)
    block_table(%t[b, p] : tensor<4x16xi32>)
    scale(0.088)
    -> out[b, m, h * 4 + g, d] : tensor<4x1x32x128xbf16>
  %out1 = attention.sdpa
    q(%q1[m, h * 4 + g, k] : tensor<1x32x128xbf16>)
    k(%k[page, h, slot, k floordiv 8] : tensor<64x8x64x16xi32>) quantized(u4, zero = 7, round = bf16)
    k_scale(%s[page, h, slot, k floordiv 8] : tensor<64x8x64x16xbf16>)
    v(%k[page, h, slot, d floordiv 8] : tensor<64x8x64x16xi32>) quantized(u4, zero = 7, round = bf16)
    v_scale(%s[page, h, slot, d floordiv 8] : tensor<64x8x64x16xbf16>)
    block_table(%t1[p] : tensor<64xi32>)
    scale(0.088)
    -> out[m, h * 4 + g, d] : tensor<1x32x128xbf16>
  func.return %out, %out1 : tensor<4x1x32x128xbf16>, tensor<1x32x128xbf16>
}

// -----

// A scale for each key and head.
// CHECK: schedule<block_m = 8, block_n = 64, warps = 1, stages = 3, transposed = 1, assembly = 1>
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

// 8-bit floats: a warp for each scheduler, with two tiles under way, and launches that overlap; no transposed tiles for more than 8 rows.
// CHECK: schedule<block_m = 8, block_n = 32, warps = 1, stages = 3, pdl = 1, transposed = 1, assembly = 1, half = 1>
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

// 8-bit integers of few sequences.
// CHECK: schedule<block_m = 8, block_n = 32, warps = 1, stages = 3, transposed = 1, assembly = 1, half = 1>
// 8-bit floats: many sequences make twice as many programs, which then need one tile under way each; a faster memory needs two.
// CHECK: schedule<block_m = 8, block_n = 32, warps = 2, stages = 2, pdl = 1, transposed = 1, assembly = 1, half = 1>
// H200-LABEL: func.func @integers
// H200: schedule<block_m = 8, block_n = 32, warps = 1, stages = 3, transposed = 1, assembly = 1, half = 1>
// H200: schedule<block_m = 8, block_n = 32, warps = 1, stages = 3, pdl = 1, transposed = 1, assembly = 1, half = 1>
func.func @integers(%q: tensor<4x1x32x128xbf16>, %k: tensor<64x64x8x32xi32>, %s: tensor<64x64x8xf32>, %t: tensor<4x16xi32>, %q128: tensor<128x1x32x128xbf16>, %many: tensor<128x512xi32>) -> (tensor<4x1x32x128xbf16>, tensor<128x1x32x128xbf16>) {
  %out = attention.sdpa
    q(%q[b, m, h * 4 + g, k] : tensor<4x1x32x128xbf16>)
    k(%k[page, slot, h, k floordiv 4] : tensor<64x64x8x32xi32>) quantized(i8)
    k_scale(%s[page, slot, h] : tensor<64x64x8xf32>)
    v(%k[page, slot, h, d floordiv 4] : tensor<64x64x8x32xi32>) quantized(i8)
    v_scale(%s[page, slot, h] : tensor<64x64x8xf32>)
    block_table(%t[b, p] : tensor<4x16xi32>)
    scale(0.088)
    -> out[b, m, h * 4 + g, d] : tensor<4x1x32x128xbf16>
  %out128 = attention.sdpa
    q(%q128[b, m, h * 4 + g, k] : tensor<128x1x32x128xbf16>)
    k(%k[page, slot, h, k floordiv 4] : tensor<64x64x8x32xi32>) quantized(f8E4M3FN)
    v(%k[page, slot, h, d floordiv 4] : tensor<64x64x8x32xi32>) quantized(f8E4M3FN)
    block_table(%many[b, p] : tensor<128x512xi32>)
    scale(0.088)
    -> out[b, m, h * 4 + g, d] : tensor<128x1x32x128xbf16>
  func.return %out, %out128 : tensor<4x1x32x128xbf16>, tensor<128x1x32x128xbf16>
}
