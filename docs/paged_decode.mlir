func.func @decode(%q: tensor<4x32x1x128xbf16>, %k: tensor<512x64x8x128xbf16>, %v: tensor<512x64x8x128xbf16>, %table: tensor<4x100xi32>, %lens: tensor<4xi32>) -> tensor<4x32x1x128xbf16> {
  %out = attention.sdpa
      q(%q[b, h * 4 + g, m, k] : tensor<4x32x1x128xbf16>)
      k(%k[page, slot, h, k] : tensor<512x64x8x128xbf16>)
      v(%v[page, slot, h, d] : tensor<512x64x8x128xbf16>)
      block_table(%table[b, p] : tensor<4x100xi32>)
      kv_lens(%lens[b] : tensor<4xi32>)
      scale(0.08838834764831845)
      -> out[b, h * 4 + g, m, d] : tensor<4x32x1x128xbf16>
  func.return %out : tensor<4x32x1x128xbf16>
}
