// RUN: xdsl-opt %s -p flash-decoding{splits=3} | filecheck %s --check-prefix=SPLIT
// RUN: xdsl-opt %s -p outline-attention | filecheck %s --check-prefix=OUTLINE
// RUN: xdsl-opt %s -p decompose-attention | filecheck %s --check-prefix=PLAIN
// RUN: xdsl-opt %s -p flash-decoding{splits=2},decompose-attention | filecheck %s --check-prefix=EVEN

// Passes on keys in pages: two sequences of up to 4 pages of 16 keys, rows of a table of 5, head-major K.

func.func @main(%q: tensor<2x4x8xf32>, %k: tensor<9x2x16x8xf32>, %v: tensor<9x16x2x8xf32>, %t: tensor<5x4xi32>, %r: tensor<2xi32>) -> tensor<2x4x8xf32> {
  %y = "stablehlo.add"(%q, %q) : (tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %o = attention.sdpa
      q(%y[b, h * 2 + g, k] : tensor<2x4x8xf32>)
      k(%k[page, h, slot, k] : tensor<9x2x16x8xf32>)
      v(%v[page, slot, h, d] : tensor<9x16x2x8xf32>)
      block_table(%t[row, p] : tensor<5x4xi32>)
      rows(%r[b] : tensor<2xi32>)
      scale(1.0)
      schedule<block_m = 16, block_n = 32, warps = 4, stages = 2>
      -> out[b, h * 2 + g, d] : tensor<2x4x8xf32>
  func.return %o : tensor<2x4x8xf32>
}

// Splits share out tiles of keys, whatever pages these lie in.
// SPLIT:       attention.partial
// SPLIT:           k(%k[page, h, slot, k] : tensor<9x2x16x8xf32>)
// SPLIT:           block_table(%t[row, p] : tensor<5x4xi32>)
// SPLIT-NEXT:      rows(%r[b] : tensor<2xi32>)
// SPLIT-NEXT:      splits(3) tile(32)
// SPLIT:       attention.combine

// Table and rows are arguments of the kernel.
// OUTLINE:     func.call @main_attention_0(%y, %k, %v, %t, %r)
// OUTLINE:     func.func private @main_attention_0(%q: tensor<2x4x8xf32>, %k: tensor<9x2x16x8xf32>, %v: tensor<9x16x2x8xf32>,
// OUTLINE-SAME:    %block_table: tensor<5x4xi32>, %rows: tensor<2xi32>)
// OUTLINE:         block_table(%block_table[row, p] : tensor<5x4xi32>)
// OUTLINE-NEXT:    rows(%rows[b] : tensor<2xi32>)

// pages[b, p] = t[r[b], p];  K[b, h, p * 16 + slot] = k[pages[b, p], h, slot]: two gathers and a reshape.
// PLAIN:       %pages = "stablehlo.gather"(%t, %r) <{dimension_numbers = #stablehlo.gather<offset_dims = [1], collapsed_slice_dims = [0], start_index_map = [0], index_vector_dim = 1>, slice_sizes = array<i64: 1, 4>}> : (tensor<5x4xi32>, tensor<2xi32>) -> tensor<2x4xi32>
// PLAIN-NEXT:  %v_1 = "stablehlo.gather"(%v, %pages) {{.*}} slice_sizes = array<i64: 1, 16, 2, 8>}> : (tensor<9x16x2x8xf32>, tensor<2x4xi32>) -> tensor<2x4x16x2x8xf32>
// PLAIN-NEXT:  %v_2 = "stablehlo.transpose"(%v_1) <{permutation = array<i64: 0, 3, 1, 2, 4>}> : (tensor<2x4x16x2x8xf32>) -> tensor<2x2x4x16x8xf32>
// PLAIN-NEXT:  %v_3 = "stablehlo.reshape"(%v_2) : (tensor<2x2x4x16x8xf32>) -> tensor<2x2x64x8xf32>
// PLAIN:       %k_1 = "stablehlo.gather"(%k, %pages) {{.*}} slice_sizes = array<i64: 1, 2, 16, 8>}> : (tensor<9x2x16x8xf32>, tensor<2x4xi32>) -> tensor<2x4x2x16x8xf32>
// PLAIN:       %scores = "stablehlo.dot_general"

// Two splits of one tile each: the pages become [split, n] = [2, 32] at once.
// EVEN:        "stablehlo.reshape"({{%.+}}) : (tensor<2x2x4x16x8xf32>) -> tensor<2x2x2x32x8xf32>
