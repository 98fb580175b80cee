func.func @append(%k: tensor<32x8x1x128xbf16>, %pool: tensor<4096x8x64xi8>, %scale: tensor<4096x8x16xbf16>, %slots: tensor<32x1xi32>) -> (tensor<4096x8x64xi8>, tensor<4096x8x16xbf16>) {
  %new_pool, %new_scale = attention.update_cache
      new(%k[b, h, m, k] : tensor<32x8x1x128xbf16>)
      cache(%pool[page, h, k floordiv 2] : tensor<4096x8x64xi8>) quantized(u4, zero = 7, round = bf16)
      cache_scale(%scale[page, h, k floordiv 8] : tensor<4096x8x16xbf16>)
      slots(%slots[b, m] : tensor<32x1xi32>)
      quantizer(symmetric, toward_zero)
  func.return %new_pool, %new_scale : tensor<4096x8x64xi8>, tensor<4096x8x16xbf16>
}
