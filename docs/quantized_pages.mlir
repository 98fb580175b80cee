// A decode step on int4 pages: four codes of a head of 64 in each i16, a bf16 scale for each eight of them.
func.func @decode(%q: tensor<2x8x64xbf16>, %k: tensor<99x64x2x16xi16>, %ks: tensor<99x64x2x8xbf16>, %v: tensor<99x64x2x16xi16>, %vs: tensor<99x64x2x8xbf16>, %table: tensor<2x32xi32>, %lens: tensor<2xi32>) -> tensor<2x8x64xbf16> {
  %out = attention.sdpa
      q(%q[b, h * 4 + g, k] : tensor<2x8x64xbf16>)
      k(%k[page, slot, h, k floordiv 4] : tensor<99x64x2x16xi16>) quantized(u4, zero = 7, round = bf16)
      k_scale(%ks[page, slot, h, k floordiv 8] : tensor<99x64x2x8xbf16>)
      v(%v[page, slot, h, d floordiv 4] : tensor<99x64x2x16xi16>) quantized(u4, zero = 7, round = bf16)
      v_scale(%vs[page, slot, h, d floordiv 8] : tensor<99x64x2x8xbf16>)
      block_table(%table[b, p] : tensor<2x32xi32>) kv_lens(%lens[b] : tensor<2xi32>)
      scale(0.125) schedule<block_m = 16, block_n = 32, warps = 1, stages = 3>
      -> out[b, h * 4 + g, d] : tensor<2x8x64xbf16>
  func.return %out : tensor<2x8x64xbf16>
}
