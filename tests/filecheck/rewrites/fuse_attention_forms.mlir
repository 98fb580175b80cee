// RUN: xdsl-opt %s -p fuse-attention | filecheck %s

// Softmax in the forms that it has in real code besides the plain one, each with a near miss that must be left alone:
//
//   P = exp(S - LSE)                                         LSE = m + log(sum_n exp(S - m)),  m = max_n S
//   O = (exp(S - m) V) * (1 / l)                             l = sum_n exp(S - m)
//   P = keep ? softmax(keep ? S : low) : 0                   a finite low, masked rows give 0: a mask of -inf
//   P = exp(S - m) / (l + exp(sink - m))                     a sink
//   P = exp(S - m) / max(l, eps)                             the same as without eps, as l >= 1

// CHECK-LABEL: builtin.module

// A product with the reciprocal of the sum, after the second dot.
func.func @late_reciprocal(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
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
  %one = "stablehlo.constant"() <{value = dense<1.0> : tensor<2x4x8xf32>}> : () -> tensor<2x4x8xf32>
  %inv = "stablehlo.divide"(%one, %sum) : (tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %invd = "stablehlo.broadcast_in_dim"(%inv) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x32xf32>
  %o = "stablehlo.multiply"(%invd, %acc) : (tensor<2x4x8x32xf32>, tensor<2x4x8x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @late_reciprocal
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// exp(S - LSE), the LSE computed before.
func.func @minus_the_lse(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
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
  %lse = "stablehlo.add"(%log, %top) : (tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %lse_keys = "stablehlo.broadcast_in_dim"(%lse) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %p_x = "stablehlo.subtract"(%s, %lse_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.exponential"(%p_x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @minus_the_lse
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// The same with jax.nn.logsumexp.
func.func @minus_logsumexp_of_jax(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %top_start = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%s, %top_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%top_a: tensor<f32>, %top_b: tensor<f32>):
    %top_c = "stablehlo.maximum"(%top_a, %top_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%top_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %finite = "stablehlo.is_finite"(%top) : (tensor<2x4x8xf32>) -> tensor<2x4x8xi1>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<2x4x8xf32>}> : () -> tensor<2x4x8xf32>
  %safe = "stablehlo.select"(%finite, %top, %zero) : (tensor<2x4x8xi1>, tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %safe_keys = "stablehlo.broadcast_in_dim"(%safe) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %e_x = "stablehlo.subtract"(%s, %safe_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%e_x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sum_start = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %sum_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%sum_a: tensor<f32>, %sum_b: tensor<f32>):
    %sum_c = "stablehlo.add"(%sum_a, %sum_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%sum_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %abs = "stablehlo.abs"(%sum) : (tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %log = "stablehlo.log"(%abs) : (tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %lse = "stablehlo.add"(%log, %safe) : (tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %lse_keys = "stablehlo.broadcast_in_dim"(%lse) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %p_x = "stablehlo.subtract"(%s, %lse_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.exponential"(%p_x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @minus_logsumexp_of_jax
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// exp(log_softmax(S)): the maximum and the logarithm of the sum are subtracted one after the other.
func.func @log_softmax(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
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
  %logk = "stablehlo.broadcast_in_dim"(%log) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %logp = "stablehlo.subtract"(%e_x, %logk) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.exponential"(%logp) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @log_softmax
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// jax.nn.softmax(S, where=mask): masked keys are left out of the sum, and their weights are 0.
func.func @softmax_where(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %mask: tensor<8x16xi1>) -> tensor<2x4x8x32xf32> {
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
  %zeros = "stablehlo.constant"() <{value = dense<0.0> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %kept = "stablehlo.select"(%mask_keys, %e, %zeros) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sum_start = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%kept, %sum_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%sum_a: tensor<f32>, %sum_b: tensor<f32>):
    %sum_c = "stablehlo.add"(%sum_a, %sum_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%sum_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %sum_keys = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%e, %sum_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %pk = "stablehlo.select"(%mask_keys, %p, %zeros) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%pk, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @softmax_where
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score(mask(%mask[m, n] : tensor<8x16xi1>))
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// Exponentials that are masked once more, and a sum of them.
func.func @masked_exponentials(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %mask: tensor<8x16xi1>) -> tensor<2x4x8x32xf32> {
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
  %zeros = "stablehlo.constant"() <{value = dense<0.0> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %kept = "stablehlo.select"(%mask_keys, %e, %zeros) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sum_start = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%kept, %sum_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%sum_a: tensor<f32>, %sum_b: tensor<f32>):
    %sum_c = "stablehlo.add"(%sum_a, %sum_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%sum_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %sum_keys = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%kept, %sum_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @masked_exponentials
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score(mask(%mask[m, n] : tensor<8x16xi1>))
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// A finite mask, and weights that are 0 where it holds: a row of nothing else gives 0, as with -inf.
func.func @finite_mask_again(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %mask: tensor<8x16xi1>) -> tensor<2x4x8x32xf32> {
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
  %zeros = "stablehlo.constant"() <{value = dense<0.0> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %pk = "stablehlo.select"(%mask_keys, %p, %zeros) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%pk, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @finite_mask_again
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score(mask(%mask[m, n] : tensor<8x16xi1>))
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// The same by a product with the mask.
func.func @finite_mask_times_mask(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %mask: tensor<8x16xi1>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %mask_keys = "stablehlo.broadcast_in_dim"(%mask) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xi1>) -> tensor<2x4x8x16xi1>
  %t_low = "stablehlo.constant"() <{value = dense<-1.0e30> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
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
  %keep = "stablehlo.convert"(%mask_keys) : (tensor<2x4x8x16xi1>) -> tensor<2x4x8x16xf32>
  %pk = "stablehlo.multiply"(%p, %keep) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%pk, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @finite_mask_times_mask
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score(mask(%mask[m, n] : tensor<8x16xi1>))
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// A finite mask, and rows that are 0 where it keeps no key.
func.func @finite_mask_any(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %pad: tensor<2x16xi1>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %pad_keys = "stablehlo.broadcast_in_dim"(%pad) <{broadcast_dimensions = array<i64: 0, 3>}> : (tensor<2x16xi1>) -> tensor<2x4x8x16xi1>
  %t_low = "stablehlo.constant"() <{value = dense<-1.0e30> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %t = "stablehlo.select"(%pad_keys, %s, %t_low) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
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
  %any_start = "stablehlo.constant"() <{value = dense<false> : tensor<i1>}> : () -> tensor<i1>
  %any = "stablehlo.reduce"(%pad, %any_start) <{dimensions = array<i64: 1>}> ({
  ^bb0(%any_a: tensor<i1>, %any_b: tensor<i1>):
    %any_c = "stablehlo.or"(%any_a, %any_b) : (tensor<i1>, tensor<i1>) -> tensor<i1>
    "stablehlo.return"(%any_c) : (tensor<i1>) -> ()
  }) : (tensor<2x16xi1>, tensor<i1>) -> tensor<2xi1>
  %anyk = "stablehlo.broadcast_in_dim"(%any) <{broadcast_dimensions = array<i64: 0>}> : (tensor<2xi1>) -> tensor<2x4x8x16xi1>
  %zeros = "stablehlo.constant"() <{value = dense<0.0> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %pk = "stablehlo.select"(%anyk, %p, %zeros) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%pk, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @finite_mask_any
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score(mask(%pad[b, n] : tensor<2x16xi1>))
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// No maximum, and exponentials that are computed twice.
func.func @exponentials_twice(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%s) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %e2 = "stablehlo.exponential"(%s) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sum_start = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e2, %sum_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%sum_a: tensor<f32>, %sum_b: tensor<f32>):
    %sum_c = "stablehlo.add"(%sum_a, %sum_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%sum_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %sum_keys = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%e, %sum_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @exponentials_twice
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// A constant factor of the weights, that of dropout without dropping: it goes to the result.
func.func @weights_doubled(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
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
  %c = "stablehlo.constant"() <{value = dense<2.0> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %pc = "stablehlo.multiply"(%c, %p) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%pc, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @weights_doubled
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: %0 = "stablehlo.constant"() <{value = dense<2.000000e+00> : tensor<f32>}> : () -> tensor<f32>
// CHECK-NEXT: %1 = "stablehlo.broadcast_in_dim"(%0) <{broadcast_dimensions = array<i64>}> : (tensor<f32>) -> tensor<2x4x8x32xf32>
// CHECK-NEXT: %o_1 = "stablehlo.multiply"(%o, %1) : (tensor<2x4x8x32xf32>, tensor<2x4x8x32xf32>) -> tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o_1 : tensor<2x4x8x32xf32>

// The same as a divisor, before the late division.
func.func @weights_divided(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
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
  %c = "stablehlo.constant"() <{value = dense<0.9> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %ec = "stablehlo.divide"(%e, %c) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %acc = func.call @pv(%ec, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  %sumd = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x32xf32>
  %o = "stablehlo.divide"(%acc, %sumd) : (tensor<2x4x8x32xf32>, tensor<2x4x8x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @weights_divided
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: %0 = "stablehlo.constant"() <{value = dense<1.11111116> : tensor<f32>}> : () -> tensor<f32>
// CHECK-NEXT: %1 = "stablehlo.broadcast_in_dim"(%0) <{broadcast_dimensions = array<i64>}> : (tensor<f32>) -> tensor<2x4x8x32xf32>
// CHECK-NEXT: %o_1 = "stablehlo.multiply"(%o, %1) : (tensor<2x4x8x32xf32>, tensor<2x4x8x32xf32>) -> tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o_1 : tensor<2x4x8x32xf32>

// exp(S) / (1 + sum exp(S)): a sink of 0.
func.func @softmax_one(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %top_start = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%s, %top_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%top_a: tensor<f32>, %top_b: tensor<f32>):
    %top_c = "stablehlo.maximum"(%top_a, %top_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%top_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<2x4x8xf32>}> : () -> tensor<2x4x8xf32>
  %safe = "stablehlo.maximum"(%top, %zero) : (tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %safe_keys = "stablehlo.broadcast_in_dim"(%safe) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %e_x = "stablehlo.subtract"(%s, %safe_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%e_x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sum_start = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %sum_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%sum_a: tensor<f32>, %sum_b: tensor<f32>):
    %sum_c = "stablehlo.add"(%sum_a, %sum_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%sum_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %minus = "stablehlo.negate"(%safe) : (tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %sink = "stablehlo.exponential"(%minus) : (tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %all = "stablehlo.add"(%sum, %sink) : (tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %all_keys = "stablehlo.broadcast_in_dim"(%all) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%e, %all_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @softmax_one
// CHECK-NEXT: %sinks = "stablehlo.constant"() <{value = dense<0.000000e+00> : tensor<f32>}> : () -> tensor<f32>
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: sinks(%sinks[] : tensor<f32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// A sink whose exponential is added to the sum, and which the maximum is not below.
func.func @sink_in_the_sum(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %sinks: tensor<4xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %top_start = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%s, %top_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%top_a: tensor<f32>, %top_b: tensor<f32>):
    %top_c = "stablehlo.maximum"(%top_a, %top_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%top_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %sinkr = "stablehlo.broadcast_in_dim"(%sinks) <{broadcast_dimensions = array<i64: 1>}> : (tensor<4xf32>) -> tensor<2x4x8xf32>
  %safe = "stablehlo.maximum"(%top, %sinkr) : (tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %safe_keys = "stablehlo.broadcast_in_dim"(%safe) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %e_x = "stablehlo.subtract"(%s, %safe_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%e_x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sum_start = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %sum_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%sum_a: tensor<f32>, %sum_b: tensor<f32>):
    %sum_c = "stablehlo.add"(%sum_a, %sum_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%sum_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %minus = "stablehlo.subtract"(%sinkr, %safe) : (tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %sink = "stablehlo.exponential"(%minus) : (tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %all = "stablehlo.add"(%sink, %sum) : (tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %all_keys = "stablehlo.broadcast_in_dim"(%all) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%e, %all_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @sink_in_the_sum
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: sinks(%sinks[h] : tensor<4xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// A maximum of 0 in empty rows, and a sum that is kept from 0: the largest exponential is 1, so this changes empty rows only, which give 0.
func.func @sum_clamped(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %mask: tensor<8x16xi1>) -> tensor<2x4x8x32xf32> {
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
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @sum_clamped
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score(mask(%mask[m, n] : tensor<8x16xi1>))
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// An added number that a sum of 1 or more swallows.
func.func @sum_with_tiny_epsilon(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
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
  %eps = "stablehlo.constant"() <{value = dense<1.0e-9> : tensor<2x4x8xf32>}> : () -> tensor<2x4x8xf32>
  %some = "stablehlo.add"(%sum, %eps) : (tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %some_keys = "stablehlo.broadcast_in_dim"(%some) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%e, %some_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @sum_with_tiny_epsilon
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// 1 in the place of a sum of 0 (Pallas kernels).
func.func @sum_one_where_zero(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %mask: tensor<8x16xi1>) -> tensor<2x4x8x32xf32> {
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
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<2x4x8xf32>}> : () -> tensor<2x4x8xf32>
  %empty = "stablehlo.compare"(%top, %low) <{comparison_direction = #stablehlo<comparison_direction EQ>}> : (tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> tensor<2x4x8xi1>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<2x4x8xf32>}> : () -> tensor<2x4x8xf32>
  %safe = "stablehlo.select"(%empty, %zero, %top) : (tensor<2x4x8xi1>, tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %safe_keys = "stablehlo.broadcast_in_dim"(%safe) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %e_x = "stablehlo.subtract"(%t, %safe_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%e_x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sum_start = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %sum_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%sum_a: tensor<f32>, %sum_b: tensor<f32>):
    %sum_c = "stablehlo.add"(%sum_a, %sum_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%sum_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %none = "stablehlo.compare"(%sum, %zero) <{comparison_direction = #stablehlo<comparison_direction EQ>}> : (tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> tensor<2x4x8xi1>
  %one = "stablehlo.constant"() <{value = dense<1.0> : tensor<2x4x8xf32>}> : () -> tensor<2x4x8xf32>
  %some = "stablehlo.select"(%none, %one, %sum) : (tensor<2x4x8xi1>, tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %acc = func.call @pv(%e, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  %somed = "stablehlo.broadcast_in_dim"(%some) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x32xf32>
  %o = "stablehlo.divide"(%acc, %somed) : (tensor<2x4x8x32xf32>, tensor<2x4x8x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @sum_one_where_zero
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score(mask(%mask[m, n] : tensor<8x16xi1>))
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// The maximum of unscaled scores: c * S - c * max S.
func.func @scale_after_the_maximum(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %top_start = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%s, %top_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%top_a: tensor<f32>, %top_b: tensor<f32>):
    %top_c = "stablehlo.maximum"(%top_a, %top_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%top_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %c = "stablehlo.constant"() <{value = dense<0.125> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %cr = "stablehlo.constant"() <{value = dense<0.125> : tensor<2x4x8xf32>}> : () -> tensor<2x4x8xf32>
  %cs = "stablehlo.multiply"(%s, %c) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %ct = "stablehlo.multiply"(%top, %cr) : (tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %ct_keys = "stablehlo.broadcast_in_dim"(%ct) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %e_x = "stablehlo.subtract"(%cs, %ct_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
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
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @scale_after_the_maximum
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.250000e-01)
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// The reciprocal of the sum of other exponentials.
func.func @reciprocal_of_another_sum(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %y: tensor<2x4x8x16xf32>) -> tensor<2x4x8x32xf32> {
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
  %ey = "stablehlo.exponential"(%y) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sum_start = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%ey, %sum_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%sum_a: tensor<f32>, %sum_b: tensor<f32>):
    %sum_c = "stablehlo.add"(%sum_a, %sum_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%sum_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %acc = func.call @pv(%e, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  %one = "stablehlo.constant"() <{value = dense<1.0> : tensor<2x4x8xf32>}> : () -> tensor<2x4x8xf32>
  %inv = "stablehlo.divide"(%one, %sum) : (tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %invd = "stablehlo.broadcast_in_dim"(%inv) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x32xf32>
  %o = "stablehlo.multiply"(%acc, %invd) : (tensor<2x4x8x32xf32>, tensor<2x4x8x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @reciprocal_of_another_sum
// CHECK-NOT: attention.sdpa
// CHECK: func.return

// No reciprocal, but 2 over the sum of the weights: the result is divided after a product.
func.func @two_over_the_sum(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
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
  %one = "stablehlo.constant"() <{value = dense<1.0> : tensor<2x4x8xf32>}> : () -> tensor<2x4x8xf32>
  %inv = "stablehlo.divide"(%one, %sum) : (tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %invd = "stablehlo.broadcast_in_dim"(%inv) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x32xf32>
  %oo = "stablehlo.multiply"(%acc, %acc) : (tensor<2x4x8x32xf32>, tensor<2x4x8x32xf32>) -> tensor<2x4x8x32xf32>
  %o = "stablehlo.multiply"(%oo, %invd) : (tensor<2x4x8x32xf32>, tensor<2x4x8x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @two_over_the_sum
// CHECK-NOT: attention.sdpa
// CHECK: func.return

// exp(S - LSE) with the LSE of other scores.
func.func @minus_another_lse(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %y: tensor<2x4x8x16xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %top_start = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%y, %top_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%top_a: tensor<f32>, %top_b: tensor<f32>):
    %top_c = "stablehlo.maximum"(%top_a, %top_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%top_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %top_keys = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %e_x = "stablehlo.subtract"(%y, %top_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%e_x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sum_start = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %sum_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%sum_a: tensor<f32>, %sum_b: tensor<f32>):
    %sum_c = "stablehlo.add"(%sum_a, %sum_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%sum_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %log = "stablehlo.log"(%sum) : (tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %lse = "stablehlo.add"(%log, %top) : (tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %lse_keys = "stablehlo.broadcast_in_dim"(%lse) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %p_x = "stablehlo.subtract"(%s, %lse_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.exponential"(%p_x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @minus_another_lse
// CHECK-NOT: attention.sdpa
// CHECK: func.return

// Half of the LSE is subtracted.
func.func @minus_half_the_lse(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
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
  %lse = "stablehlo.add"(%log, %top) : (tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %h = "stablehlo.constant"() <{value = dense<0.5> : tensor<2x4x8xf32>}> : () -> tensor<2x4x8xf32>
  %half = "stablehlo.multiply"(%h, %lse) : (tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %half_keys = "stablehlo.broadcast_in_dim"(%half) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %p_x = "stablehlo.subtract"(%s, %half_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.exponential"(%p_x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @minus_half_the_lse
// CHECK-NOT: attention.sdpa
// CHECK: func.return

// The logarithm of a sum from whose exponentials a maximum was subtracted, but not from the scores.
func.func @minus_the_logarithm(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
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
  %log_keys = "stablehlo.broadcast_in_dim"(%log) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %p_x = "stablehlo.subtract"(%s, %log_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.exponential"(%p_x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @minus_the_logarithm
// CHECK-NOT: attention.sdpa
// CHECK: func.return

// The LSE is subtracted, and the weights are divided by their sum again.
func.func @logarithm_and_division(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
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
  %lse = "stablehlo.add"(%log, %top) : (tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %lse_keys = "stablehlo.broadcast_in_dim"(%lse) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %p0_x = "stablehlo.subtract"(%s, %lse_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p0 = "stablehlo.exponential"(%p0_x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sum0_start = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum0 = "stablehlo.reduce"(%p0, %sum0_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%sum0_a: tensor<f32>, %sum0_b: tensor<f32>):
    %sum0_c = "stablehlo.add"(%sum0_a, %sum0_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%sum0_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %sum0_keys = "stablehlo.broadcast_in_dim"(%sum0) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%p0, %sum0_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @logarithm_and_division
// CHECK-NOT: attention.sdpa
// CHECK: func.return

// A finite mask, and a sum without the masked keys: an empty row is divided by 0.
func.func @sum_masked_alone(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %mask: tensor<8x16xi1>) -> tensor<2x4x8x32xf32> {
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
  %zeros = "stablehlo.constant"() <{value = dense<0.0> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %kept = "stablehlo.select"(%mask_keys, %e, %zeros) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sum_start = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%kept, %sum_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%sum_a: tensor<f32>, %sum_b: tensor<f32>):
    %sum_c = "stablehlo.add"(%sum_a, %sum_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%sum_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %sum_keys = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%e, %sum_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @sum_masked_alone
// CHECK-NOT: attention.sdpa
// CHECK: func.return

// A sum without keys that have weights.
func.func @sum_of_fewer_keys(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %other: tensor<8x16xi1>) -> tensor<2x4x8x32xf32> {
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
  %keep = "stablehlo.broadcast_in_dim"(%other) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xi1>) -> tensor<2x4x8x16xi1>
  %zeros = "stablehlo.constant"() <{value = dense<0.0> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %kept = "stablehlo.select"(%keep, %e, %zeros) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sum_start = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%kept, %sum_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%sum_a: tensor<f32>, %sum_b: tensor<f32>):
    %sum_c = "stablehlo.add"(%sum_a, %sum_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%sum_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %sum_keys = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%e, %sum_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @sum_of_fewer_keys
// CHECK-NOT: attention.sdpa
// CHECK: func.return

// Two finite masks, of which one is repeated: rows that the other empties are the mean of V.
func.func @guard_of_part_of_the_mask(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %mask: tensor<8x16xi1>, %other: tensor<8x16xi1>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %mask_keys = "stablehlo.broadcast_in_dim"(%mask) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xi1>) -> tensor<2x4x8x16xi1>
  %t_low = "stablehlo.constant"() <{value = dense<-1.0e9> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %t = "stablehlo.select"(%mask_keys, %s, %t_low) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %other_keys = "stablehlo.broadcast_in_dim"(%other) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xi1>) -> tensor<2x4x8x16xi1>
  %t2_low = "stablehlo.constant"() <{value = dense<-1.0e9> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %t2 = "stablehlo.select"(%other_keys, %t, %t2_low) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %top_start = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%t2, %top_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%top_a: tensor<f32>, %top_b: tensor<f32>):
    %top_c = "stablehlo.maximum"(%top_a, %top_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%top_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %top_keys = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %e_x = "stablehlo.subtract"(%t2, %top_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%e_x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sum_start = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %sum_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%sum_a: tensor<f32>, %sum_b: tensor<f32>):
    %sum_c = "stablehlo.add"(%sum_a, %sum_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%sum_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %sum_keys = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%e, %sum_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %zeros = "stablehlo.constant"() <{value = dense<0.0> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %pk = "stablehlo.select"(%mask_keys, %p, %zeros) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%pk, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @guard_of_part_of_the_mask
// CHECK-NOT: attention.sdpa
// CHECK: func.return

// A finite mask and one of -inf; rows are 0 where the finite one keeps no key, but not where both together keep none.
func.func @any_of_part_of_the_mask(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %mask: tensor<8x16xi1>, %other: tensor<8x16xi1>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %other_keys = "stablehlo.broadcast_in_dim"(%other) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xi1>) -> tensor<2x4x8x16xi1>
  %t_low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %t = "stablehlo.select"(%other_keys, %s, %t_low) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %mask_keys = "stablehlo.broadcast_in_dim"(%mask) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xi1>) -> tensor<2x4x8x16xi1>
  %t2_low = "stablehlo.constant"() <{value = dense<-1.0e9> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %t2 = "stablehlo.select"(%mask_keys, %t, %t2_low) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %top_start = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%t2, %top_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%top_a: tensor<f32>, %top_b: tensor<f32>):
    %top_c = "stablehlo.maximum"(%top_a, %top_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%top_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %top_keys = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %e_x = "stablehlo.subtract"(%t2, %top_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%e_x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sum_start = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %sum_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%sum_a: tensor<f32>, %sum_b: tensor<f32>):
    %sum_c = "stablehlo.add"(%sum_a, %sum_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%sum_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %sum_keys = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%e, %sum_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %any_start = "stablehlo.constant"() <{value = dense<false> : tensor<i1>}> : () -> tensor<i1>
  %any = "stablehlo.reduce"(%mask, %any_start) <{dimensions = array<i64: 1>}> ({
  ^bb0(%any_a: tensor<i1>, %any_b: tensor<i1>):
    %any_c = "stablehlo.or"(%any_a, %any_b) : (tensor<i1>, tensor<i1>) -> tensor<i1>
    "stablehlo.return"(%any_c) : (tensor<i1>) -> ()
  }) : (tensor<8x16xi1>, tensor<i1>) -> tensor<8xi1>
  %anyk = "stablehlo.broadcast_in_dim"(%any) <{broadcast_dimensions = array<i64: 2>}> : (tensor<8xi1>) -> tensor<2x4x8x16xi1>
  %zeros = "stablehlo.constant"() <{value = dense<0.0> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %pk = "stablehlo.select"(%anyk, %p, %zeros) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%pk, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @any_of_part_of_the_mask
// CHECK-NOT: attention.sdpa
// CHECK: func.return

// A low value that weights survive.
func.func @guard_of_a_small_mask(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %mask: tensor<8x16xi1>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %mask_keys = "stablehlo.broadcast_in_dim"(%mask) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xi1>) -> tensor<2x4x8x16xi1>
  %t_low = "stablehlo.constant"() <{value = dense<-5.0> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
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
  %zeros = "stablehlo.constant"() <{value = dense<0.0> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %pk = "stablehlo.select"(%mask_keys, %p, %zeros) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%pk, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @guard_of_a_small_mask
// CHECK-NOT: attention.sdpa
// CHECK: func.return

// A product with a mask of numbers: whether they are 0 and 1 is not known.
func.func @weights_times_numbers(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %bias: tensor<8x16xf32>) -> tensor<2x4x8x32xf32> {
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
  %b = "stablehlo.broadcast_in_dim"(%bias) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xf32>) -> tensor<2x4x8x16xf32>
  %pk = "stablehlo.multiply"(%p, %b) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%pk, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @weights_times_numbers
// CHECK-NOT: attention.sdpa
// CHECK: func.return

// A factor known at run time only.
func.func @weights_times_scalar(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %c: tensor<f32>) -> tensor<2x4x8x32xf32> {
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
  %cb = "stablehlo.broadcast_in_dim"(%c) <{broadcast_dimensions = array<i64>}> : (tensor<f32>) -> tensor<2x4x8x16xf32>
  %pk = "stablehlo.multiply"(%p, %cb) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%pk, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @weights_times_scalar
// CHECK-NOT: attention.sdpa
// CHECK: func.return

// exp(m) is added to the sum, not exp(-m).
func.func @sink_of_the_wrong_sign(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %top_start = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%s, %top_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%top_a: tensor<f32>, %top_b: tensor<f32>):
    %top_c = "stablehlo.maximum"(%top_a, %top_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%top_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<2x4x8xf32>}> : () -> tensor<2x4x8xf32>
  %safe = "stablehlo.maximum"(%top, %zero) : (tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %safe_keys = "stablehlo.broadcast_in_dim"(%safe) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %e_x = "stablehlo.subtract"(%s, %safe_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%e_x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sum_start = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %sum_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%sum_a: tensor<f32>, %sum_b: tensor<f32>):
    %sum_c = "stablehlo.add"(%sum_a, %sum_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%sum_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %sink = "stablehlo.exponential"(%safe) : (tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %all = "stablehlo.add"(%sum, %sink) : (tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %all_keys = "stablehlo.broadcast_in_dim"(%all) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%e, %all_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @sink_of_the_wrong_sign
// CHECK-NOT: attention.sdpa
// CHECK: func.return

// The maximum is not subtracted from the sink.
func.func @sink_without_maximum(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %sinks: tensor<4xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %top_start = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%s, %top_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%top_a: tensor<f32>, %top_b: tensor<f32>):
    %top_c = "stablehlo.maximum"(%top_a, %top_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%top_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %sinkr = "stablehlo.broadcast_in_dim"(%sinks) <{broadcast_dimensions = array<i64: 1>}> : (tensor<4xf32>) -> tensor<2x4x8xf32>
  %top_keys = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %e_x = "stablehlo.subtract"(%s, %top_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%e_x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sum_start = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %sum_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%sum_a: tensor<f32>, %sum_b: tensor<f32>):
    %sum_c = "stablehlo.add"(%sum_a, %sum_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%sum_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %sink = "stablehlo.exponential"(%sinkr) : (tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %all = "stablehlo.add"(%sink, %sum) : (tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %all_keys = "stablehlo.broadcast_in_dim"(%all) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%e, %all_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @sink_without_maximum
// CHECK-NOT: attention.sdpa
// CHECK: func.return

// A maximum that is not below numbers which are no sink.
func.func @maximum_with_foreign_rows(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %sinks: tensor<4xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %top_start = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%s, %top_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%top_a: tensor<f32>, %top_b: tensor<f32>):
    %top_c = "stablehlo.maximum"(%top_a, %top_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%top_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %r = "stablehlo.broadcast_in_dim"(%sinks) <{broadcast_dimensions = array<i64: 1>}> : (tensor<4xf32>) -> tensor<2x4x8xf32>
  %safe = "stablehlo.maximum"(%top, %r) : (tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %safe_keys = "stablehlo.broadcast_in_dim"(%safe) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %e_x = "stablehlo.subtract"(%s, %safe_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
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
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @maximum_with_foreign_rows
// CHECK-NOT: attention.sdpa
// CHECK: func.return

// A bound above 1 changes sums.
func.func @sum_clamped_to_two(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
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
  %eps = "stablehlo.constant"() <{value = dense<2.0> : tensor<2x4x8xf32>}> : () -> tensor<2x4x8xf32>
  %some = "stablehlo.maximum"(%sum, %eps) : (tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %some_keys = "stablehlo.broadcast_in_dim"(%some) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%e, %some_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @sum_clamped_to_two
// CHECK-NOT: attention.sdpa
// CHECK: func.return

// Without a maximum sums may be small.
func.func @sum_clamped_without_maximum(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%s) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sum_start = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %sum_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%sum_a: tensor<f32>, %sum_b: tensor<f32>):
    %sum_c = "stablehlo.add"(%sum_a, %sum_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%sum_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %eps = "stablehlo.constant"() <{value = dense<1.0e-6> : tensor<2x4x8xf32>}> : () -> tensor<2x4x8xf32>
  %some = "stablehlo.maximum"(%sum, %eps) : (tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %some_keys = "stablehlo.broadcast_in_dim"(%some) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%e, %some_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @sum_clamped_without_maximum
// CHECK-NOT: attention.sdpa
// CHECK: func.return

// c * S - d * max S.
func.func @maximum_times_another_scale(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %top_start = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%s, %top_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%top_a: tensor<f32>, %top_b: tensor<f32>):
    %top_c = "stablehlo.maximum"(%top_a, %top_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%top_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %c = "stablehlo.constant"() <{value = dense<0.125> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %cr = "stablehlo.constant"() <{value = dense<0.25> : tensor<2x4x8xf32>}> : () -> tensor<2x4x8xf32>
  %cs = "stablehlo.multiply"(%s, %c) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %ct = "stablehlo.multiply"(%top, %cr) : (tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %ct_keys = "stablehlo.broadcast_in_dim"(%ct) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %e_x = "stablehlo.subtract"(%cs, %ct_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
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
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @maximum_times_another_scale
// CHECK-NOT: attention.sdpa
// CHECK: func.return

// Numbers of another tensor in the place of the maximum.
func.func @row_values_for_maximum(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %rows: tensor<4x8xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %r = "stablehlo.broadcast_in_dim"(%rows) <{broadcast_dimensions = array<i64: 1, 2>}> : (tensor<4x8xf32>) -> tensor<2x4x8xf32>
  %r_keys = "stablehlo.broadcast_in_dim"(%r) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %e_x = "stablehlo.subtract"(%s, %r_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
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
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @row_values_for_maximum
// CHECK-NOT: attention.sdpa
// CHECK: func.return

// One softmax, two second dots: two operations would compute it twice.
func.func @two_values(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> (tensor<2x4x8x32xf32>, tensor<2x4x8x32xf32>) {
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
  %o1 = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  %o2 = func.call @pv(%p, %k) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o1, %o2 : tensor<2x4x8x32xf32>, tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @two_values
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
func.func private @row_max(%s: tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32> {
  %lowest = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%s, %lowest) <{dimensions = array<i64: 3>}> ({
  ^bb0(%a: tensor<f32>, %b: tensor<f32>):
    %c = "stablehlo.maximum"(%a, %b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %r = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  func.return %r : tensor<2x4x8x16xf32>
}
func.func private @row_sum(%s: tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32> {
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%s, %zero) <{dimensions = array<i64: 3>}> ({
  ^bb0(%a: tensor<f32>, %b: tensor<f32>):
    %c = "stablehlo.add"(%a, %b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %r = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  func.return %r : tensor<2x4x8x16xf32>
}
func.func private @softmax(%s: tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32> {
  %top = func.call @row_max(%s) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %x = "stablehlo.subtract"(%s, %top) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sum = func.call @row_sum(%e) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%e, %sum) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  func.return %p : tensor<2x4x8x16xf32>
}
