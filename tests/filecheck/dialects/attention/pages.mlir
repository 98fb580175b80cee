// RUN: xdsl-opt %s | filecheck %s
// RUN: xdsl-opt %s | xdsl-opt | filecheck %s
// RUN: xdsl-opt %s --print-op-generic | xdsl-opt | filecheck %s
// RUN: xdsl-opt %s --print-op-generic | filecheck %s --check-prefix=GENERIC

// Keys in pages: layouts of pools use page and slot in place of n, those of block tables p, and row where rows pick
// the rows of the table. Everything prints as it was written, and the generic form has the four as symbols.

// N = 4 pages of 16 slots; a schedule, lengths and a mask beside the table.

// CHECK-LABEL: func.func @paged
func.func @paged(%q: tensor<2x8x1x64xbf16>, %k: tensor<9x16x2x64xbf16>, %v: tensor<9x16x2x64xbf16>, %t: tensor<2x4xi32>, %lens: tensor<2xi32>) -> tensor<2x8x1x64xbf16> {
  // CHECK-NEXT:  %o = attention.sdpa
  // CHECK-NEXT:      q(%q[b, h * 4 + g, m, k] : tensor<2x8x1x64xbf16>)
  // CHECK-NEXT:      k(%k[page, slot, h, k] : tensor<9x16x2x64xbf16>)
  // CHECK-NEXT:      v(%v[page, slot, h, d] : tensor<9x16x2x64xbf16>)
  // CHECK-NEXT:      block_table(%t[b, p] : tensor<2x4xi32>)
  // CHECK-NEXT:      kv_lens(%lens[b] : tensor<2xi32>)
  // CHECK-NEXT:      scale(1.250000e-01)
  // CHECK-NEXT:      score(causal(n <= m + 63))
  // CHECK-NEXT:      -> out[b, h * 4 + g, m, d] : tensor<2x8x1x64xbf16>
  // GENERIC: "attention.sdpa"(%q, %k, %v, %t, %lens)
  // GENERIC-SAME:   key_layout = affine_map<(d0, d1, d2, d3, d4, d5, d6)[s0, s1, s2, s3] -> (s2, s3, d1, d5)>
  // GENERIC-SAME:   block_table_layout = affine_map<(d0, d1, d2, d3, d4, d5, d6)[s0, s1, s2, s3] -> (d0, s1)>
  // GENERIC-SAME:   operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0>
  %o = attention.sdpa
      q(%q[b, h * 4 + g, m, k] : tensor<2x8x1x64xbf16>)
      k(%k[page, slot, h, k] : tensor<9x16x2x64xbf16>)
      v(%v[page, slot, h, d] : tensor<9x16x2x64xbf16>)
      block_table(%t[b, p] : tensor<2x4xi32>) kv_lens(%lens[b] : tensor<2xi32>)
      scale(0.125) score(causal(n <= m + 63)) -> out[b, h * 4 + g, m, d] : tensor<2x8x1x64xbf16>
  func.return %o : tensor<2x8x1x64xbf16>
}

// A token table, pages of one slot, of which every sequence has the row that rows give it: the cache of a server whose
// requests come and go. Splits are those of contiguous keys.

// CHECK-LABEL: func.func @tokens
func.func @tokens(%q: tensor<3x16xf32>, %kv: tensor<999x16xf32>, %t: tensor<64x128xi64>, %r: tensor<3xi32>, %lens: tensor<3xi32>) -> tensor<3x1x1x2x1x16xf32> {
  // CHECK-NEXT:  %p, %l = attention.partial
  // CHECK-NEXT:      q(%q[b, k] : tensor<3x16xf32>)
  // CHECK-NEXT:      k(%kv[page, k] : tensor<999x16xf32>)
  // CHECK-NEXT:      v(%kv[page, d] : tensor<999x16xf32>)
  // CHECK-NEXT:      block_table(%t[row, p] : tensor<64x128xi64>)
  // CHECK-NEXT:      rows(%r[b] : tensor<3xi32>)
  // CHECK-NEXT:      kv_lens(%lens[b] : tensor<3xi32>)
  // CHECK-NEXT:      splits(2) tile(32)
  %p, %l = attention.partial
      q(%q[b, k] : tensor<3x16xf32>) k(%kv[page, k] : tensor<999x16xf32>) v(%kv[page, d] : tensor<999x16xf32>)
      block_table(%t[row, p] : tensor<64x128xi64>) rows(%r[b] : tensor<3xi32>) kv_lens(%lens[b] : tensor<3xi32>)
      splits(2) tile(32) scale(1.0) -> out : tensor<3x1x1x2x1x16xf32>, lse : tensor<3x1x1x2x1xf32>
  func.return %p : tensor<3x1x1x2x1x16xf32>
}

// Head-major pages, pages and slots in one dimension, contiguous V beside paged K, a table for every head, and a
// dynamic number of pages.

// CHECK-LABEL: func.func @layouts
func.func @layouts(%q: tensor<2x3x16xf32>, %k: tensor<?x3x8x16xf32>, %v: tensor<72x16xf32>, %v2: tensor<2x24x16xf32>, %t: tensor<2x3x3xi32>, %t2: tensor<2x?xi32>) -> tensor<2x3x16xf32> {
  // CHECK:           k(%k[page, h, slot, k] : tensor<?x3x8x16xf32>)
  // CHECK-NEXT:      v(%v[page * 8 + slot, d] : tensor<72x16xf32>)
  // CHECK-NEXT:      block_table(%t[b, h, p] : tensor<2x3x3xi32>)
  %o = attention.sdpa
      q(%q[b, h, k] : tensor<2x3x16xf32>) k(%k[page, h, slot, k] : tensor<?x3x8x16xf32>)
      v(%v[page * 8 + slot, d] : tensor<72x16xf32>) block_table(%t[b, h, p] : tensor<2x3x3xi32>)
      scale(1.0) -> out[b, h, d] : tensor<2x3x16xf32>
  // CHECK:           k(%k[page, h, slot, k] : tensor<?x3x8x16xf32>)
  // CHECK-NEXT:      v(%v2[b, n, d] : tensor<2x24x16xf32>)
  // CHECK-NEXT:      block_table(%t2[b, p] : tensor<2x?xi32>)
  %o2 = attention.sdpa
      q(%q[b, h, k] : tensor<2x3x16xf32>) k(%k[page, h, slot, k] : tensor<?x3x8x16xf32>)
      v(%v2[b, n, d] : tensor<2x24x16xf32>) block_table(%t2[b, p] : tensor<2x?xi32>)
      scale(1.0) -> out[b, h, d] : tensor<2x3x16xf32>
  func.return %o2 : tensor<2x3x16xf32>
}
