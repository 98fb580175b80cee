// RUN: xdsl-opt %s -p 'convert-attention-to-nki{target=trn1}' --verify-diagnostics | filecheck %s --check-prefix=TRN1
// RUN: xdsl-opt %s -p 'convert-attention-to-nki{target=trn2}' --verify-diagnostics | filecheck %s --check-prefix=TRN2

// Locks in that pools with more pages or rows than f32 counts are refused: their numbers are computed in it.

// TRN1: a pool of 16777217 pages, but NKI kernels for trn1 number up to 16777216: make it smaller
// TRN2: a tensor of type !nki.tile<16777217x1x8xf32, shared_hbm> has more than 16777216 rows of 8 elements
func.func @many_pages(%q: tensor<2x1x8xf32>, %k: tensor<16777217x1x8xf32>, %v: tensor<16777217x1x8xf32>, %table: tensor<2x9xi32>, %lens: tensor<2xi32>) -> tensor<2x1x8xf32> {
  %out = attention.sdpa
      q(%q[b, m, k] : tensor<2x1x8xf32>)
      k(%k[page, slot, k] : tensor<16777217x1x8xf32>)
      v(%v[page, slot, d] : tensor<16777217x1x8xf32>)
      block_table(%table[b, p] : tensor<2x9xi32>)
      kv_lens(%lens[b] : tensor<2xi32>)
      scale(1.0)
      -> out[b, m, d] : tensor<2x1x8xf32>
  func.return %out : tensor<2x1x8xf32>
}
