// RUN: xdsl-opt %s | filecheck %s
// RUN: xdsl-opt %s | xdsl-opt | filecheck %s
// RUN: xdsl-opt %s --print-op-generic | xdsl-opt | filecheck %s
// RUN: xdsl-opt %s --print-op-generic | filecheck %s --check-prefix=GENERIC

// Intervals of keys for a block of queries m0 <= m < m1: affine maps over (m0, m1), with symbols for numbers that are
// read from outside. A lower bound is a maximum over maps of a minimum over results, an upper one the other way round.

// CHECK-LABEL: func.func @every_form
func.func @every_form(%q: tensor<2x4x8xf32>, %k: tensor<2x9x8xf32>, %lens: tensor<2xi64>, %off: index)
    -> tensor<2x4x8xf32> {
  // CHECK:           score(causal(n <= m + 5))
  // CHECK-NEXT:      reach(max(m0 - 3, min(0, s0)) <= n < min(m1 + 5, max(s1 - 2 * m0, 16 * ((m1 - 1) floordiv 16) + 16)))
  // CHECK-NEXT:      unmasked(n < m0 + 6)
  // CHECK-NEXT:      scalars(%lens[b] : tensor<2xi64>, %off : index)
  // CHECK-NEXT:      schedule<block_m = 16, block_n = 64, warps = 4, stages = 2>
  // CHECK-NEXT:      -> out[b, m, d] : tensor<2x4x8xf32>
  // GENERIC:      reach = #attention.keys<max(m0 - 3, min(0, s0)) <= n < min(m1 + 5,
  // GENERIC-SAME: unmasked = #attention.keys<n < m0 + 6>
  // GENERIC-SAME: bound_scalar_layouts = [affine_map<(d0, d1, d2, d3, d4, d5, d6) -> (d0)>, affine_map<(d0, d1, d2, d3, d4, d5, d6) -> ()>]
  %o = attention.sdpa
      q(%q[b, m, k] : tensor<2x4x8xf32>) k(%k[b, n, k] : tensor<2x9x8xf32>) v(%k[b, n, d] : tensor<2x9x8xf32>)
      scale(1.0)
      score(causal(n <= m + 5))
      reach(max(m0 - 3, min(0, s0)) <= n < min(5 + m1, max(-2 * m0 + s1, ((m1 - 1) floordiv 16) * 16 + 16)))
      unmasked(n < m0 + 6)
      scalars(%lens[b] : tensor<2xi64>, %off : index)
      schedule<block_m = 16, block_n = 64, warps = 4, stages = 2>
      -> out[b, m, d] : tensor<2x4x8xf32>
  func.return %o : tensor<2x4x8xf32>
}

// A lower bound alone, and equal terms added up.

// CHECK-LABEL: func.func @lower
func.func @lower(%q: tensor<4x8xf32>) -> (tensor<1x1x2x4x8xf32>, tensor<1x1x2x4xf32>) {
  // CHECK:           reach(2 * m0 - 3 <= n)
  %p, %l = attention.partial q(%q[m, k] : tensor<4x8xf32>) k(%q[n, k] : tensor<4x8xf32>) v(%q[n, d] : tensor<4x8xf32>)
      splits(2) tile(16) scale(1.0) reach(m0 - 1 + m0 - 2 <= n)
      -> out : tensor<1x1x2x4x8xf32>, lse : tensor<1x1x2x4xf32>
  func.return %p, %l : tensor<1x1x2x4x8xf32>, tensor<1x1x2x4xf32>
}

// The attribute by itself.

// CHECK:       attributes {interval = #attention.keys<m0 <= n < s0>}
func.func @attribute() attributes {interval = #attention.keys<m0 <= n < s0>} {
  func.return
}
