// RUN: xdsl-opt %s -p fuse-attention | filecheck %s

// What of a softmax is used outside the group. With m = max_n S and l = sum_n exp(S - m), the log-sum-exp is
//
//   LSE = m + log(l)
//
// and a result of the operation. The maximum is none: it stays where it is computed. The sum is exp(LSE - m), where that
// is exact. Whatever else is used of the logits and the weights would be computed twice, and the graph is left alone.

// CHECK-LABEL: builtin.module

// m + log(l) of the softmax itself.
func.func @lse_of_the_softmax(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> (tensor<2x4x8x32xf32>, tensor<2x4x8xf32>) {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %top_start = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%s, %top_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%top_a: tensor<f32>, %top_b: tensor<f32>):
    %top_c = "stablehlo.maximum"(%top_a, %top_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%top_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %top_keys = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %e_x = "stablehlo.subtract"(%s, %top_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%e_x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sum_start = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %sum_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%sum_a: tensor<f32>, %sum_b: tensor<f32>):
    %sum_c = "stablehlo.add"(%sum_a, %sum_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%sum_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %sum_keys = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%e, %sum_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  %log = "stablehlo.log"(%sum) : (tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %lse = "stablehlo.add"(%top, %log) : (tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  func.return %o, %lse : tensor<2x4x8x32xf32>, tensor<2x4x8xf32>
}

// CHECK-LABEL: func.func @lse_of_the_softmax
// CHECK-NEXT: %o, %lse = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>, lse[b, h, m] : tensor<2x4x8xf32>
// CHECK-NEXT: func.return %o, %lse : tensor<2x4x8x32xf32>, tensor<2x4x8xf32>

// jax.nn.logsumexp of the same scores: a maximum of its own that is 0 where it is infinite, and |l|. A sign of l is not used.
func.func @logsumexp_of_jax(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> (tensor<2x4x8x32xf32>, tensor<2x4x8xf32>) {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %top_start = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%s, %top_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%top_a: tensor<f32>, %top_b: tensor<f32>):
    %top_c = "stablehlo.maximum"(%top_a, %top_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%top_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %top_keys = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %e_x = "stablehlo.subtract"(%s, %top_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%e_x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sum_start = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %sum_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%sum_a: tensor<f32>, %sum_b: tensor<f32>):
    %sum_c = "stablehlo.add"(%sum_a, %sum_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%sum_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %sum_keys = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%e, %sum_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  %top2_start = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top2 = "stablehlo.reduce"(%s, %top2_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%top2_a: tensor<f32>, %top2_b: tensor<f32>):
    %top2_c = "stablehlo.maximum"(%top2_a, %top2_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%top2_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %finite = "stablehlo.is_finite"(%top2) : (tensor<2x4x8xf32>) -> tensor<2x4x8xi1>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<2x4x8xf32>}> : () -> tensor<2x4x8xf32>
  %safe = "stablehlo.select"(%finite, %top2, %zero) : (tensor<2x4x8xi1>, tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %safe_keys = "stablehlo.broadcast_in_dim"(%safe) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %e2_x = "stablehlo.subtract"(%s, %safe_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %e2 = "stablehlo.exponential"(%e2_x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sum2_start = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum2 = "stablehlo.reduce"(%e2, %sum2_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%sum2_a: tensor<f32>, %sum2_b: tensor<f32>):
    %sum2_c = "stablehlo.add"(%sum2_a, %sum2_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%sum2_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %sign = "stablehlo.sign"(%sum2) : (tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %abs = "stablehlo.abs"(%sum2) : (tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %log = "stablehlo.log"(%abs) : (tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %lse = "stablehlo.add"(%log, %safe) : (tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  func.return %o, %lse : tensor<2x4x8x32xf32>, tensor<2x4x8xf32>
}

// CHECK-LABEL: func.func @logsumexp_of_jax
// CHECK-NEXT: %o, %lse = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>, lse[b, h, m] : tensor<2x4x8xf32>
// CHECK-NEXT: func.return %o, %lse : tensor<2x4x8x32xf32>, tensor<2x4x8xf32>

// torch.logsumexp: the maximum is 0 where its absolute value is inf.
func.func @logsumexp_of_torch(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> (tensor<2x4x8x32xf32>, tensor<2x4x8xf32>) {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %top_start = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%s, %top_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%top_a: tensor<f32>, %top_b: tensor<f32>):
    %top_c = "stablehlo.maximum"(%top_a, %top_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%top_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %top_keys = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %e_x = "stablehlo.subtract"(%s, %top_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%e_x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sum_start = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %sum_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%sum_a: tensor<f32>, %sum_b: tensor<f32>):
    %sum_c = "stablehlo.add"(%sum_a, %sum_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%sum_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %sum_keys = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%e, %sum_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  %abs = "stablehlo.abs"(%top) : (tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %inf = "stablehlo.constant"() <{value = dense<0x7F800000> : tensor<2x4x8xf32>}> : () -> tensor<2x4x8xf32>
  %infinite = "stablehlo.compare"(%abs, %inf) <{comparison_direction = #stablehlo<comparison_direction EQ>}> : (tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> tensor<2x4x8xi1>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<2x4x8xf32>}> : () -> tensor<2x4x8xf32>
  %safe = "stablehlo.select"(%infinite, %zero, %top) : (tensor<2x4x8xi1>, tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %safe_keys = "stablehlo.broadcast_in_dim"(%safe) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %e2_x = "stablehlo.subtract"(%s, %safe_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %e2 = "stablehlo.exponential"(%e2_x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sum2_start = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum2 = "stablehlo.reduce"(%e2, %sum2_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%sum2_a: tensor<f32>, %sum2_b: tensor<f32>):
    %sum2_c = "stablehlo.add"(%sum2_a, %sum2_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%sum2_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %log = "stablehlo.log"(%sum2) : (tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %lse = "stablehlo.add"(%log, %safe) : (tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  func.return %o, %lse : tensor<2x4x8x32xf32>, tensor<2x4x8xf32>
}

// CHECK-LABEL: func.func @logsumexp_of_torch
// CHECK-NEXT: %o, %lse = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>, lse[b, h, m] : tensor<2x4x8xf32>
// CHECK-NEXT: func.return %o, %lse : tensor<2x4x8x32xf32>, tensor<2x4x8xf32>

// Rows without keys have an LSE of -inf.
func.func @lse_of_masked_rows(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %mask: tensor<8x16xi1>) -> (tensor<2x4x8x32xf32>, tensor<2x4x8xf32>) {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %mask_keys = "stablehlo.broadcast_in_dim"(%mask) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xi1>) -> tensor<2x4x8x16xi1>
  %t_low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %t = "stablehlo.select"(%mask_keys, %s, %t_low) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %top_start = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%t, %top_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%top_a: tensor<f32>, %top_b: tensor<f32>):
    %top_c = "stablehlo.maximum"(%top_a, %top_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%top_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %top_keys = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %e_x = "stablehlo.subtract"(%t, %top_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%e_x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sum_start = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %sum_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%sum_a: tensor<f32>, %sum_b: tensor<f32>):
    %sum_c = "stablehlo.add"(%sum_a, %sum_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%sum_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %sum_keys = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%e, %sum_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  %log = "stablehlo.log"(%sum) : (tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %lse = "stablehlo.add"(%top, %log) : (tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  func.return %o, %lse : tensor<2x4x8x32xf32>, tensor<2x4x8xf32>
}

// CHECK-LABEL: func.func @lse_of_masked_rows
// CHECK-NEXT: %o, %lse = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score(mask(%mask[m, n] : tensor<8x16xi1>))
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>, lse[b, h, m] : tensor<2x4x8xf32>
// CHECK-NEXT: func.return %o, %lse : tensor<2x4x8x32xf32>, tensor<2x4x8xf32>

// A finite mask is a part of the LSE.
func.func @lse_of_finite_mask(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %mask: tensor<8x16xi1>) -> (tensor<2x4x8x32xf32>, tensor<2x4x8xf32>) {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %mask_keys = "stablehlo.broadcast_in_dim"(%mask) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xi1>) -> tensor<2x4x8x16xi1>
  %t_low = "stablehlo.constant"() <{value = dense<-1.0e9> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %t = "stablehlo.select"(%mask_keys, %s, %t_low) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %top_start = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%t, %top_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%top_a: tensor<f32>, %top_b: tensor<f32>):
    %top_c = "stablehlo.maximum"(%top_a, %top_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%top_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %top_keys = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %e_x = "stablehlo.subtract"(%t, %top_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%e_x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sum_start = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %sum_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%sum_a: tensor<f32>, %sum_b: tensor<f32>):
    %sum_c = "stablehlo.add"(%sum_a, %sum_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%sum_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %sum_keys = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%e, %sum_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  %log = "stablehlo.log"(%sum) : (tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %lse = "stablehlo.add"(%top, %log) : (tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  func.return %o, %lse : tensor<2x4x8x32xf32>, tensor<2x4x8xf32>
}

// CHECK-LABEL: func.func @lse_of_finite_mask
// CHECK-NEXT: %o, %lse = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score {
// CHECK-NEXT: ^bb0(%s: f32, %b: index, %hq: index, %m: index, %n: index):
// CHECK-NEXT: %0 = tensor.extract %mask[%m, %n] : tensor<8x16xi1>
// CHECK-NEXT: %1 = arith.constant -1.000000e+09 : f32
// CHECK-NEXT: %2 = arith.select %0, %s, %1 : f32
// CHECK-NEXT: attention.yield %2 : f32
// CHECK-NEXT: }
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>, lse[b, h, m] : tensor<2x4x8xf32>
// CHECK-NEXT: func.return %o, %lse : tensor<2x4x8x32xf32>, tensor<2x4x8xf32>

// Base 2: m + log2(l) is the LSE times log2(e).
func.func @lse_in_base_two(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> (tensor<2x4x8x32xf32>, tensor<2x4x8xf32>) {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %top_start = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%s, %top_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%top_a: tensor<f32>, %top_b: tensor<f32>):
    %top_c = "stablehlo.maximum"(%top_a, %top_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%top_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %tk = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %x = "stablehlo.subtract"(%s, %tk) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %two = "stablehlo.constant"() <{value = dense<2.0> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %e = "stablehlo.power"(%two, %x) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sum_start = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %sum_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%sum_a: tensor<f32>, %sum_b: tensor<f32>):
    %sum_c = "stablehlo.add"(%sum_a, %sum_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%sum_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %sum_keys = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%e, %sum_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  %log = "stablehlo.log"(%sum) : (tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %ln2 = "stablehlo.constant"() <{value = dense<0.693147182> : tensor<2x4x8xf32>}> : () -> tensor<2x4x8xf32>
  %log2 = "stablehlo.divide"(%log, %ln2) : (tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %lse = "stablehlo.add"(%top, %log2) : (tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  func.return %o, %lse : tensor<2x4x8x32xf32>, tensor<2x4x8xf32>
}

// CHECK-LABEL: func.func @lse_in_base_two
// CHECK-NEXT: %o, %0 = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(0.69314718055994529)
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>, lse[b, h, m] : tensor<2x4x8xf32>
// CHECK-NEXT: %1 = "stablehlo.constant"() <{value = dense<1.44269502> : tensor<f32>}> : () -> tensor<f32>
// CHECK-NEXT: %2 = "stablehlo.broadcast_in_dim"(%1) <{broadcast_dimensions = array<i64>}> : (tensor<f32>) -> tensor<2x4x8xf32>
// CHECK-NEXT: %lse = "stablehlo.multiply"(%0, %2) : (tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
// CHECK-NEXT: func.return %o, %lse : tensor<2x4x8x32xf32>, tensor<2x4x8xf32>

// A dimension of size 1 goes, and so does a transpose: they are the layout of the LSE.
func.func @lse_with_dimension(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> (tensor<2x4x8x32xf32>, tensor<2x8x4xf32>) {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %top_start = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%s, %top_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%top_a: tensor<f32>, %top_b: tensor<f32>):
    %top_c = "stablehlo.maximum"(%top_a, %top_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%top_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %top_keys = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %e_x = "stablehlo.subtract"(%s, %top_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%e_x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sum_start = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %sum_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%sum_a: tensor<f32>, %sum_b: tensor<f32>):
    %sum_c = "stablehlo.add"(%sum_a, %sum_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%sum_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %sum_keys = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%e, %sum_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  %top1 = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x1xf32>
  %sum1 = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x1xf32>
  %log = "stablehlo.log"(%sum1) : (tensor<2x4x8x1xf32>) -> tensor<2x4x8x1xf32>
  %lse = "stablehlo.add"(%top1, %log) : (tensor<2x4x8x1xf32>, tensor<2x4x8x1xf32>) -> tensor<2x4x8x1xf32>
  %r = "stablehlo.reshape"(%lse) : (tensor<2x4x8x1xf32>) -> tensor<2x4x8xf32>
  %tr = "stablehlo.transpose"(%r) <{permutation = array<i64: 0, 2, 1>}> : (tensor<2x4x8xf32>) -> tensor<2x8x4xf32>
  func.return %o, %tr : tensor<2x4x8x32xf32>, tensor<2x8x4xf32>
}

// CHECK-LABEL: func.func @lse_with_dimension
// CHECK-NEXT: %o, %tr = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>, lse[b, m, h] : tensor<2x8x4xf32>
// CHECK-NEXT: func.return %o, %tr : tensor<2x4x8x32xf32>, tensor<2x8x4xf32>

// Two uses: the second has another layout and type.
func.func @lse_in_two_layouts(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> (tensor<2x4x8x32xf32>, tensor<2x4x8xf32>, tensor<2x8x4xf16>) {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %top_start = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%s, %top_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%top_a: tensor<f32>, %top_b: tensor<f32>):
    %top_c = "stablehlo.maximum"(%top_a, %top_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%top_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %top_keys = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %e_x = "stablehlo.subtract"(%s, %top_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%e_x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sum_start = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %sum_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%sum_a: tensor<f32>, %sum_b: tensor<f32>):
    %sum_c = "stablehlo.add"(%sum_a, %sum_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%sum_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %sum_keys = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%e, %sum_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  %log = "stablehlo.log"(%sum) : (tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %lse = "stablehlo.add"(%top, %log) : (tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %tr = "stablehlo.transpose"(%log) <{permutation = array<i64: 0, 2, 1>}> : (tensor<2x4x8xf32>) -> tensor<2x8x4xf32>
  %trt = "stablehlo.transpose"(%top) <{permutation = array<i64: 0, 2, 1>}> : (tensor<2x4x8xf32>) -> tensor<2x8x4xf32>
  %lset = "stablehlo.add"(%tr, %trt) : (tensor<2x8x4xf32>, tensor<2x8x4xf32>) -> tensor<2x8x4xf32>
  %narrow = "stablehlo.convert"(%lset) : (tensor<2x8x4xf32>) -> tensor<2x8x4xf16>
  func.return %o, %lse, %narrow : tensor<2x4x8x32xf32>, tensor<2x4x8xf32>, tensor<2x8x4xf16>
}

// CHECK-LABEL: func.func @lse_in_two_layouts
// CHECK-NEXT: %o, %lse = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>, lse[b, h, m] : tensor<2x4x8xf32>
// CHECK-NEXT: %lse_1 = "stablehlo.transpose"(%lse) <{permutation = array<i64: 0, 2, 1>}> : (tensor<2x4x8xf32>) -> tensor<2x8x4xf32>
// CHECK-NEXT: %narrow = "stablehlo.convert"(%lse_1) : (tensor<2x8x4xf32>) -> tensor<2x8x4xf16>
// CHECK-NEXT: func.return %o, %lse, %narrow : tensor<2x4x8x32xf32>, tensor<2x4x8xf32>, tensor<2x8x4xf16>

// The division comes after the second dot, and the LSE before it.
func.func @lse_of_late_division(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> (tensor<2x4x8xf32>, tensor<2x4x8x32xf32>) {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %top_start = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%s, %top_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%top_a: tensor<f32>, %top_b: tensor<f32>):
    %top_c = "stablehlo.maximum"(%top_a, %top_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%top_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %top_keys = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %e_x = "stablehlo.subtract"(%s, %top_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%e_x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sum_start = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %sum_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%sum_a: tensor<f32>, %sum_b: tensor<f32>):
    %sum_c = "stablehlo.add"(%sum_a, %sum_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%sum_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %log = "stablehlo.log"(%sum) : (tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %lse = "stablehlo.add"(%top, %log) : (tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %acc = func.call @pv(%e, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  %sumd = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x32xf32>
  %o = "stablehlo.divide"(%acc, %sumd) : (tensor<2x4x8x32xf32>, tensor<2x4x8x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %lse, %o : tensor<2x4x8xf32>, tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @lse_of_late_division
// CHECK-NEXT: %o, %lse = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>, lse[b, h, m] : tensor<2x4x8xf32>
// CHECK-NEXT: func.return %lse, %o : tensor<2x4x8xf32>, tensor<2x4x8x32xf32>

// A sink is a part of the LSE.
func.func @lse_with_sink(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %sinks: tensor<4xf32>) -> (tensor<2x4x8x32xf32>, tensor<2x4x8xf32>) {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %column = "stablehlo.broadcast_in_dim"(%sinks) <{broadcast_dimensions = array<i64: 1>}> : (tensor<4xf32>) -> tensor<2x4x8x1xf32>
  %all = "stablehlo.concatenate"(%s, %column) <{dimension = 3 : i64}> : (tensor<2x4x8x16xf32>, tensor<2x4x8x1xf32>) -> tensor<2x4x8x17xf32>
  %top_start = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%all, %top_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%top_a: tensor<f32>, %top_b: tensor<f32>):
    %top_c = "stablehlo.maximum"(%top_a, %top_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%top_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x17xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %tk = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x17xf32>
  %x = "stablehlo.subtract"(%all, %tk) : (tensor<2x4x8x17xf32>, tensor<2x4x8x17xf32>) -> tensor<2x4x8x17xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<2x4x8x17xf32>) -> tensor<2x4x8x17xf32>
  %sum_start = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %sum_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%sum_a: tensor<f32>, %sum_b: tensor<f32>):
    %sum_c = "stablehlo.add"(%sum_a, %sum_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%sum_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x17xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %sk = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x17xf32>
  %p17 = "stablehlo.divide"(%e, %sk) : (tensor<2x4x8x17xf32>, tensor<2x4x8x17xf32>) -> tensor<2x4x8x17xf32>
  %p = "stablehlo.slice"(%p17) <{start_indices = array<i64: 0, 0, 0, 0>, limit_indices = array<i64: 2, 4, 8, 16>, strides = array<i64: 1, 1, 1, 1>}> : (tensor<2x4x8x17xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  %log = "stablehlo.log"(%sum) : (tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %lse = "stablehlo.add"(%top, %log) : (tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  func.return %o, %lse : tensor<2x4x8x32xf32>, tensor<2x4x8xf32>
}

// CHECK-LABEL: func.func @lse_with_sink
// CHECK-NEXT: %o, %lse = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: sinks(%sinks[h] : tensor<4xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>, lse[b, h, m] : tensor<2x4x8xf32>
// CHECK-NEXT: func.return %o, %lse : tensor<2x4x8x32xf32>, tensor<2x4x8xf32>

// The maximum is no result of the operation: its product of queries and keys stays.
func.func @maximum_used(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> (tensor<2x4x8x32xf32>, tensor<2x4x8xf32>) {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %top_start = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%s, %top_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%top_a: tensor<f32>, %top_b: tensor<f32>):
    %top_c = "stablehlo.maximum"(%top_a, %top_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%top_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %top_keys = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %e_x = "stablehlo.subtract"(%s, %top_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%e_x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sum_start = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %sum_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%sum_a: tensor<f32>, %sum_b: tensor<f32>):
    %sum_c = "stablehlo.add"(%sum_a, %sum_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%sum_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %sum_keys = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%e, %sum_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o, %top : tensor<2x4x8x32xf32>, tensor<2x4x8xf32>
}

// CHECK-LABEL: func.func @maximum_used
// CHECK-NEXT: %s = "stablehlo.dot_general"(%q, %k) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [3]>}> : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
// CHECK-NEXT: %top_start = "stablehlo.constant"() <{value = dense<0xff800000> : tensor<f32>}> : () -> tensor<f32>
// CHECK-NEXT: %top = "stablehlo.reduce"(%s, %top_start) <{dimensions = array<i64: 3>}> ({
// CHECK-NEXT: ^bb0(%top_a: tensor<f32>, %top_b: tensor<f32>):
// CHECK-NEXT: %top_c = "stablehlo.maximum"(%top_a, %top_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
// CHECK-NEXT: "stablehlo.return"(%top_c) : (tensor<f32>) -> ()
// CHECK-NEXT: }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o, %top : tensor<2x4x8x32xf32>, tensor<2x4x8xf32>

// The sum is exp(LSE - m).
func.func @maximum_and_sum_used(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> (tensor<2x4x8x32xf32>, tensor<2x4x8xf32>, tensor<2x4x8xf32>) {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %top_start = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%s, %top_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%top_a: tensor<f32>, %top_b: tensor<f32>):
    %top_c = "stablehlo.maximum"(%top_a, %top_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%top_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %top_keys = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %e_x = "stablehlo.subtract"(%s, %top_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%e_x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sum_start = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %sum_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%sum_a: tensor<f32>, %sum_b: tensor<f32>):
    %sum_c = "stablehlo.add"(%sum_a, %sum_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%sum_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %acc = func.call @pv(%e, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  %sumd = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x32xf32>
  %o = "stablehlo.divide"(%acc, %sumd) : (tensor<2x4x8x32xf32>, tensor<2x4x8x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o, %top, %sum : tensor<2x4x8x32xf32>, tensor<2x4x8xf32>, tensor<2x4x8xf32>
}

// CHECK-LABEL: func.func @maximum_and_sum_used
// CHECK-NEXT: %s = "stablehlo.dot_general"(%q, %k) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [3]>}> : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
// CHECK-NEXT: %top_start = "stablehlo.constant"() <{value = dense<0xff800000> : tensor<f32>}> : () -> tensor<f32>
// CHECK-NEXT: %top = "stablehlo.reduce"(%s, %top_start) <{dimensions = array<i64: 3>}> ({
// CHECK-NEXT: ^bb0(%top_a: tensor<f32>, %top_b: tensor<f32>):
// CHECK-NEXT: %top_c = "stablehlo.maximum"(%top_a, %top_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
// CHECK-NEXT: "stablehlo.return"(%top_c) : (tensor<f32>) -> ()
// CHECK-NEXT: }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
// CHECK-NEXT: %o, %0 = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>, lse[b, h, m] : tensor<2x4x8xf32>
// CHECK-NEXT: %1 = "stablehlo.subtract"(%0, %top) : (tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
// CHECK-NEXT: %row_sum = "stablehlo.exponential"(%1) : (tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
// CHECK-NEXT: func.return %o, %top, %row_sum : tensor<2x4x8x32xf32>, tensor<2x4x8xf32>, tensor<2x4x8xf32>

// A function of the maximum and the sum that is no LSE: rows without keys have another value.
func.func @logarithm_of_clamped_sum(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %mask: tensor<8x16xi1>) -> (tensor<2x4x8x32xf32>, tensor<2x4x8xf32>) {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %mask_keys = "stablehlo.broadcast_in_dim"(%mask) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xi1>) -> tensor<2x4x8x16xi1>
  %t_low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %t = "stablehlo.select"(%mask_keys, %s, %t_low) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %top_start = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%t, %top_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%top_a: tensor<f32>, %top_b: tensor<f32>):
    %top_c = "stablehlo.maximum"(%top_a, %top_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%top_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %finite = "stablehlo.is_finite"(%top) : (tensor<2x4x8xf32>) -> tensor<2x4x8xi1>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<2x4x8xf32>}> : () -> tensor<2x4x8xf32>
  %safe = "stablehlo.select"(%finite, %top, %zero) : (tensor<2x4x8xi1>, tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %safe_keys = "stablehlo.broadcast_in_dim"(%safe) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %e_x = "stablehlo.subtract"(%t, %safe_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%e_x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sum_start = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %sum_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%sum_a: tensor<f32>, %sum_b: tensor<f32>):
    %sum_c = "stablehlo.add"(%sum_a, %sum_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%sum_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %eps = "stablehlo.constant"() <{value = dense<1.0e-20> : tensor<2x4x8xf32>}> : () -> tensor<2x4x8xf32>
  %some = "stablehlo.maximum"(%sum, %eps) : (tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %some_keys = "stablehlo.broadcast_in_dim"(%some) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%e, %some_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  %log = "stablehlo.log"(%some) : (tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %lse = "stablehlo.add"(%safe, %log) : (tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  func.return %o, %lse : tensor<2x4x8x32xf32>, tensor<2x4x8xf32>
}

// CHECK-LABEL: func.func @logarithm_of_clamped_sum
// CHECK-NEXT: %s = "stablehlo.dot_general"(%q, %k) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [3]>}> : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
// CHECK-NEXT: %mask_keys = "stablehlo.broadcast_in_dim"(%mask) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xi1>) -> tensor<2x4x8x16xi1>
// CHECK-NEXT: %t_low = "stablehlo.constant"() <{value = dense<0xff800000> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
// CHECK-NEXT: %t = "stablehlo.select"(%mask_keys, %s, %t_low) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
// CHECK-NEXT: %top_start = "stablehlo.constant"() <{value = dense<0xff800000> : tensor<f32>}> : () -> tensor<f32>
// CHECK-NEXT: %top = "stablehlo.reduce"(%t, %top_start) <{dimensions = array<i64: 3>}> ({
// CHECK-NEXT: ^bb0(%top_a: tensor<f32>, %top_b: tensor<f32>):
// CHECK-NEXT: %top_c = "stablehlo.maximum"(%top_a, %top_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
// CHECK-NEXT: "stablehlo.return"(%top_c) : (tensor<f32>) -> ()
// CHECK-NEXT: }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
// CHECK-NEXT: %finite = "stablehlo.is_finite"(%top) : (tensor<2x4x8xf32>) -> tensor<2x4x8xi1>
// CHECK-NEXT: %zero = "stablehlo.constant"() <{value = dense<0.000000e+00> : tensor<2x4x8xf32>}> : () -> tensor<2x4x8xf32>
// CHECK-NEXT: %safe = "stablehlo.select"(%finite, %top, %zero) : (tensor<2x4x8xi1>, tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
// CHECK-NEXT: %o, %0 = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score(mask(%mask[m, n] : tensor<8x16xi1>))
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>, lse[b, h, m] : tensor<2x4x8xf32>
// CHECK-NEXT: %1 = "stablehlo.subtract"(%0, %safe) : (tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
// CHECK-NEXT: %row_sum = "stablehlo.exponential"(%1) : (tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
// CHECK-NEXT: %eps = "stablehlo.constant"() <{value = dense<1.000000e-20> : tensor<2x4x8xf32>}> : () -> tensor<2x4x8xf32>
// CHECK-NEXT: %some = "stablehlo.maximum"(%row_sum, %eps) : (tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
// CHECK-NEXT: %log = "stablehlo.log"(%some) : (tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
// CHECK-NEXT: %lse = "stablehlo.add"(%safe, %log) : (tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
// CHECK-NEXT: func.return %o, %lse : tensor<2x4x8x32xf32>, tensor<2x4x8xf32>

// The LSE of the scores without their mask.
func.func @lse_of_other_scores(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %mask: tensor<8x16xi1>) -> (tensor<2x4x8x32xf32>, tensor<2x4x8xf32>) {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %mask_keys = "stablehlo.broadcast_in_dim"(%mask) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xi1>) -> tensor<2x4x8x16xi1>
  %t_low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %t = "stablehlo.select"(%mask_keys, %s, %t_low) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %top_start = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%t, %top_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%top_a: tensor<f32>, %top_b: tensor<f32>):
    %top_c = "stablehlo.maximum"(%top_a, %top_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%top_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %top_keys = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %e_x = "stablehlo.subtract"(%t, %top_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%e_x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sum_start = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %sum_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%sum_a: tensor<f32>, %sum_b: tensor<f32>):
    %sum_c = "stablehlo.add"(%sum_a, %sum_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%sum_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %sum_keys = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%e, %sum_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  %top2_start = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top2 = "stablehlo.reduce"(%s, %top2_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%top2_a: tensor<f32>, %top2_b: tensor<f32>):
    %top2_c = "stablehlo.maximum"(%top2_a, %top2_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%top2_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %top2_keys = "stablehlo.broadcast_in_dim"(%top2) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %e2_x = "stablehlo.subtract"(%s, %top2_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %e2 = "stablehlo.exponential"(%e2_x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sum2_start = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum2 = "stablehlo.reduce"(%e2, %sum2_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%sum2_a: tensor<f32>, %sum2_b: tensor<f32>):
    %sum2_c = "stablehlo.add"(%sum2_a, %sum2_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%sum2_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %log = "stablehlo.log"(%sum2) : (tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %lse = "stablehlo.add"(%top2, %log) : (tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  func.return %o, %lse : tensor<2x4x8x32xf32>, tensor<2x4x8xf32>
}

// CHECK-LABEL: func.func @lse_of_other_scores
// CHECK-NOT: attention.sdpa
// CHECK: func.return

// A sum under a finite mask: in a row of nothing but masked keys the LSE is the mask, and has lost the count of keys.
func.func @sum_of_finite_mask(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %mask: tensor<8x16xi1>) -> (tensor<2x4x8x32xf32>, tensor<2x4x8xf32>) {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %mask_keys = "stablehlo.broadcast_in_dim"(%mask) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xi1>) -> tensor<2x4x8x16xi1>
  %t_low = "stablehlo.constant"() <{value = dense<-1.0e9> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %t = "stablehlo.select"(%mask_keys, %s, %t_low) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %top_start = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%t, %top_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%top_a: tensor<f32>, %top_b: tensor<f32>):
    %top_c = "stablehlo.maximum"(%top_a, %top_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%top_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %top_keys = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %e_x = "stablehlo.subtract"(%t, %top_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%e_x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sum_start = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %sum_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%sum_a: tensor<f32>, %sum_b: tensor<f32>):
    %sum_c = "stablehlo.add"(%sum_a, %sum_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%sum_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %sum_keys = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%e, %sum_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o, %sum : tensor<2x4x8x32xf32>, tensor<2x4x8xf32>
}

// CHECK-LABEL: func.func @sum_of_finite_mask
// CHECK-NOT: attention.sdpa
// CHECK: func.return

// A sum under a bias, which may be such a mask.
func.func @sum_of_bias(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %bias: tensor<8x16xf32>) -> (tensor<2x4x8x32xf32>, tensor<2x4x8xf32>) {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %b = "stablehlo.broadcast_in_dim"(%bias) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xf32>) -> tensor<2x4x8x16xf32>
  %t = "stablehlo.add"(%s, %b) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %top_start = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%t, %top_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%top_a: tensor<f32>, %top_b: tensor<f32>):
    %top_c = "stablehlo.maximum"(%top_a, %top_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%top_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %top_keys = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %e_x = "stablehlo.subtract"(%t, %top_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%e_x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sum_start = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %sum_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%sum_a: tensor<f32>, %sum_b: tensor<f32>):
    %sum_c = "stablehlo.add"(%sum_a, %sum_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%sum_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %sum_keys = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%e, %sum_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o, %sum : tensor<2x4x8x32xf32>, tensor<2x4x8xf32>
}

// CHECK-LABEL: func.func @sum_of_bias
// CHECK-NOT: attention.sdpa
// CHECK: func.return

// The logarithms of the weights are no row values.
func.func @logarithms_of_weights(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> (tensor<2x4x8x32xf32>, tensor<2x4x8x16xf32>) {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %top_start = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%s, %top_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%top_a: tensor<f32>, %top_b: tensor<f32>):
    %top_c = "stablehlo.maximum"(%top_a, %top_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%top_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %top_keys = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %e_x = "stablehlo.subtract"(%s, %top_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%e_x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sum_start = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %sum_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%sum_a: tensor<f32>, %sum_b: tensor<f32>):
    %sum_c = "stablehlo.add"(%sum_a, %sum_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%sum_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %sum_keys = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%e, %sum_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  %log = "stablehlo.log"(%sum) : (tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %lse = "stablehlo.add"(%top, %log) : (tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %lsek = "stablehlo.broadcast_in_dim"(%lse) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %logp = "stablehlo.subtract"(%s, %lsek) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  func.return %o, %logp : tensor<2x4x8x32xf32>, tensor<2x4x8x16xf32>
}

// CHECK-LABEL: func.func @logarithms_of_weights
// CHECK-NOT: attention.sdpa
// CHECK: func.return

// The maximum of a column.
func.func @maximum_over_queries_used(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> (tensor<2x4x8x32xf32>, tensor<2x4x16xf32>) {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %top_start = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%s, %top_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%top_a: tensor<f32>, %top_b: tensor<f32>):
    %top_c = "stablehlo.maximum"(%top_a, %top_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%top_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %top_keys = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %e_x = "stablehlo.subtract"(%s, %top_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%e_x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sum_start = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %sum_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%sum_a: tensor<f32>, %sum_b: tensor<f32>):
    %sum_c = "stablehlo.add"(%sum_a, %sum_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%sum_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %sum_keys = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%e, %sum_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  %col_start = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %col = "stablehlo.reduce"(%s, %col_start) <{dimensions = array<i64: 2>}> ({
  ^bb0(%col_a: tensor<f32>, %col_b: tensor<f32>):
    %col_c = "stablehlo.maximum"(%col_a, %col_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%col_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x16xf32>
  func.return %o, %col : tensor<2x4x8x32xf32>, tensor<2x4x16xf32>
}

// CHECK-LABEL: func.func @maximum_over_queries_used
// CHECK-NOT: attention.sdpa
// CHECK: func.return

// The sum of the squared weights.
func.func @sum_of_weights_used(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> (tensor<2x4x8x32xf32>, tensor<2x4x8xf32>) {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %top_start = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%s, %top_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%top_a: tensor<f32>, %top_b: tensor<f32>):
    %top_c = "stablehlo.maximum"(%top_a, %top_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%top_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %top_keys = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %e_x = "stablehlo.subtract"(%s, %top_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%e_x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sum_start = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %sum_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%sum_a: tensor<f32>, %sum_b: tensor<f32>):
    %sum_c = "stablehlo.add"(%sum_a, %sum_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%sum_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %sum_keys = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%e, %sum_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  %pp = "stablehlo.multiply"(%p, %p) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sq_start = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sq = "stablehlo.reduce"(%pp, %sq_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%sq_a: tensor<f32>, %sq_b: tensor<f32>):
    %sq_c = "stablehlo.add"(%sq_a, %sq_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%sq_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  func.return %o, %sq : tensor<2x4x8x32xf32>, tensor<2x4x8xf32>
}

// CHECK-LABEL: func.func @sum_of_weights_used
// CHECK-NOT: attention.sdpa
// CHECK: func.return

// The values are computed from the LSE.
func.func @value_needs_the_lse(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> (tensor<2x4x8x32xf32>, tensor<2x4x8xf32>) {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %top_start = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%s, %top_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%top_a: tensor<f32>, %top_b: tensor<f32>):
    %top_c = "stablehlo.maximum"(%top_a, %top_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%top_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %top_keys = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %e_x = "stablehlo.subtract"(%s, %top_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%e_x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sum_start = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %sum_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%sum_a: tensor<f32>, %sum_b: tensor<f32>):
    %sum_c = "stablehlo.add"(%sum_a, %sum_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%sum_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %sum_keys = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%e, %sum_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %log = "stablehlo.log"(%sum) : (tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %lse = "stablehlo.add"(%top, %log) : (tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %all_start = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %all = "stablehlo.reduce"(%lse, %all_start) <{dimensions = array<i64: 0, 1, 2>}> ({
  ^bb0(%all_a: tensor<f32>, %all_b: tensor<f32>):
    %all_c = "stablehlo.add"(%all_a, %all_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%all_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8xf32>, tensor<f32>) -> tensor<f32>
  %wide = "stablehlo.broadcast_in_dim"(%all) <{broadcast_dimensions = array<i64>}> : (tensor<f32>) -> tensor<2x4x16x32xf32>
  %w = "stablehlo.multiply"(%v, %wide) : (tensor<2x4x16x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x16x32xf32>
  %o = func.call @pv(%p, %w) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o, %lse : tensor<2x4x8x32xf32>, tensor<2x4x8xf32>
}

// CHECK-LABEL: func.func @value_needs_the_lse
// CHECK-NOT: attention.sdpa
// CHECK: func.return

// The parts of a plain attention, which are inlined.

func.func private @qk(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32> {
  %s = "stablehlo.dot_general"(%q, %k) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [3]>}> : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  func.return %s : tensor<2x4x8x16xf32>
}
func.func private @pv(%p: tensor<2x4x8x16xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %o = "stablehlo.dot_general"(%p, %v) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [2]>}> : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}
