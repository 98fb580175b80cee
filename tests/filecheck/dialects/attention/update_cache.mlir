// RUN: xdsl-opt %s | xdsl-opt | filecheck %s
// RUN: xdsl-opt %s --print-op-generic | xdsl-opt | filecheck %s

// The printed form of `attention.update_cache`: one for every kind of cache, and each part of the description. Results
// have the types of what is updated, so they are not printed.

// LightLLM's int4: pools of single slots, slot numbers, symmetric scales of 8 channels, quotients towards zero.
func.func @lightllm(%x: tensor<7x8x128xbf16>, %pool: tensor<99x8x64xi8>, %s: tensor<99x8x16xbf16>, %to: tensor<7xi64>) -> (tensor<99x8x64xi8>, tensor<99x8x16xbf16>) {
  %c, %d = attention.update_cache
      new(%x[m, h, k] : tensor<7x8x128xbf16>)
      cache(%pool[page, h, k floordiv 2] : tensor<99x8x64xi8>) quantized(u4, zero = 7, round = bf16)
      cache_scale(%s[page, h, k floordiv 8] : tensor<99x8x16xbf16>)
      slots(%to[m] : tensor<7xi64>)
      quantizer(symmetric, toward_zero)
  func.return %c, %d : tensor<99x8x64xi8>, tensor<99x8x16xbf16>
}
// CHECK-LABEL: @lightllm
// CHECK-NEXT:    %c, %d = attention.update_cache
// CHECK-NEXT:        new(%x[m, h, k] : tensor<7x8x128xbf16>)
// CHECK-NEXT:        cache(%pool[page, h, k floordiv 2] : tensor<99x8x64xi8>) quantized(u4, zero = 7, round = bf16)
// CHECK-NEXT:        cache_scale(%s[page, h, k floordiv 8] : tensor<99x8x16xbf16>)
// CHECK-NEXT:        slots(%to[m] : tensor<7xi64>)
// CHECK-NEXT:        quantizer(symmetric, toward_zero)
// CHECK-NEXT:    func.return %c, %d : tensor<99x8x64xi8>, tensor<99x8x16xbf16>

// KIVI's K: scales and offsets of 32 tokens for each channel, in pages of 64 that a block table lists; planar words.
func.func @kivi(%x: tensor<2x4x32x64xf16>, %pool: tensor<9x4x64x8xi32>, %s: tensor<9x4x2x64xf32>, %o: tensor<9x4x2x64xf32>, %t: tensor<5x3xi32>, %r: tensor<2xi32>, %at: tensor<2xi32>) -> tensor<9x4x2x64xf32> {
  %c, %d, %e = attention.update_cache
      new(%x[b, h, m, k] : tensor<2x4x32x64xf16>)
      cache(%pool[page, h, slot, k mod 8] : tensor<9x4x64x8xi32>) quantized(u4)
      cache_scale(%s[page, h, slot floordiv 32, k] : tensor<9x4x2x64xf32>)
      cache_offset(%o[page, h, slot floordiv 32, k] : tensor<9x4x2x64xf32>)
      block_table(%t[row, p] : tensor<5x3xi32>) rows(%r[b] : tensor<2xi32>) positions(%at[b] : tensor<2xi32>)
      quantizer(asymmetric, to_nearest_even)
  func.return %e : tensor<9x4x2x64xf32>
}
// CHECK-LABEL: @kivi
// CHECK-NEXT:    %c, %d, %e = attention.update_cache
// CHECK-NEXT:        new(%x[b, h, m, k] : tensor<2x4x32x64xf16>)
// CHECK-NEXT:        cache(%pool[page, h, slot, k mod 8] : tensor<9x4x64x8xi32>) quantized(u4)
// CHECK-NEXT:        cache_scale(%s[page, h, slot floordiv 32, k] : tensor<9x4x2x64xf32>)
// CHECK-NEXT:        cache_offset(%o[page, h, slot floordiv 32, k] : tensor<9x4x2x64xf32>)
// CHECK-NEXT:        block_table(%t[row, p] : tensor<5x3xi32>)
// CHECK-NEXT:        rows(%r[b] : tensor<2xi32>)
// CHECK-NEXT:        positions(%at[b] : tensor<2xi32>)
// CHECK-NEXT:        quantizer(asymmetric, to_nearest_even)
// CHECK-NEXT:    func.return %e

// V as 8-bit floats with a given scale for each head; the cache alone is a result.
func.func @given(%x: tensor<2x1x4x64xbf16>, %v: tensor<2x4x50x64xf8E4M3FN>, %s: tensor<4xf32>, %at: tensor<2x1xi32>) -> tensor<2x4x50x64xf8E4M3FN> {
  %c = attention.update_cache
      new(%x[b, m, h, d] : tensor<2x1x4x64xbf16>)
      cache(%v[b, h, n, d] : tensor<2x4x50x64xf8E4M3FN>) quantized(f8E4M3FN)
      cache_scale(%s[h] : tensor<4xf32>)
      positions(%at[b, m] : tensor<2x1xi32>)
      quantizer(given, to_nearest_even) attributes {note = "kept"}
  func.return %c : tensor<2x4x50x64xf8E4M3FN>
}
// CHECK-LABEL: @given
// CHECK-NEXT:    %c = attention.update_cache
// CHECK:             cache_scale(%s[h] : tensor<4xf32>)
// CHECK-NEXT:        positions(%at[b, m] : tensor<2x1xi32>)
// CHECK-NEXT:        quantizer(given, to_nearest_even)
// CHECK-NEXT:        attributes {note = "kept"}

// Floats into floats: no quantizer.
func.func @plain(%x: tensor<?x4x?x64xf32>, %k: tensor<?x?x4x64xf16>, %at: tensor<?xi32>) -> tensor<?x?x4x64xf16> {
  %c = attention.update_cache
      new(%x[b, h, m, k] : tensor<?x4x?x64xf32>)
      cache(%k[b, n, h, k] : tensor<?x?x4x64xf16>)
      positions(%at[b] : tensor<?xi32>)
  func.return %c : tensor<?x?x4x64xf16>
}
// CHECK-LABEL: @plain
// CHECK:             cache(%k[b, n, h, k] : tensor<?x?x4x64xf16>)
// CHECK-NEXT:        positions(%at[b] : tensor<?xi32>)
// CHECK-NEXT:    func.return %c

// The attribute has a form of its own too.
// CHECK: "test.op"() {quantizer = #attention.quantizer<asymmetric, toward_zero>}
"test.op"() {quantizer = #attention.quantizer<asymmetric, toward_zero>} : () -> ()
