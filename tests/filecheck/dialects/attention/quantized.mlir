// RUN: xdsl-opt %s | filecheck %s
// RUN: xdsl-opt %s | xdsl-opt | filecheck %s
// RUN: xdsl-opt %s --print-op-generic | xdsl-opt | filecheck %s
// RUN: xdsl-opt %s --print-op-generic | filecheck %s --check-prefix=GENERIC

// K and V that are codes: the operand's layout says which element holds the code of a channel, `quantized` how a code
// is read, further clauses what scales it. Everything prints as it was written.

// LightLLM's int4: two nibbles a byte, groups of 8 channels; value = bf16((nibble - 7) * scale).

// CHECK-LABEL: func.func @lightllm
func.func @lightllm(%q: tensor<2x8x128xbf16>, %pool: tensor<99x2x64xi8>, %s: tensor<99x2x16xbf16>, %t: tensor<2x50xi32>) -> tensor<2x8x128xbf16> {
  // CHECK-NEXT:  %o = attention.sdpa
  // CHECK-NEXT:      q(%q[b, h * 4 + g, k] : tensor<2x8x128xbf16>)
  // CHECK-NEXT:      k(%pool[page, h, k floordiv 2] : tensor<99x2x64xi8>) quantized(u4, zero = 7, round = bf16)
  // CHECK-NEXT:      k_scale(%s[page, h, k floordiv 8] : tensor<99x2x16xbf16>)
  // CHECK-NEXT:      v(%pool[page, h, d floordiv 2] : tensor<99x2x64xi8>) quantized(u4, zero = 7, round = bf16)
  // CHECK-NEXT:      v_scale(%s[page, h, d floordiv 8] : tensor<99x2x16xbf16>)
  // CHECK-NEXT:      block_table(%t[b, p] : tensor<2x50xi32>)
  // CHECK-NEXT:      scale(1.000000e+00)
  // GENERIC: "attention.sdpa"(%q, %pool, %s, %pool, %s, %t)
  // GENERIC-SAME:   key_layout = affine_map<(d0, d1, d2, d3, d4, d5, d6)[s0, s1, s2, s3] -> (s2, d1, (d5 floordiv 2))>
  // GENERIC-SAME:   key_quantization = #attention.quantization<u4, zero = 7, round = bf16>
  // GENERIC-SAME:   operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 1, 1, 0, 0, 1, 0, 0, 0, 0>
  %o = attention.sdpa q(%q[b, h * 4 + g, k] : tensor<2x8x128xbf16>)
      k(%pool[page, h, k floordiv 2] : tensor<99x2x64xi8>) quantized(u4, zero = 7, round = bf16)
      k_scale(%s[page, h, k floordiv 8] : tensor<99x2x16xbf16>)
      v(%pool[page, h, d floordiv 2] : tensor<99x2x64xi8>) quantized(u4, zero = 7, round = bf16)
      v_scale(%s[page, h, d floordiv 8] : tensor<99x2x16xbf16>)
      block_table(%t[b, p] : tensor<2x50xi32>) scale(1.0) -> out[b, h * 4 + g, d] : tensor<2x8x128xbf16>
  func.return %o : tensor<2x8x128xbf16>
}

// KIVI: eight nibbles a word; K for each channel and 32 keys, V for each key and 32 channels; value = code * scale +
// offset. A planar order for V. Flash decoding carries all of it.

// CHECK-LABEL: func.func @kivi
func.func @kivi(%q: tensor<2x128xf16>, %k: tensor<2x96x16xi32>, %ks: tensor<2x3x128xf16>, %vs: tensor<2x96x4xf16>) -> tensor<2x1x1x2x1x128xf32> {
  // CHECK:           k(%k[b, n, k floordiv 8] : tensor<2x96x16xi32>) quantized(u4)
  // CHECK-NEXT:      k_scale(%ks[b, n floordiv 32, k] : tensor<2x3x128xf16>)
  // CHECK-NEXT:      k_offset(%ks[b, n floordiv 32, k] : tensor<2x3x128xf16>)
  // CHECK-NEXT:      v(%k[b, n, d mod 16] : tensor<2x96x16xi32>) quantized(u4)
  // CHECK-NEXT:      v_scale(%vs[b, n, d floordiv 32] : tensor<2x96x4xf16>)
  // CHECK-NEXT:      v_offset(%vs[b, n, d floordiv 32] : tensor<2x96x4xf16>)
  // CHECK-NEXT:      splits(2) tile(32)
  %p, %l = attention.partial q(%q[b, k] : tensor<2x128xf16>)
      k(%k[b, n, k floordiv 8] : tensor<2x96x16xi32>) quantized(u4)
      k_scale(%ks[b, n floordiv 32, k] : tensor<2x3x128xf16>) k_offset(%ks[b, n floordiv 32, k] : tensor<2x3x128xf16>)
      v(%k[b, n, d mod 16] : tensor<2x96x16xi32>) quantized(u4)
      v_scale(%vs[b, n, d floordiv 32] : tensor<2x96x4xf16>) v_offset(%vs[b, n, d floordiv 32] : tensor<2x96x4xf16>)
      splits(2) tile(32) scale(1.0) -> out : tensor<2x1x1x2x1x128xf32>, lse : tensor<2x1x1x2x1xf32>
  func.return %p : tensor<2x1x1x2x1x128xf32>
}

// 8-bit floats, as such and as bytes, with a scale for each head and one for the tensor; int8 with zero points for
// groups of 4 slots of a page; codes without a scale beside a V of floats; heads and groups in one dimension.

// CHECK-LABEL: func.func @others
func.func @others(%q: tensor<2x4x64xbf16>, %k: tensor<2x32x2x64xf8E4M3FN>, %v: tensor<2x32x2x64xi8>, %hs: tensor<2xf32>, %s: tensor<f32>, %pool: tensor<9x16x2x64xi8>, %z: tensor<9x4x2xi8>, %t: tensor<2x2xi32>, %f: tensor<2x32x2x64xf16>, %gs: tensor<2x32x16xf32>) {
  // CHECK:           k(%k[b, n, h, k] : tensor<2x32x2x64xf8E4M3FN>) quantized(f8E4M3FN)
  // CHECK-NEXT:      k_scale(%hs[h] : tensor<2xf32>)
  // CHECK-NEXT:      v(%v[b, n, h, d] : tensor<2x32x2x64xi8>) quantized(f8E5M2, round = bf16)
  // CHECK-NEXT:      v_scale(%s[] : tensor<f32>)
  %0 = attention.sdpa q(%q[b, h * 2 + g, k] : tensor<2x4x64xbf16>)
      k(%k[b, n, h, k] : tensor<2x32x2x64xf8E4M3FN>) quantized(f8E4M3FN) k_scale(%hs[h] : tensor<2xf32>)
      v(%v[b, n, h, d] : tensor<2x32x2x64xi8>) quantized(f8E5M2, round = bf16) v_scale(%s[] : tensor<f32>)
      scale(1.0) -> out[b, h * 2 + g, d] : tensor<2x4x64xbf16>
  // CHECK:           k(%pool[page, slot, h, k] : tensor<9x16x2x64xi8>) quantized(i8)
  // CHECK-NEXT:      k_zero(%z[page, slot floordiv 4, h] : tensor<9x4x2xi8>)
  // CHECK-NEXT:      v(%f[b, n, h, d] : tensor<2x32x2x64xf16>)
  // CHECK-NEXT:      block_table
  %1 = attention.sdpa q(%q[b, h * 2 + g, k] : tensor<2x4x64xbf16>)
      k(%pool[page, slot, h, k] : tensor<9x16x2x64xi8>) quantized(i8)
      k_zero(%z[page, slot floordiv 4, h] : tensor<9x4x2xi8>) v(%f[b, n, h, d] : tensor<2x32x2x64xf16>)
      block_table(%t[b, p] : tensor<2x2xi32>) scale(1.0) -> out[b, h * 2 + g, d] : tensor<2x4x64xbf16>
  // CHECK:           k_scale(%gs[b, n, h * 8 + k floordiv 8] : tensor<2x32x16xf32>)
  %2 = attention.sdpa q(%q[b, h * 2 + g, k] : tensor<2x4x64xbf16>)
      k(%v[b, n, h, k] : tensor<2x32x2x64xi8>) quantized(i8)
      k_scale(%gs[b, n, h * 8 + k floordiv 8] : tensor<2x32x16xf32>) v(%f[b, n, h, d] : tensor<2x32x2x64xf16>)
      scale(1.0) -> out[b, h * 2 + g, d] : tensor<2x4x64xbf16>
  func.return
}
