// RUN: xdsl-opt %s -p 'convert-attention-to-nki{arrangement=keys}' -t nki-cost | filecheck %s
// RUN: xdsl-opt %s -p 'convert-attention-to-nki{arrangement=keys target=trn1}' -t nki-cost | filecheck %s --check-prefix=TRN1

// The cache of cost.mlir in pages of 16 slots, of a pool of 2,000: of it, the 1,024 pages that the table lists are least.
// Entries of the table are all that moves beside keys and values, and what numbers the rows runs on GpSimd or is small.

func.func @decode(%q: tensor<4x32x1x128xbf16>, %k: tensor<2000x16x8x128xbf16>, %v: tensor<2000x16x8x128xbf16>, %table: tensor<4x256xi32>, %lens: tensor<4xi32>) -> tensor<4x32x1x128xbf16> {
  %0 = attention.sdpa
      q(%q[b, h * 4 + g, m, k] : tensor<4x32x1x128xbf16>)
      k(%k[page, slot, h, k] : tensor<2000x16x8x128xbf16>)
      v(%v[page, slot, h, d] : tensor<2000x16x8x128xbf16>)
      block_table(%table[b, p] : tensor<4x256xi32>)
      kv_lens(%lens[b] : tensor<4xi32>)
      scale(0.088)
      -> out[b, h * 4 + g, m, d] : tensor<4x32x1x128xbf16>
  func.return %0 : tensor<4x32x1x128xbf16>
}

// CHECK:      decode on trn2
// CHECK:      Vector
// CHECK-NEXT: Scalar
// CHECK:      least bytes 67178512, moved 1.00 times that
// TRN1:       decode on trn1
// TRN1:       least bytes 67178512, moved 1.00 times that
