// RUN: xdsl-opt %s -p fuse-attention | filecheck %s

// `attention.sdpa` that is there before the pass, as ONNX's Attention comes in. What holds for the groups that the pass
// finds holds for it: views are layouts, and a mask that is a formula of indices is a formula.

// CHECK-LABEL: builtin.module

// Tokens before heads on both sides, V with its heads in the last dimension, and O too:
//   O[b, m, h * 16 + g * 8 + d]
func.func @views(%q: tensor<2x7x4x8xf32>, %k: tensor<2x7x2x8xf32>, %v: tensor<2x7x16xf32>) -> tensor<2x7x32xf32> {
  %qt = "stablehlo.transpose"(%q) <{permutation = array<i64: 0, 2, 1, 3>}> : (tensor<2x7x4x8xf32>) -> tensor<2x4x7x8xf32>
  %kt = "stablehlo.transpose"(%k) <{permutation = array<i64: 0, 2, 1, 3>}> : (tensor<2x7x2x8xf32>) -> tensor<2x2x7x8xf32>
  %vs = "stablehlo.reshape"(%v) : (tensor<2x7x16xf32>) -> tensor<2x7x2x8xf32>
  %vt = "stablehlo.transpose"(%vs) <{permutation = array<i64: 0, 2, 1, 3>}> : (tensor<2x7x2x8xf32>) -> tensor<2x2x7x8xf32>
  %o = attention.sdpa
      q(%qt[b, h * 2 + g, m, k] : tensor<2x4x7x8xf32>)
      k(%kt[b, h, n, k] : tensor<2x2x7x8xf32>)
      v(%vt[b, h, n, d] : tensor<2x2x7x8xf32>)
      scale(0.5)
      -> out[b, h * 2 + g, m, d] : tensor<2x4x7x8xf32>
  %ot = "stablehlo.transpose"(%o) <{permutation = array<i64: 0, 2, 1, 3>}> : (tensor<2x4x7x8xf32>) -> tensor<2x7x4x8xf32>
  %r = "stablehlo.reshape"(%ot) : (tensor<2x7x4x8xf32>) -> tensor<2x7x32xf32>
  func.return %r : tensor<2x7x32xf32>
}
// CHECK-LABEL: func.func @views
// CHECK-NEXT: %r = attention.sdpa
// CHECK-NEXT: q(%q[b, m, h * 2 + g, k] : tensor<2x7x4x8xf32>)
// CHECK-NEXT: k(%k[b, n, h, k] : tensor<2x7x2x8xf32>)
// CHECK-NEXT: v(%v[b, n, h * 8 + d] : tensor<2x7x16xf32>)
// CHECK-NEXT: scale(5.000000e-01)
// CHECK-NEXT: -> out[b, m, h * 16 + g * 8 + d] : tensor<2x7x32xf32>
// CHECK-NEXT: func.return %r

// Batch and heads in one dimension, as torch.nn.MultiheadAttention has them; K repeated over the heads.
func.func @flattened_and_repeated(%q: tensor<8x5x8xf32>, %k: tensor<2x6x8xf32>, %v: tensor<8x6x8xf32>) -> tensor<2x4x5x8xf32> {
  %qs = "stablehlo.reshape"(%q) : (tensor<8x5x8xf32>) -> tensor<2x4x5x8xf32>
  %ks = "stablehlo.broadcast_in_dim"(%k) <{broadcast_dimensions = array<i64: 0, 2, 3>}> : (tensor<2x6x8xf32>) -> tensor<2x4x6x8xf32>
  %vs = "stablehlo.reshape"(%v) : (tensor<8x6x8xf32>) -> tensor<2x4x6x8xf32>
  %o = attention.sdpa
      q(%qs[b, h, m, k] : tensor<2x4x5x8xf32>)
      k(%ks[b, h, n, k] : tensor<2x4x6x8xf32>)
      v(%vs[b, h, n, d] : tensor<2x4x6x8xf32>)
      scale(1.0)
      -> out[b, h, m, d] : tensor<2x4x5x8xf32>
  func.return %o : tensor<2x4x5x8xf32>
}
// CHECK-LABEL: func.func @flattened_and_repeated
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b * 4 + h, m, k] : tensor<8x5x8xf32>)
// CHECK-NEXT: k(%k[b, n, k] : tensor<2x6x8xf32>)
// CHECK-NEXT: v(%v[b * 4 + h, n, d] : tensor<8x6x8xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x5x8xf32>
// CHECK-NEXT: func.return %o

// The mask that transformers builds, n <= m and padding, computed for all elements; with a soft cap before it.
func.func @mask(%q: tensor<2x4x7x8xf32>, %k: tensor<2x4x7x8xf32>, %v: tensor<2x4x7x8xf32>, %pad: tensor<2x7xi1>) -> tensor<2x4x7x8xf32> {
  %m = "stablehlo.iota"() <{iota_dimension = 0 : i64}> : () -> tensor<7x7xi64>
  %n = "stablehlo.iota"() <{iota_dimension = 1 : i64}> : () -> tensor<7x7xi64>
  %causal = "stablehlo.compare"(%n, %m) <{comparison_direction = #stablehlo<comparison_direction LE>}> : (tensor<7x7xi64>, tensor<7x7xi64>) -> tensor<7x7xi1>
  %some = "stablehlo.broadcast_in_dim"(%causal) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<7x7xi1>) -> tensor<2x1x7x7xi1>
  %pads = "stablehlo.broadcast_in_dim"(%pad) <{broadcast_dimensions = array<i64: 0, 3>}> : (tensor<2x7xi1>) -> tensor<2x1x7x7xi1>
  %mask = "stablehlo.and"(%some, %pads) : (tensor<2x1x7x7xi1>, tensor<2x1x7x7xi1>) -> tensor<2x1x7x7xi1>
  %o = attention.sdpa
      q(%q[b, h, m, k] : tensor<2x4x7x8xf32>)
      k(%k[b, h, n, k] : tensor<2x4x7x8xf32>)
      v(%v[b, h, n, d] : tensor<2x4x7x8xf32>)
      scale(1.0)
      score(soft_cap(3.000000e+01) mask(%mask[b, 0, m, n] : tensor<2x1x7x7xi1>))
      -> out[b, h, m, d] : tensor<2x4x7x8xf32>
  func.return %o : tensor<2x4x7x8xf32>
}
// CHECK-LABEL: func.func @mask(
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x7x8xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x7x8xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x7x8xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score(soft_cap(3.000000e+01) causal(n <= m) mask(%pad[b, n] : tensor<2x7xi1>))
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x7x8xf32>
// CHECK-NEXT: func.return %o

// A bias that is 0 or -inf is a mask; heads of a group have a position each; lengths stay.
func.func @bias_and_lengths(%q: tensor<2x4x7x8xf32>, %k: tensor<2x2x7x8xf32>, %v: tensor<2x2x7x8xf32>, %keep: tensor<4x7xi1>, %lens: tensor<2xi64>) -> tensor<2x4x7x8xf32> {
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<4x7xf32>}> : () -> tensor<4x7xf32>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<4x7xf32>}> : () -> tensor<4x7xf32>
  %bias = "stablehlo.select"(%keep, %zero, %low) : (tensor<4x7xi1>, tensor<4x7xf32>, tensor<4x7xf32>) -> tensor<4x7xf32>
  %o = attention.sdpa
      q(%q[b, h * 2 + g, m, k] : tensor<2x4x7x8xf32>)
      k(%k[b, h, n, k] : tensor<2x2x7x8xf32>)
      v(%v[b, h, n, d] : tensor<2x2x7x8xf32>)
      kv_lens(%lens[b] : tensor<2xi64>)
      scale(1.0)
      score(bias(%bias[hq, n] : tensor<4x7xf32>))
      -> out[b, h * 2 + g, m, d] : tensor<2x4x7x8xf32>
  func.return %o : tensor<2x4x7x8xf32>
}
// CHECK-LABEL: func.func @bias_and_lengths
// CHECK-NEXT: %o = attention.sdpa
// CHECK:      kv_lens(%lens[b] : tensor<2xi64>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score(mask(%keep[hq, n] : tensor<4x7xi1>))

// A tensor that is no formula is captured as it is, and what cuts the keys or the head size in pieces stays: here rope's
// halves, put together, and a part of the keys. A result that two read is not moved.
func.func @what_stays(%q: tensor<7x4xf32>, %k: tensor<9x8xf32>, %v: tensor<7x8xf32>, %bias: tensor<7x7xf32>) -> (tensor<8x7xf32>, tensor<7x8xf32>) {
  %qs = "stablehlo.concatenate"(%q, %q) <{dimension = 1 : i64}> : (tensor<7x4xf32>, tensor<7x4xf32>) -> tensor<7x8xf32>
  %ks = "stablehlo.slice"(%k) <{start_indices = array<i64: 2, 0>, limit_indices = array<i64: 9, 8>, strides = array<i64: 1, 1>}> : (tensor<9x8xf32>) -> tensor<7x8xf32>
  %o = attention.sdpa
      q(%qs[m, k] : tensor<7x8xf32>)
      k(%ks[n, k] : tensor<7x8xf32>)
      v(%v[n, d] : tensor<7x8xf32>)
      scale(1.0)
      score(bias(%bias[m, n] : tensor<7x7xf32>))
      -> out[m, d] : tensor<7x8xf32>
  %t = "stablehlo.transpose"(%o) <{permutation = array<i64: 1, 0>}> : (tensor<7x8xf32>) -> tensor<8x7xf32>
  func.return %t, %o : tensor<8x7xf32>, tensor<7x8xf32>
}
// CHECK-LABEL: func.func @what_stays
// CHECK-NEXT: %qs = "stablehlo.concatenate"
// CHECK-NEXT: %ks = "stablehlo.slice"
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%qs[m, k] : tensor<7x8xf32>)
// CHECK-NEXT: k(%ks[n, k] : tensor<7x8xf32>)
// CHECK-NEXT: v(%v[n, d] : tensor<7x8xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score(bias(%bias[m, n] : tensor<7x7xf32>))
// CHECK-NEXT: -> out[m, d] : tensor<7x8xf32>
// CHECK-NEXT: %t = "stablehlo.transpose"

// An operation with an LSE, a schedule, bounds, pages or quantised keys stays as it is.
func.func @with_lse(%q: tensor<8x7xf32>, %k: tensor<9x8xf32>, %v: tensor<9x8xf32>) -> (tensor<7x8xf32>, tensor<7xf32>) {
  %qt = "stablehlo.transpose"(%q) <{permutation = array<i64: 1, 0>}> : (tensor<8x7xf32>) -> tensor<7x8xf32>
  %o, %lse = attention.sdpa
      q(%qt[m, k] : tensor<7x8xf32>)
      k(%k[n, k] : tensor<9x8xf32>)
      v(%v[n, d] : tensor<9x8xf32>)
      scale(1.0)
      -> out[m, d] : tensor<7x8xf32>, lse[m] : tensor<7xf32>
  func.return %o, %lse : tensor<7x8xf32>, tensor<7xf32>
}
// CHECK-LABEL: func.func @with_lse
// CHECK-NEXT: %qt = "stablehlo.transpose"
// CHECK-NEXT: %o, %lse = attention.sdpa
// CHECK-NEXT: q(%qt[m, k] : tensor<7x8xf32>)
