// RUN: xdsl-opt %s -p fuse-attention | filecheck %s

// Layouts. Q, K, V and the result stay where they are, whatever stands between them and the two dots: transposes,
// reshapes and broadcasts become index maps over (b..., h, g, m, n, k, d), and no copy remains (CHECK-NEXT from the head
// of the function to its return).

// CHECK-LABEL: builtin.module

// BHSD: [B, H, S, D].
func.func @bhsd(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x64xf32>) -> tensor<2x4x8x64xf32> {
  %s = "stablehlo.dot_general"(%q, %k) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [3]>}> : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%s, %low) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.maximum"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %topb = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %x = "stablehlo.subtract"(%s, %topb) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %zero) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.add"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %sumb = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%e, %sumb) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = "stablehlo.dot_general"(%p, %v) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [2]>}> : (tensor<2x4x8x16xf32>, tensor<2x4x16x64xf32>) -> tensor<2x4x8x64xf32>
  func.return %o : tensor<2x4x8x64xf32>
}

// CHECK-LABEL: func.func @bhsd
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x64xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x64xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x64xf32>

// BSHD: [B, S, H, D], with explicit transposes on all sides.
func.func @bshd(%q: tensor<2x8x4x32xf32>, %k: tensor<2x16x4x32xf32>, %v: tensor<2x16x4x32xf32>) -> tensor<2x8x4x32xf32> {
  %qt = "stablehlo.transpose"(%q) <{permutation = array<i64: 0, 2, 1, 3>}> : (tensor<2x8x4x32xf32>) -> tensor<2x4x8x32xf32>
  %kt = "stablehlo.transpose"(%k) <{permutation = array<i64: 0, 2, 3, 1>}> : (tensor<2x16x4x32xf32>) -> tensor<2x4x32x16xf32>
  %vt = "stablehlo.transpose"(%v) <{permutation = array<i64: 0, 2, 1, 3>}> : (tensor<2x16x4x32xf32>) -> tensor<2x4x16x32xf32>
  %s = "stablehlo.dot_general"(%qt, %kt) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [2]>}> : (tensor<2x4x8x32xf32>, tensor<2x4x32x16xf32>) -> tensor<2x4x8x16xf32>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%s, %low) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.maximum"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %topb = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %x = "stablehlo.subtract"(%s, %topb) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %zero) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.add"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %sumb = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%e, %sumb) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %ot = "stablehlo.dot_general"(%p, %vt) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [2]>}> : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  %o = "stablehlo.transpose"(%ot) <{permutation = array<i64: 0, 2, 1, 3>}> : (tensor<2x4x8x32xf32>) -> tensor<2x8x4x32xf32>
  func.return %o : tensor<2x8x4x32xf32>
}

// CHECK-LABEL: func.func @bshd
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, m, h, k] : tensor<2x8x4x32xf32>)
// CHECK-NEXT: k(%k[b, n, h, k] : tensor<2x16x4x32xf32>)
// CHECK-NEXT: v(%v[b, n, h, d] : tensor<2x16x4x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, m, h, d] : tensor<2x8x4x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x8x4x32xf32>

// BSHD as einsum leaves it: batching dimensions 0 and 2.
func.func @bshd_einsum(%q: tensor<2x8x4x32xf32>, %k: tensor<2x16x4x32xf32>, %v: tensor<2x16x4x32xf32>) -> tensor<2x8x4x32xf32> {
  %s = "stablehlo.dot_general"(%q, %k) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 2], rhs_batching_dimensions = [0, 2], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [3]>}> : (tensor<2x8x4x32xf32>, tensor<2x16x4x32xf32>) -> tensor<2x4x8x16xf32>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%s, %low) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.maximum"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %topb = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %x = "stablehlo.subtract"(%s, %topb) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %zero) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.add"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %sumb = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%e, %sumb) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %ot = "stablehlo.dot_general"(%p, %v) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 2], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [1]>}> : (tensor<2x4x8x16xf32>, tensor<2x16x4x32xf32>) -> tensor<2x4x8x32xf32>
  %o = "stablehlo.transpose"(%ot) <{permutation = array<i64: 0, 2, 1, 3>}> : (tensor<2x4x8x32xf32>) -> tensor<2x8x4x32xf32>
  func.return %o : tensor<2x8x4x32xf32>
}

// CHECK-LABEL: func.func @bshd_einsum
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, m, h, k] : tensor<2x8x4x32xf32>)
// CHECK-NEXT: k(%k[b, n, h, k] : tensor<2x16x4x32xf32>)
// CHECK-NEXT: v(%v[b, n, h, d] : tensor<2x16x4x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, m, h, d] : tensor<2x8x4x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x8x4x32xf32>

// 3-D inputs and result: [B, S, H * D], heads taken out by a reshape.
func.func @heads_in_the_last_dimension(%q: tensor<2x8x128xf32>, %k: tensor<2x16x128xf32>, %v: tensor<2x16x128xf32>) -> tensor<2x8x128xf32> {
  %qr = "stablehlo.reshape"(%q) : (tensor<2x8x128xf32>) -> tensor<2x8x4x32xf32>
  %kr = "stablehlo.reshape"(%k) : (tensor<2x16x128xf32>) -> tensor<2x16x4x32xf32>
  %vr = "stablehlo.reshape"(%v) : (tensor<2x16x128xf32>) -> tensor<2x16x4x32xf32>
  %s = "stablehlo.dot_general"(%qr, %kr) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 2], rhs_batching_dimensions = [0, 2], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [3]>}> : (tensor<2x8x4x32xf32>, tensor<2x16x4x32xf32>) -> tensor<2x4x8x16xf32>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%s, %low) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.maximum"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %topb = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %x = "stablehlo.subtract"(%s, %topb) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %zero) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.add"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %sumb = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%e, %sumb) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %od = "stablehlo.dot_general"(%p, %vr) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 2], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [1]>}> : (tensor<2x4x8x16xf32>, tensor<2x16x4x32xf32>) -> tensor<2x4x8x32xf32>
  %ot = "stablehlo.transpose"(%od) <{permutation = array<i64: 0, 2, 1, 3>}> : (tensor<2x4x8x32xf32>) -> tensor<2x8x4x32xf32>
  %o = "stablehlo.reshape"(%ot) : (tensor<2x8x4x32xf32>) -> tensor<2x8x128xf32>
  func.return %o : tensor<2x8x128xf32>
}

// CHECK-LABEL: func.func @heads_in_the_last_dimension
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, m, h * 32 + k] : tensor<2x8x128xf32>)
// CHECK-NEXT: k(%k[b, n, h * 32 + k] : tensor<2x16x128xf32>)
// CHECK-NEXT: v(%v[b, n, h * 32 + d] : tensor<2x16x128xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, m, h * 32 + d] : tensor<2x8x128xf32>
// CHECK-NEXT: func.return %o : tensor<2x8x128xf32>

// A single head in 2-D: no batch, no heads.
func.func @two_dimensions(%q: tensor<8x32xf32>, %k: tensor<16x32xf32>, %v: tensor<16x32xf32>) -> tensor<8x32xf32> {
  %s = "stablehlo.dot_general"(%q, %k) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [], rhs_batching_dimensions = [], lhs_contracting_dimensions = [1], rhs_contracting_dimensions = [1]>}> : (tensor<8x32xf32>, tensor<16x32xf32>) -> tensor<8x16xf32>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%s, %low) <{dimensions = array<i64: 1>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.maximum"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<8x16xf32>, tensor<f32>) -> tensor<8xf32>
  %topb = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0>}> : (tensor<8xf32>) -> tensor<8x16xf32>
  %x = "stablehlo.subtract"(%s, %topb) : (tensor<8x16xf32>, tensor<8x16xf32>) -> tensor<8x16xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<8x16xf32>) -> tensor<8x16xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %zero) <{dimensions = array<i64: 1>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.add"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<8x16xf32>, tensor<f32>) -> tensor<8xf32>
  %sumb = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0>}> : (tensor<8xf32>) -> tensor<8x16xf32>
  %p = "stablehlo.divide"(%e, %sumb) : (tensor<8x16xf32>, tensor<8x16xf32>) -> tensor<8x16xf32>
  %o = "stablehlo.dot_general"(%p, %v) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [], rhs_batching_dimensions = [], lhs_contracting_dimensions = [1], rhs_contracting_dimensions = [0]>}> : (tensor<8x16xf32>, tensor<16x32xf32>) -> tensor<8x32xf32>
  func.return %o : tensor<8x32xf32>
}

// CHECK-LABEL: func.func @two_dimensions
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[m, k] : tensor<8x32xf32>)
// CHECK-NEXT: k(%k[n, k] : tensor<16x32xf32>)
// CHECK-NEXT: v(%v[n, d] : tensor<16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[m, d] : tensor<8x32xf32>
// CHECK-NEXT: func.return %o : tensor<8x32xf32>

// A single query without a dimension.
func.func @one_dimension(%q: tensor<32xf32>, %k: tensor<16x32xf32>, %v: tensor<16x32xf32>) -> tensor<32xf32> {
  %s = "stablehlo.dot_general"(%k, %q) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [], rhs_batching_dimensions = [], lhs_contracting_dimensions = [1], rhs_contracting_dimensions = [0]>}> : (tensor<16x32xf32>, tensor<32xf32>) -> tensor<16xf32>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%s, %low) <{dimensions = array<i64: 0>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.maximum"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<16xf32>, tensor<f32>) -> tensor<f32>
  %topb = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64>}> : (tensor<f32>) -> tensor<16xf32>
  %x = "stablehlo.subtract"(%s, %topb) : (tensor<16xf32>, tensor<16xf32>) -> tensor<16xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<16xf32>) -> tensor<16xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %zero) <{dimensions = array<i64: 0>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.add"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<16xf32>, tensor<f32>) -> tensor<f32>
  %sumb = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64>}> : (tensor<f32>) -> tensor<16xf32>
  %p = "stablehlo.divide"(%e, %sumb) : (tensor<16xf32>, tensor<16xf32>) -> tensor<16xf32>
  %o = "stablehlo.dot_general"(%p, %v) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [], rhs_batching_dimensions = [], lhs_contracting_dimensions = [0], rhs_contracting_dimensions = [0]>}> : (tensor<16xf32>, tensor<16x32xf32>) -> tensor<32xf32>
  func.return %o : tensor<32xf32>
}

// CHECK-LABEL: func.func @one_dimension
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[k] : tensor<32xf32>)
// CHECK-NEXT: k(%k[n, k] : tensor<16x32xf32>)
// CHECK-NEXT: v(%v[n, d] : tensor<16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[d] : tensor<32xf32>
// CHECK-NEXT: func.return %o : tensor<32xf32>

// Decoding with no query axis: q[B, H, D].
func.func @no_query_axis(%q: tensor<2x4x32xf32>, %k: tensor<2x16x4x32xf32>, %v: tensor<2x16x4x32xf32>) -> tensor<2x4x32xf32> {
  %s = "stablehlo.dot_general"(%q, %k) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 2], lhs_contracting_dimensions = [2], rhs_contracting_dimensions = [3]>}> : (tensor<2x4x32xf32>, tensor<2x16x4x32xf32>) -> tensor<2x4x16xf32>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%s, %low) <{dimensions = array<i64: 2>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.maximum"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x4x16xf32>, tensor<f32>) -> tensor<2x4xf32>
  %topb = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1>}> : (tensor<2x4xf32>) -> tensor<2x4x16xf32>
  %x = "stablehlo.subtract"(%s, %topb) : (tensor<2x4x16xf32>, tensor<2x4x16xf32>) -> tensor<2x4x16xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<2x4x16xf32>) -> tensor<2x4x16xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %zero) <{dimensions = array<i64: 2>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.add"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x4x16xf32>, tensor<f32>) -> tensor<2x4xf32>
  %sumb = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1>}> : (tensor<2x4xf32>) -> tensor<2x4x16xf32>
  %p = "stablehlo.divide"(%e, %sumb) : (tensor<2x4x16xf32>, tensor<2x4x16xf32>) -> tensor<2x4x16xf32>
  %o = "stablehlo.dot_general"(%p, %v) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 2], lhs_contracting_dimensions = [2], rhs_contracting_dimensions = [1]>}> : (tensor<2x4x16xf32>, tensor<2x16x4x32xf32>) -> tensor<2x4x32xf32>
  func.return %o : tensor<2x4x32xf32>
}

// CHECK-LABEL: func.func @no_query_axis
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, k] : tensor<2x4x32xf32>)
// CHECK-NEXT: k(%k[b, n, h, k] : tensor<2x16x4x32xf32>)
// CHECK-NEXT: v(%v[b, n, h, d] : tensor<2x16x4x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, h, d] : tensor<2x4x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x32xf32>

// Views to [B * H] and back, as torch.bmm needs them.
func.func @flattened_batch(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %qr = "stablehlo.reshape"(%q) : (tensor<2x4x8x32xf32>) -> tensor<8x8x32xf32>
  %kt = "stablehlo.transpose"(%k) <{permutation = array<i64: 0, 1, 3, 2>}> : (tensor<2x4x16x32xf32>) -> tensor<2x4x32x16xf32>
  %kr = "stablehlo.reshape"(%kt) : (tensor<2x4x32x16xf32>) -> tensor<8x32x16xf32>
  %sr = "stablehlo.dot_general"(%qr, %kr) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0], rhs_batching_dimensions = [0], lhs_contracting_dimensions = [2], rhs_contracting_dimensions = [1]>}> : (tensor<8x8x32xf32>, tensor<8x32x16xf32>) -> tensor<8x8x16xf32>
  %s = "stablehlo.reshape"(%sr) : (tensor<8x8x16xf32>) -> tensor<2x4x8x16xf32>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%s, %low) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.maximum"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %topb = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %x = "stablehlo.subtract"(%s, %topb) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %zero) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.add"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %sumb = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%e, %sumb) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %pr = "stablehlo.reshape"(%p) : (tensor<2x4x8x16xf32>) -> tensor<8x8x16xf32>
  %vr = "stablehlo.reshape"(%v) : (tensor<2x4x16x32xf32>) -> tensor<8x16x32xf32>
  %or = "stablehlo.dot_general"(%pr, %vr) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0], rhs_batching_dimensions = [0], lhs_contracting_dimensions = [2], rhs_contracting_dimensions = [1]>}> : (tensor<8x8x16xf32>, tensor<8x16x32xf32>) -> tensor<8x8x32xf32>
  %o = "stablehlo.reshape"(%or) : (tensor<8x8x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @flattened_batch
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// K comes transposed, [B, H, D, N].
func.func @key_transposed(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x32x16xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %s = "stablehlo.dot_general"(%q, %k) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [2]>}> : (tensor<2x4x8x32xf32>, tensor<2x4x32x16xf32>) -> tensor<2x4x8x16xf32>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%s, %low) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.maximum"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %topb = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %x = "stablehlo.subtract"(%s, %topb) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %zero) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.add"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %sumb = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%e, %sumb) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = "stablehlo.dot_general"(%p, %v) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [2]>}> : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @key_transposed
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, k, n] : tensor<2x4x32x16xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// V on the left of the second dot and K on the left of the first, with transposes after them.
func.func @operands_swapped(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %st = "stablehlo.dot_general"(%k, %q) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [3]>}> : (tensor<2x4x16x32xf32>, tensor<2x4x8x32xf32>) -> tensor<2x4x16x8xf32>
  %s = "stablehlo.transpose"(%st) <{permutation = array<i64: 0, 1, 3, 2>}> : (tensor<2x4x16x8xf32>) -> tensor<2x4x8x16xf32>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%s, %low) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.maximum"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %topb = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %x = "stablehlo.subtract"(%s, %topb) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %zero) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.add"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %sumb = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%e, %sumb) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %ot = "stablehlo.dot_general"(%v, %p) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [2], rhs_contracting_dimensions = [3]>}> : (tensor<2x4x16x32xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x32x8xf32>
  %o = "stablehlo.transpose"(%ot) <{permutation = array<i64: 0, 1, 3, 2>}> : (tensor<2x4x32x8xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @operands_swapped
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// The softmax may be over any axis, as long as it is that of the keys.
func.func @keys_first(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %st = "stablehlo.dot_general"(%k, %q) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [3]>}> : (tensor<2x4x16x32xf32>, tensor<2x4x8x32xf32>) -> tensor<2x4x16x8xf32>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%st, %low) <{dimensions = array<i64: 2>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.maximum"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x4x16x8xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %topb = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 3>}> : (tensor<2x4x8xf32>) -> tensor<2x4x16x8xf32>
  %x = "stablehlo.subtract"(%st, %topb) : (tensor<2x4x16x8xf32>, tensor<2x4x16x8xf32>) -> tensor<2x4x16x8xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<2x4x16x8xf32>) -> tensor<2x4x16x8xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %zero) <{dimensions = array<i64: 2>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.add"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x4x16x8xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %sumb = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 3>}> : (tensor<2x4x8xf32>) -> tensor<2x4x16x8xf32>
  %p = "stablehlo.divide"(%e, %sumb) : (tensor<2x4x16x8xf32>, tensor<2x4x16x8xf32>) -> tensor<2x4x16x8xf32>
  %o = "stablehlo.dot_general"(%p, %v) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [2], rhs_contracting_dimensions = [2]>}> : (tensor<2x4x16x8xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @keys_first
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// GQA by jnp.repeat: K and V are broadcast to the group and flattened to 8 heads.
func.func @gqa_repeat(%q: tensor<2x8x8x32xf32>, %k: tensor<2x2x16x32xf32>, %v: tensor<2x2x16x32xf32>) -> tensor<2x8x8x32xf32> {
  %kb = "stablehlo.broadcast_in_dim"(%k) <{broadcast_dimensions = array<i64: 0, 1, 3, 4>}> : (tensor<2x2x16x32xf32>) -> tensor<2x2x4x16x32xf32>
  %kr = "stablehlo.reshape"(%kb) : (tensor<2x2x4x16x32xf32>) -> tensor<2x8x16x32xf32>
  %vb = "stablehlo.broadcast_in_dim"(%v) <{broadcast_dimensions = array<i64: 0, 1, 3, 4>}> : (tensor<2x2x16x32xf32>) -> tensor<2x2x4x16x32xf32>
  %vr = "stablehlo.reshape"(%vb) : (tensor<2x2x4x16x32xf32>) -> tensor<2x8x16x32xf32>
  %s = "stablehlo.dot_general"(%q, %kr) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [3]>}> : (tensor<2x8x8x32xf32>, tensor<2x8x16x32xf32>) -> tensor<2x8x8x16xf32>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%s, %low) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.maximum"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x8x8x16xf32>, tensor<f32>) -> tensor<2x8x8xf32>
  %topb = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x8x8xf32>) -> tensor<2x8x8x16xf32>
  %x = "stablehlo.subtract"(%s, %topb) : (tensor<2x8x8x16xf32>, tensor<2x8x8x16xf32>) -> tensor<2x8x8x16xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<2x8x8x16xf32>) -> tensor<2x8x8x16xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %zero) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.add"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x8x8x16xf32>, tensor<f32>) -> tensor<2x8x8xf32>
  %sumb = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x8x8xf32>) -> tensor<2x8x8x16xf32>
  %p = "stablehlo.divide"(%e, %sumb) : (tensor<2x8x8x16xf32>, tensor<2x8x8x16xf32>) -> tensor<2x8x8x16xf32>
  %o = "stablehlo.dot_general"(%p, %vr) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [2]>}> : (tensor<2x8x8x16xf32>, tensor<2x8x16x32xf32>) -> tensor<2x8x8x32xf32>
  func.return %o : tensor<2x8x8x32xf32>
}

// CHECK-LABEL: func.func @gqa_repeat
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h * 4 + g, m, k] : tensor<2x8x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x2x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x2x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, h * 4 + g, m, d] : tensor<2x8x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x8x8x32xf32>

// GQA by unsqueeze, expand and reshape (repeat_kv).
func.func @gqa_expand(%q: tensor<2x8x8x32xf32>, %k: tensor<2x2x16x32xf32>, %v: tensor<2x2x16x32xf32>) -> tensor<2x8x8x32xf32> {
  %ku = "stablehlo.reshape"(%k) : (tensor<2x2x16x32xf32>) -> tensor<2x2x1x16x32xf32>
  %kb = "stablehlo.broadcast_in_dim"(%ku) <{broadcast_dimensions = array<i64: 0, 1, 2, 3, 4>}> : (tensor<2x2x1x16x32xf32>) -> tensor<2x2x4x16x32xf32>
  %kr = "stablehlo.reshape"(%kb) : (tensor<2x2x4x16x32xf32>) -> tensor<2x8x16x32xf32>
  %vu = "stablehlo.reshape"(%v) : (tensor<2x2x16x32xf32>) -> tensor<2x2x1x16x32xf32>
  %vb = "stablehlo.broadcast_in_dim"(%vu) <{broadcast_dimensions = array<i64: 0, 1, 2, 3, 4>}> : (tensor<2x2x1x16x32xf32>) -> tensor<2x2x4x16x32xf32>
  %vr = "stablehlo.reshape"(%vb) : (tensor<2x2x4x16x32xf32>) -> tensor<2x8x16x32xf32>
  %s = "stablehlo.dot_general"(%q, %kr) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [3]>}> : (tensor<2x8x8x32xf32>, tensor<2x8x16x32xf32>) -> tensor<2x8x8x16xf32>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%s, %low) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.maximum"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x8x8x16xf32>, tensor<f32>) -> tensor<2x8x8xf32>
  %topb = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x8x8xf32>) -> tensor<2x8x8x16xf32>
  %x = "stablehlo.subtract"(%s, %topb) : (tensor<2x8x8x16xf32>, tensor<2x8x8x16xf32>) -> tensor<2x8x8x16xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<2x8x8x16xf32>) -> tensor<2x8x8x16xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %zero) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.add"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x8x8x16xf32>, tensor<f32>) -> tensor<2x8x8xf32>
  %sumb = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x8x8xf32>) -> tensor<2x8x8x16xf32>
  %p = "stablehlo.divide"(%e, %sumb) : (tensor<2x8x8x16xf32>, tensor<2x8x8x16xf32>) -> tensor<2x8x8x16xf32>
  %o = "stablehlo.dot_general"(%p, %vr) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [2]>}> : (tensor<2x8x8x16xf32>, tensor<2x8x16x32xf32>) -> tensor<2x8x8x32xf32>
  func.return %o : tensor<2x8x8x32xf32>
}

// CHECK-LABEL: func.func @gqa_expand
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h * 4 + g, m, k] : tensor<2x8x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x2x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x2x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, h * 4 + g, m, d] : tensor<2x8x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x8x8x32xf32>

// GQA grouped: Q is [B, S, Hkv, G, D], and the group is a free dimension of both dots.
func.func @gqa_grouped(%q: tensor<2x8x8x32xf32>, %k: tensor<2x16x2x32xf32>, %v: tensor<2x16x2x32xf32>) -> tensor<2x8x8x32xf32> {
  %qr = "stablehlo.reshape"(%q) : (tensor<2x8x8x32xf32>) -> tensor<2x8x2x4x32xf32>
  %s = "stablehlo.dot_general"(%qr, %k) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 2], rhs_batching_dimensions = [0, 2], lhs_contracting_dimensions = [4], rhs_contracting_dimensions = [3]>}> : (tensor<2x8x2x4x32xf32>, tensor<2x16x2x32xf32>) -> tensor<2x2x8x4x16xf32>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%s, %low) <{dimensions = array<i64: 4>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.maximum"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x2x8x4x16xf32>, tensor<f32>) -> tensor<2x2x8x4xf32>
  %topb = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2, 3>}> : (tensor<2x2x8x4xf32>) -> tensor<2x2x8x4x16xf32>
  %x = "stablehlo.subtract"(%s, %topb) : (tensor<2x2x8x4x16xf32>, tensor<2x2x8x4x16xf32>) -> tensor<2x2x8x4x16xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<2x2x8x4x16xf32>) -> tensor<2x2x8x4x16xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %zero) <{dimensions = array<i64: 4>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.add"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x2x8x4x16xf32>, tensor<f32>) -> tensor<2x2x8x4xf32>
  %sumb = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2, 3>}> : (tensor<2x2x8x4xf32>) -> tensor<2x2x8x4x16xf32>
  %p = "stablehlo.divide"(%e, %sumb) : (tensor<2x2x8x4x16xf32>, tensor<2x2x8x4x16xf32>) -> tensor<2x2x8x4x16xf32>
  %od = "stablehlo.dot_general"(%p, %v) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 2], lhs_contracting_dimensions = [4], rhs_contracting_dimensions = [1]>}> : (tensor<2x2x8x4x16xf32>, tensor<2x16x2x32xf32>) -> tensor<2x2x8x4x32xf32>
  %ot = "stablehlo.transpose"(%od) <{permutation = array<i64: 0, 2, 1, 3, 4>}> : (tensor<2x2x8x4x32xf32>) -> tensor<2x8x2x4x32xf32>
  %o = "stablehlo.reshape"(%ot) : (tensor<2x8x2x4x32xf32>) -> tensor<2x8x8x32xf32>
  func.return %o : tensor<2x8x8x32xf32>
}

// CHECK-LABEL: func.func @gqa_grouped
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, m, h * 4 + g, k] : tensor<2x8x8x32xf32>)
// CHECK-NEXT: k(%k[b, n, h, k] : tensor<2x16x2x32xf32>)
// CHECK-NEXT: v(%v[b, n, h, d] : tensor<2x16x2x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, m, h * 4 + g, d] : tensor<2x8x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x8x8x32xf32>

// Another order, h = g * 2 + kv head, is a layout as well.
func.func @gqa_tiled(%q: tensor<2x8x8x32xf32>, %k: tensor<2x2x16x32xf32>, %v: tensor<2x2x16x32xf32>) -> tensor<2x8x8x32xf32> {
  %kb = "stablehlo.broadcast_in_dim"(%k) <{broadcast_dimensions = array<i64: 0, 2, 3, 4>}> : (tensor<2x2x16x32xf32>) -> tensor<2x4x2x16x32xf32>
  %kr = "stablehlo.reshape"(%kb) : (tensor<2x4x2x16x32xf32>) -> tensor<2x8x16x32xf32>
  %vb = "stablehlo.broadcast_in_dim"(%v) <{broadcast_dimensions = array<i64: 0, 2, 3, 4>}> : (tensor<2x2x16x32xf32>) -> tensor<2x4x2x16x32xf32>
  %vr = "stablehlo.reshape"(%vb) : (tensor<2x4x2x16x32xf32>) -> tensor<2x8x16x32xf32>
  %s = "stablehlo.dot_general"(%q, %kr) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [3]>}> : (tensor<2x8x8x32xf32>, tensor<2x8x16x32xf32>) -> tensor<2x8x8x16xf32>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%s, %low) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.maximum"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x8x8x16xf32>, tensor<f32>) -> tensor<2x8x8xf32>
  %topb = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x8x8xf32>) -> tensor<2x8x8x16xf32>
  %x = "stablehlo.subtract"(%s, %topb) : (tensor<2x8x8x16xf32>, tensor<2x8x8x16xf32>) -> tensor<2x8x8x16xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<2x8x8x16xf32>) -> tensor<2x8x8x16xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %zero) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.add"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x8x8x16xf32>, tensor<f32>) -> tensor<2x8x8xf32>
  %sumb = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x8x8xf32>) -> tensor<2x8x8x16xf32>
  %p = "stablehlo.divide"(%e, %sumb) : (tensor<2x8x8x16xf32>, tensor<2x8x8x16xf32>) -> tensor<2x8x8x16xf32>
  %o = "stablehlo.dot_general"(%p, %vr) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [2]>}> : (tensor<2x8x8x16xf32>, tensor<2x8x16x32xf32>) -> tensor<2x8x8x32xf32>
  func.return %o : tensor<2x8x8x32xf32>
}

// CHECK-LABEL: func.func @gqa_tiled
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, g * 2 + h, m, k] : tensor<2x8x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x2x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x2x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, g * 2 + h, m, d] : tensor<2x8x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x8x8x32xf32>

// MQA: one KV head for all.
func.func @mqa(%q: tensor<2x8x8x32xf32>, %k: tensor<2x16x32xf32>, %v: tensor<2x16x32xf32>) -> tensor<2x8x8x32xf32> {
  %s = "stablehlo.dot_general"(%q, %k) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0], rhs_batching_dimensions = [0], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [2]>}> : (tensor<2x8x8x32xf32>, tensor<2x16x32xf32>) -> tensor<2x8x8x16xf32>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%s, %low) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.maximum"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x8x8x16xf32>, tensor<f32>) -> tensor<2x8x8xf32>
  %topb = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x8x8xf32>) -> tensor<2x8x8x16xf32>
  %x = "stablehlo.subtract"(%s, %topb) : (tensor<2x8x8x16xf32>, tensor<2x8x8x16xf32>) -> tensor<2x8x8x16xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<2x8x8x16xf32>) -> tensor<2x8x8x16xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %zero) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.add"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x8x8x16xf32>, tensor<f32>) -> tensor<2x8x8xf32>
  %sumb = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x8x8xf32>) -> tensor<2x8x8x16xf32>
  %p = "stablehlo.divide"(%e, %sumb) : (tensor<2x8x8x16xf32>, tensor<2x8x8x16xf32>) -> tensor<2x8x8x16xf32>
  %o = "stablehlo.dot_general"(%p, %v) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0], rhs_batching_dimensions = [0], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [1]>}> : (tensor<2x8x8x16xf32>, tensor<2x16x32xf32>) -> tensor<2x8x8x32xf32>
  func.return %o : tensor<2x8x8x32xf32>
}

// CHECK-LABEL: func.func @mqa
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, g, m, k] : tensor<2x8x8x32xf32>)
// CHECK-NEXT: k(%k[b, n, k] : tensor<2x16x32xf32>)
// CHECK-NEXT: v(%v[b, n, d] : tensor<2x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, g, m, d] : tensor<2x8x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x8x8x32xf32>

// MQA by a broadcast of a head dimension of size 1.
func.func @mqa_broadcast(%q: tensor<2x8x8x32xf32>, %k: tensor<2x1x16x32xf32>, %v: tensor<2x1x16x32xf32>) -> tensor<2x8x8x32xf32> {
  %kb = "stablehlo.broadcast_in_dim"(%k) <{broadcast_dimensions = array<i64: 0, 1, 2, 3>}> : (tensor<2x1x16x32xf32>) -> tensor<2x8x16x32xf32>
  %vb = "stablehlo.broadcast_in_dim"(%v) <{broadcast_dimensions = array<i64: 0, 1, 2, 3>}> : (tensor<2x1x16x32xf32>) -> tensor<2x8x16x32xf32>
  %s = "stablehlo.dot_general"(%q, %kb) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [3]>}> : (tensor<2x8x8x32xf32>, tensor<2x8x16x32xf32>) -> tensor<2x8x8x16xf32>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%s, %low) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.maximum"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x8x8x16xf32>, tensor<f32>) -> tensor<2x8x8xf32>
  %topb = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x8x8xf32>) -> tensor<2x8x8x16xf32>
  %x = "stablehlo.subtract"(%s, %topb) : (tensor<2x8x8x16xf32>, tensor<2x8x8x16xf32>) -> tensor<2x8x8x16xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<2x8x8x16xf32>) -> tensor<2x8x8x16xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %zero) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.add"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x8x8x16xf32>, tensor<f32>) -> tensor<2x8x8xf32>
  %sumb = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x8x8xf32>) -> tensor<2x8x8x16xf32>
  %p = "stablehlo.divide"(%e, %sumb) : (tensor<2x8x8x16xf32>, tensor<2x8x8x16xf32>) -> tensor<2x8x8x16xf32>
  %o = "stablehlo.dot_general"(%p, %vb) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [2]>}> : (tensor<2x8x8x16xf32>, tensor<2x8x16x32xf32>) -> tensor<2x8x8x32xf32>
  func.return %o : tensor<2x8x8x32xf32>
}

// CHECK-LABEL: func.func @mqa_broadcast
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, g, m, k] : tensor<2x8x8x32xf32>)
// CHECK-NEXT: k(%k[b, 0, n, k] : tensor<2x1x16x32xf32>)
// CHECK-NEXT: v(%v[b, 0, n, d] : tensor<2x1x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, g, m, d] : tensor<2x8x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x8x8x32xf32>

// Group and queries folded into the rows of one matrix product: Q is [B, Hkv, G * M, D].
func.func @group_folded_into_rows(%q: tensor<2x2x4x8x32xf32>, %k: tensor<2x2x16x32xf32>, %v: tensor<2x2x16x32xf32>) -> tensor<2x2x4x8x32xf32> {
  %qr = "stablehlo.reshape"(%q) : (tensor<2x2x4x8x32xf32>) -> tensor<2x2x32x32xf32>
  %s = "stablehlo.dot_general"(%qr, %k) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [3]>}> : (tensor<2x2x32x32xf32>, tensor<2x2x16x32xf32>) -> tensor<2x2x32x16xf32>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%s, %low) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.maximum"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x2x32x16xf32>, tensor<f32>) -> tensor<2x2x32xf32>
  %topb = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x2x32xf32>) -> tensor<2x2x32x16xf32>
  %x = "stablehlo.subtract"(%s, %topb) : (tensor<2x2x32x16xf32>, tensor<2x2x32x16xf32>) -> tensor<2x2x32x16xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<2x2x32x16xf32>) -> tensor<2x2x32x16xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %zero) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.add"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x2x32x16xf32>, tensor<f32>) -> tensor<2x2x32xf32>
  %sumb = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x2x32xf32>) -> tensor<2x2x32x16xf32>
  %p = "stablehlo.divide"(%e, %sumb) : (tensor<2x2x32x16xf32>, tensor<2x2x32x16xf32>) -> tensor<2x2x32x16xf32>
  %or = "stablehlo.dot_general"(%p, %v) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [2]>}> : (tensor<2x2x32x16xf32>, tensor<2x2x16x32xf32>) -> tensor<2x2x32x32xf32>
  %o = "stablehlo.reshape"(%or) : (tensor<2x2x32x32xf32>) -> tensor<2x2x4x8x32xf32>
  func.return %o : tensor<2x2x4x8x32xf32>
}

// CHECK-LABEL: func.func @group_folded_into_rows
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, g, m, k] : tensor<2x2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x2x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x2x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, h, g, m, d] : tensor<2x2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x2x4x8x32xf32>

// Three batch dimensions.
func.func @three_batch_dimensions(%q: tensor<2x3x5x4x8x32xf32>, %k: tensor<2x3x5x4x16x32xf32>, %v: tensor<2x3x5x4x16x32xf32>) -> tensor<2x3x5x4x8x32xf32> {
  %s = "stablehlo.dot_general"(%q, %k) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1, 2, 3], rhs_batching_dimensions = [0, 1, 2, 3], lhs_contracting_dimensions = [5], rhs_contracting_dimensions = [5]>}> : (tensor<2x3x5x4x8x32xf32>, tensor<2x3x5x4x16x32xf32>) -> tensor<2x3x5x4x8x16xf32>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%s, %low) <{dimensions = array<i64: 5>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.maximum"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x3x5x4x8x16xf32>, tensor<f32>) -> tensor<2x3x5x4x8xf32>
  %topb = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2, 3, 4>}> : (tensor<2x3x5x4x8xf32>) -> tensor<2x3x5x4x8x16xf32>
  %x = "stablehlo.subtract"(%s, %topb) : (tensor<2x3x5x4x8x16xf32>, tensor<2x3x5x4x8x16xf32>) -> tensor<2x3x5x4x8x16xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<2x3x5x4x8x16xf32>) -> tensor<2x3x5x4x8x16xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %zero) <{dimensions = array<i64: 5>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.add"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x3x5x4x8x16xf32>, tensor<f32>) -> tensor<2x3x5x4x8xf32>
  %sumb = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2, 3, 4>}> : (tensor<2x3x5x4x8xf32>) -> tensor<2x3x5x4x8x16xf32>
  %p = "stablehlo.divide"(%e, %sumb) : (tensor<2x3x5x4x8x16xf32>, tensor<2x3x5x4x8x16xf32>) -> tensor<2x3x5x4x8x16xf32>
  %o = "stablehlo.dot_general"(%p, %v) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1, 2, 3], rhs_batching_dimensions = [0, 1, 2, 3], lhs_contracting_dimensions = [5], rhs_contracting_dimensions = [4]>}> : (tensor<2x3x5x4x8x16xf32>, tensor<2x3x5x4x16x32xf32>) -> tensor<2x3x5x4x8x32xf32>
  func.return %o : tensor<2x3x5x4x8x32xf32>
}

// CHECK-LABEL: func.func @three_batch_dimensions
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b0, b1, b2, h, m, k] : tensor<2x3x5x4x8x32xf32>)
// CHECK-NEXT: k(%k[b0, b1, b2, h, n, k] : tensor<2x3x5x4x16x32xf32>)
// CHECK-NEXT: v(%v[b0, b1, b2, h, n, d] : tensor<2x3x5x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b0, b1, b2, h, m, d] : tensor<2x3x5x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x3x5x4x8x32xf32>

// K and V without a batch dimension, for all sequences: a shared prefix.
func.func @shared_keys(%q: tensor<2x4x8x32xf32>, %k: tensor<4x16x32xf32>, %v: tensor<4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %kb = "stablehlo.broadcast_in_dim"(%k) <{broadcast_dimensions = array<i64: 1, 2, 3>}> : (tensor<4x16x32xf32>) -> tensor<2x4x16x32xf32>
  %vb = "stablehlo.broadcast_in_dim"(%v) <{broadcast_dimensions = array<i64: 1, 2, 3>}> : (tensor<4x16x32xf32>) -> tensor<2x4x16x32xf32>
  %s = "stablehlo.dot_general"(%q, %kb) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [3]>}> : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%s, %low) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.maximum"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %topb = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %x = "stablehlo.subtract"(%s, %topb) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %zero) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.add"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %sumb = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%e, %sumb) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = "stablehlo.dot_general"(%p, %vb) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [2]>}> : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @shared_keys
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[g, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[h, n, k] : tensor<4x16x32xf32>)
// CHECK-NEXT: v(%v[h, n, d] : tensor<4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[g, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// Widening conversions of the operands go, the rounding of the result as well.
func.func @converted_operands(%q: tensor<2x4x8x32xbf16>, %k: tensor<2x4x16x32xbf16>, %v: tensor<2x4x16x32xbf16>) -> tensor<2x4x8x32xbf16> {
  %qf = "stablehlo.convert"(%q) : (tensor<2x4x8x32xbf16>) -> tensor<2x4x8x32xf32>
  %kf = "stablehlo.convert"(%k) : (tensor<2x4x16x32xbf16>) -> tensor<2x4x16x32xf32>
  %vf = "stablehlo.convert"(%v) : (tensor<2x4x16x32xbf16>) -> tensor<2x4x16x32xf32>
  %s = "stablehlo.dot_general"(%qf, %kf) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [3]>}> : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%s, %low) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.maximum"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %topb = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %x = "stablehlo.subtract"(%s, %topb) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %zero) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.add"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %sumb = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%e, %sumb) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %of = "stablehlo.dot_general"(%p, %vf) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [2]>}> : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  %o = "stablehlo.convert"(%of) : (tensor<2x4x8x32xf32>) -> tensor<2x4x8x32xbf16>
  func.return %o : tensor<2x4x8x32xbf16>
}

// CHECK-LABEL: func.func @converted_operands
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xbf16>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xbf16>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xbf16>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xbf16>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xbf16>

// A conversion that loses bits of an operand is none to look through.
func.func @rounded_query(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xbf16>, %v: tensor<2x4x16x32xbf16>) -> tensor<2x4x8x32xbf16> {
  %qb = "stablehlo.convert"(%q) : (tensor<2x4x8x32xf32>) -> tensor<2x4x8x32xbf16>
  %s = "stablehlo.dot_general"(%qb, %k) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [3]>}> : (tensor<2x4x8x32xbf16>, tensor<2x4x16x32xbf16>) -> tensor<2x4x8x16xf32>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%s, %low) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.maximum"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %topb = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %x = "stablehlo.subtract"(%s, %topb) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %zero) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.add"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %sumb = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%e, %sumb) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %pb = "stablehlo.convert"(%p) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xbf16>
  %o = "stablehlo.dot_general"(%pb, %v) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [2]>}> : (tensor<2x4x8x16xbf16>, tensor<2x4x16x32xbf16>) -> tensor<2x4x8x32xbf16>
  func.return %o : tensor<2x4x8x32xbf16>
}

// CHECK-LABEL: func.func @rounded_query
// CHECK-NEXT: %qb = "stablehlo.convert"(%q) : (tensor<2x4x8x32xf32>) -> tensor<2x4x8x32xbf16>
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%qb[b, h, m, k] : tensor<2x4x8x32xbf16>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xbf16>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xbf16>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xbf16>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xbf16>

// bf16 to f16 is as wide, but no widening: large values overflow.
func.func @converted_sideways(%q: tensor<2x4x8x32xbf16>, %k: tensor<2x4x16x32xf16>, %v: tensor<2x4x16x32xf16>) -> tensor<2x4x8x32xf16> {
  %qb = "stablehlo.convert"(%q) : (tensor<2x4x8x32xbf16>) -> tensor<2x4x8x32xf16>
  %s = "stablehlo.dot_general"(%qb, %k) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [3]>}> : (tensor<2x4x8x32xf16>, tensor<2x4x16x32xf16>) -> tensor<2x4x8x16xf32>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%s, %low) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.maximum"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %topb = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %x = "stablehlo.subtract"(%s, %topb) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %zero) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.add"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %sumb = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%e, %sumb) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %pb = "stablehlo.convert"(%p) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf16>
  %o = "stablehlo.dot_general"(%pb, %v) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [2]>}> : (tensor<2x4x8x16xf16>, tensor<2x4x16x32xf16>) -> tensor<2x4x8x32xf16>
  func.return %o : tensor<2x4x8x32xf16>
}

// CHECK-LABEL: func.func @converted_sideways
// CHECK-NEXT: %qb = "stablehlo.convert"(%q) : (tensor<2x4x8x32xbf16>) -> tensor<2x4x8x32xf16>
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%qb[b, h, m, k] : tensor<2x4x8x32xf16>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf16>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf16>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf16>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf16>

// A cache is updated before the group: the group reads the updated tensor.
func.func @cache_update(%q: tensor<2x4x1x32xf32>, %cache: tensor<2x4x16x32xf32>, %new: tensor<2x4x1x32xf32>, %v: tensor<2x4x16x32xf32>, %pos: tensor<i32>) -> tensor<2x4x1x32xf32> {
  %z = "stablehlo.constant"() <{value = dense<0> : tensor<i32>}> : () -> tensor<i32>
  %k = "stablehlo.dynamic_update_slice"(%cache, %new, %z, %z, %pos, %z) : (tensor<2x4x16x32xf32>, tensor<2x4x1x32xf32>, tensor<i32>, tensor<i32>, tensor<i32>, tensor<i32>) -> tensor<2x4x16x32xf32>
  %s = "stablehlo.dot_general"(%q, %k) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [3]>}> : (tensor<2x4x1x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x1x16xf32>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%s, %low) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.maximum"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x4x1x16xf32>, tensor<f32>) -> tensor<2x4x1xf32>
  %topb = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x1xf32>) -> tensor<2x4x1x16xf32>
  %x = "stablehlo.subtract"(%s, %topb) : (tensor<2x4x1x16xf32>, tensor<2x4x1x16xf32>) -> tensor<2x4x1x16xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<2x4x1x16xf32>) -> tensor<2x4x1x16xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %zero) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.add"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x4x1x16xf32>, tensor<f32>) -> tensor<2x4x1xf32>
  %sumb = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x1xf32>) -> tensor<2x4x1x16xf32>
  %p = "stablehlo.divide"(%e, %sumb) : (tensor<2x4x1x16xf32>, tensor<2x4x1x16xf32>) -> tensor<2x4x1x16xf32>
  %o = "stablehlo.dot_general"(%p, %v) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [2]>}> : (tensor<2x4x1x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x1x32xf32>
  func.return %o : tensor<2x4x1x32xf32>
}

// CHECK-LABEL: func.func @cache_update
// CHECK-NEXT: %z = "stablehlo.constant"() <{value = dense<0> : tensor<i32>}> : () -> tensor<i32>
// CHECK-NEXT: %k = "stablehlo.dynamic_update_slice"(%cache, %new, %z, %z, %pos, %z) : (tensor<2x4x16x32xf32>, tensor<2x4x1x32xf32>, tensor<i32>, tensor<i32>, tensor<i32>, tensor<i32>) -> tensor<2x4x16x32xf32>
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x1x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x1x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x1x32xf32>

// A part of a cache is a slice, which no layout can say: it stays, and is read.
func.func @cache_slice(%q: tensor<2x4x1x32xf32>, %cache: tensor<2x4x64x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x1x32xf32> {
  %k = "stablehlo.slice"(%cache) <{start_indices = array<i64: 0, 0, 8, 0>, limit_indices = array<i64: 2, 4, 24, 32>, strides = array<i64: 1, 1, 1, 1>}> : (tensor<2x4x64x32xf32>) -> tensor<2x4x16x32xf32>
  %s = "stablehlo.dot_general"(%q, %k) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [3]>}> : (tensor<2x4x1x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x1x16xf32>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%s, %low) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.maximum"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x4x1x16xf32>, tensor<f32>) -> tensor<2x4x1xf32>
  %topb = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x1xf32>) -> tensor<2x4x1x16xf32>
  %x = "stablehlo.subtract"(%s, %topb) : (tensor<2x4x1x16xf32>, tensor<2x4x1x16xf32>) -> tensor<2x4x1x16xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<2x4x1x16xf32>) -> tensor<2x4x1x16xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %zero) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.add"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x4x1x16xf32>, tensor<f32>) -> tensor<2x4x1xf32>
  %sumb = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x1xf32>) -> tensor<2x4x1x16xf32>
  %p = "stablehlo.divide"(%e, %sumb) : (tensor<2x4x1x16xf32>, tensor<2x4x1x16xf32>) -> tensor<2x4x1x16xf32>
  %o = "stablehlo.dot_general"(%p, %v) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [2]>}> : (tensor<2x4x1x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x1x32xf32>
  func.return %o : tensor<2x4x1x32xf32>
}

// CHECK-LABEL: func.func @cache_slice
// CHECK-NEXT: %k = "stablehlo.slice"(%cache) <{start_indices = array<i64: 0, 0, 8, 0>, limit_indices = array<i64: 2, 4, 24, 32>, strides = array<i64: 1, 1, 1, 1>}> : (tensor<2x4x64x32xf32>) -> tensor<2x4x16x32xf32>
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x1x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x1x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x1x32xf32>

// A number of keys that is not known.
func.func @dynamic_keys(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x?x32xf32>, %v: tensor<2x4x?x32xf32>) -> tensor<2x4x8x32xf32> {
  %s = "stablehlo.dot_general"(%q, %k) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [3]>}> : (tensor<2x4x8x32xf32>, tensor<2x4x?x32xf32>) -> tensor<2x4x8x?xf32>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%s, %low) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.maximum"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x?xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %topb = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x?xf32>
  %x = "stablehlo.subtract"(%s, %topb) : (tensor<2x4x8x?xf32>, tensor<2x4x8x?xf32>) -> tensor<2x4x8x?xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<2x4x8x?xf32>) -> tensor<2x4x8x?xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %zero) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.add"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x?xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %sumb = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x?xf32>
  %p = "stablehlo.divide"(%e, %sumb) : (tensor<2x4x8x?xf32>, tensor<2x4x8x?xf32>) -> tensor<2x4x8x?xf32>
  %o = "stablehlo.dot_general"(%p, %v) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [2]>}> : (tensor<2x4x8x?xf32>, tensor<2x4x?x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @dynamic_keys
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x?x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x?x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// All sizes are equal: only the indices tell that K is read with its batch and head dimensions exchanged.
func.func @equal_sizes(%q: tensor<4x4x4x4xf32>, %k: tensor<4x4x4x4xf32>, %v: tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32> {
  %kt = "stablehlo.transpose"(%k) <{permutation = array<i64: 1, 0, 3, 2>}> : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %s = "stablehlo.dot_general"(%q, %kt) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [3]>}> : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%s, %low) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.maximum"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<4x4x4x4xf32>, tensor<f32>) -> tensor<4x4x4xf32>
  %topb = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %x = "stablehlo.subtract"(%s, %topb) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %zero) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.add"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<4x4x4x4xf32>, tensor<f32>) -> tensor<4x4x4xf32>
  %sumb = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %p = "stablehlo.divide"(%e, %sumb) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %o = "stablehlo.dot_general"(%p, %v) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [2]>}> : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  func.return %o : tensor<4x4x4x4xf32>
}

// CHECK-LABEL: func.func @equal_sizes
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<4x4x4x4xf32>)
// CHECK-NEXT: k(%k[h, b, k, n] : tensor<4x4x4x4xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<4x4x4x4xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, h, m, d] : tensor<4x4x4x4xf32>
// CHECK-NEXT: func.return %o : tensor<4x4x4x4xf32>

// One key only.
func.func @one_key(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x1x32xf32>, %v: tensor<2x4x1x32xf32>) -> tensor<2x4x8x32xf32> {
  %s = "stablehlo.dot_general"(%q, %k) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [3]>}> : (tensor<2x4x8x32xf32>, tensor<2x4x1x32xf32>) -> tensor<2x4x8x1xf32>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%s, %low) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.maximum"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x1xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %topb = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x1xf32>
  %x = "stablehlo.subtract"(%s, %topb) : (tensor<2x4x8x1xf32>, tensor<2x4x8x1xf32>) -> tensor<2x4x8x1xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<2x4x8x1xf32>) -> tensor<2x4x8x1xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %zero) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.add"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x1xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %sumb = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x1xf32>
  %p = "stablehlo.divide"(%e, %sumb) : (tensor<2x4x8x1xf32>, tensor<2x4x8x1xf32>) -> tensor<2x4x8x1xf32>
  %o = "stablehlo.dot_general"(%p, %v) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [2]>}> : (tensor<2x4x8x1xf32>, tensor<2x4x1x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @one_key
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x1x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x1x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// The parts of a plain attention, which are inlined.


