// One decoding step on LightLLM's int4 cache: a token table, two nibbles a byte, a bf16 scale for 8 channels. K has the
// first heads of the pool and V the others, so both are views of it.
func.func @decode(%q: tensor<4x32x128xbf16>, %k: tensor<8192x8x64xi8>, %k_scale: tensor<8192x8x16xbf16>,
                  %v: tensor<8192x8x64xi8>, %v_scale: tensor<8192x8x16xbf16>, %table: tensor<64x2048xi32>,
                  %rows: tensor<4xi32>, %lens: tensor<4xi32>) -> tensor<4x32x128xbf16> {
  %out = attention.sdpa
      q(%q[b, h * 4 + g, k] : tensor<4x32x128xbf16>)
      k(%k[page, h, k floordiv 2] : tensor<8192x8x64xi8>) quantized(u4, zero = 7, round = bf16)
      k_scale(%k_scale[page, h, k floordiv 8] : tensor<8192x8x16xbf16>)
      v(%v[page, h, d floordiv 2] : tensor<8192x8x64xi8>) quantized(u4, zero = 7, round = bf16)
      v_scale(%v_scale[page, h, d floordiv 8] : tensor<8192x8x16xbf16>)
      block_table(%table[row, p] : tensor<64x2048xi32>) rows(%rows[b] : tensor<4xi32>) kv_lens(%lens[b] : tensor<4xi32>)
      scale(0.088388347648318447)
      -> out[b, h * 4 + g, d] : tensor<4x32x128xbf16>
  func.return %out : tensor<4x32x128xbf16>
}
