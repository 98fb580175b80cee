// RUN: xdsl-opt %s -p fuse-attention | filecheck %s

// Softmax, in the forms in which graphs spell it out. Whatever the form is,
//
//   P = exp(S - max_n S) / sum_n exp(S - max_n S),    O = P V
//
// and a row without any key gives 0: forms that are safe against NaN do, and a plain softmax gives NaN there.

// CHECK-LABEL: builtin.module

// jax.nn.softmax: the maximum is max(-inf, max_n S).
func.func @maximum_with_minus_infinity(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%s, %low) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.maximum"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %lows = "stablehlo.broadcast_in_dim"(%low) <{broadcast_dimensions = array<i64>}> : (tensor<f32>) -> tensor<2x4x8xf32>
  %topm = "stablehlo.maximum"(%lows, %top) : (tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %one = "stablehlo.broadcast_in_dim"(%topm) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x1xf32>
  %topb = "stablehlo.broadcast_in_dim"(%one) <{broadcast_dimensions = array<i64: 0, 1, 2, 3>}> : (tensor<2x4x8x1xf32>) -> tensor<2x4x8x16xf32>
  %x = "stablehlo.subtract"(%s, %topb) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sum = func.call @row_sum(%e) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%e, %sum) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @maximum_with_minus_infinity
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// The reduction may start at the lowest finite number: no maximum is below it, other than that of an empty row.
func.func @maximum_from_lowest(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %low = "stablehlo.constant"() <{value = dense<-3.40282347E+38> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%s, %low) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.maximum"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %topb = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %x = "stablehlo.subtract"(%s, %topb) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sum = func.call @row_sum(%e) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%e, %sum) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @maximum_from_lowest
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// No maximum at all.
func.func @no_maximum(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%s) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sum = func.call @row_sum(%e) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%e, %sum) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @no_maximum
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// The logarithm of the sum of exponentials of scaled logits is subtracted from them, with no maximum.
func.func @logarithm_of_sum(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %half = "stablehlo.constant"() <{value = dense<0.5> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %scaled = "stablehlo.multiply"(%s, %half) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%scaled) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %zero) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.add"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %log = "stablehlo.log"(%sum) : (tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %logb = "stablehlo.broadcast_in_dim"(%log) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %x = "stablehlo.subtract"(%scaled, %logb) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.exponential"(%x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @logarithm_of_sum
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(5.000000e-01)
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// The maximum is subtracted twice, by the graph and by the softmax.
func.func @maximum_twice(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %top = func.call @row_max(%s) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %x = "stablehlo.subtract"(%s, %top) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = func.call @softmax(%x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @maximum_twice
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// The division comes after the second dot.
func.func @late_division(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %top = func.call @row_max(%s) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %x = "stablehlo.subtract"(%s, %top) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %zero) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.add"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %od = func.call @pv(%e, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  %sumb = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x32xf32>
  %o = "stablehlo.divide"(%od, %sumb) : (tensor<2x4x8x32xf32>, tensor<2x4x8x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @late_division
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// The division comes after the second dot and a transpose and a conversion.
func.func @late_division_after_a_transpose(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x8x4x32xbf16> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %top = func.call @row_max(%s) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %x = "stablehlo.subtract"(%s, %top) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %zero) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.add"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %od = func.call @pv(%e, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  %ot = "stablehlo.transpose"(%od) <{permutation = array<i64: 0, 2, 1, 3>}> : (tensor<2x4x8x32xf32>) -> tensor<2x8x4x32xf32>
  %st = "stablehlo.transpose"(%sum) <{permutation = array<i64: 0, 2, 1>}> : (tensor<2x4x8xf32>) -> tensor<2x8x4xf32>
  %sumb = "stablehlo.broadcast_in_dim"(%st) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x8x4xf32>) -> tensor<2x8x4x32xf32>
  %of = "stablehlo.divide"(%ot, %sumb) : (tensor<2x8x4x32xf32>, tensor<2x8x4x32xf32>) -> tensor<2x8x4x32xf32>
  %o = "stablehlo.convert"(%of) : (tensor<2x8x4x32xf32>) -> tensor<2x8x4x32xbf16>
  func.return %o : tensor<2x8x4x32xbf16>
}

// CHECK-LABEL: func.func @late_division_after_a_transpose
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, m, h, d] : tensor<2x8x4x32xbf16>
// CHECK-NEXT: func.return %o : tensor<2x8x4x32xbf16>

// A product with the reciprocal of the sum.
func.func @reciprocal(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %top = func.call @row_max(%s) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %x = "stablehlo.subtract"(%s, %top) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sum = func.call @row_sum(%e) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %one = "stablehlo.constant"() <{value = dense<1.0> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %r = "stablehlo.divide"(%one, %sum) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.multiply"(%e, %r) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @reciprocal
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// Base 2, with log2(e) in the scale: 0.125 * 1.442695 is 0.125 in natural units.
func.func @base_two(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %c = "stablehlo.constant"() <{value = dense<0.18033688> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %t = "stablehlo.multiply"(%s, %c) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %top = func.call @row_max(%t) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %x = "stablehlo.subtract"(%t, %top) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %two = "stablehlo.constant"() <{value = dense<2.0> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %e = "stablehlo.power"(%two, %x) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sum = func.call @row_sum(%e) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%e, %sum) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @base_two
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(0.12499999833128023)
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// Base 2 as JAX writes it, exp(ln(2) x), of logits in units of log2(e): two factors, whose product is 1.
func.func @base_two_by_factors(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %top = func.call @row_max(%s) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %x = "stablehlo.subtract"(%s, %top) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %log2e = "stablehlo.constant"() <{value = dense<1.44269502> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %y = "stablehlo.multiply"(%x, %log2e) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %ln2 = "stablehlo.constant"() <{value = dense<0.693147182> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %z = "stablehlo.multiply"(%ln2, %y) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%z) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sum = func.call @row_sum(%e) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%e, %sum) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}
// CHECK-LABEL: func.func @base_two_by_factors
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// jax.numpy.nan_to_num: 0 for NaN, and finite numbers for infinities, which weights never are.
func.func @safe_nan_to_num(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %keep: tensor<2x4x8x16xi1>) -> tensor<2x4x8x32xf32> {
  %t = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %s = "stablehlo.select"(%keep, %t, %low) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %top = func.call @row_max(%s) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %x = "stablehlo.subtract"(%s, %top) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sum = func.call @row_sum(%e) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p0 = "stablehlo.divide"(%e, %sum) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %nan = "stablehlo.compare"(%p0, %p0) <{comparison_direction = #stablehlo<comparison_direction NE>}> : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xi1>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %p1 = "stablehlo.select"(%nan, %zero, %p0) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %inf = "stablehlo.constant"() <{value = dense<0x7F800000> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %high = "stablehlo.compare"(%p1, %inf) <{comparison_direction = #stablehlo<comparison_direction EQ>}> : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xi1>
  %largest = "stablehlo.constant"() <{value = dense<3.40282347e+38> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %p2 = "stablehlo.select"(%high, %largest, %p1) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %below = "stablehlo.compare"(%p2, %low) <{comparison_direction = #stablehlo<comparison_direction EQ>}> : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xi1>
  %lowest = "stablehlo.constant"() <{value = dense<-3.40282347e+38> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %p = "stablehlo.select"(%below, %lowest, %p2) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}
// CHECK-LABEL: func.func @safe_nan_to_num
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score(mask(%keep[b, hq, m, n] : tensor<2x4x8x16xi1>))
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// Base 2 with the factor in the exponent.
func.func @base_two_factor_in_exponent(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %top = func.call @row_max(%s) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %x = "stablehlo.subtract"(%s, %top) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %c = "stablehlo.constant"() <{value = dense<1.44269504> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %y = "stablehlo.multiply"(%x, %c) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %two = "stablehlo.constant"() <{value = dense<2.0> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %e = "stablehlo.power"(%two, %y) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sum = func.call @row_sum(%e) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%e, %sum) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @base_two_factor_in_exponent
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// The same with a mask and a bias: the factor goes to each part.
func.func @base_two_masked(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %mask: tensor<8x16xi1>, %bias: tensor<16xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %keep = "stablehlo.broadcast_in_dim"(%mask) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xi1>) -> tensor<2x4x8x16xi1>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %t = "stablehlo.select"(%keep, %s, %low) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %b = "stablehlo.broadcast_in_dim"(%bias) <{broadcast_dimensions = array<i64: 3>}> : (tensor<16xf32>) -> tensor<2x4x8x16xf32>
  %u = "stablehlo.add"(%t, %b) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %c = "stablehlo.constant"() <{value = dense<1.44269504> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %w = "stablehlo.multiply"(%u, %c) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %top = func.call @row_max(%w) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %x = "stablehlo.subtract"(%w, %top) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %two = "stablehlo.constant"() <{value = dense<2.0> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %e = "stablehlo.power"(%two, %x) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sum = func.call @row_sum(%e) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%e, %sum) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @base_two_masked
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(0.99999998665024181)
// CHECK-NEXT: score(mask(%mask[m, n] : tensor<8x16xi1>) bias(%bias[n] : tensor<16xf32>))
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// A temperature in the exponent: exp(0.5 * (S - max S)).
func.func @factor_in_exponent(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %top = func.call @row_max(%s) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %x = "stablehlo.subtract"(%s, %top) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %c = "stablehlo.constant"() <{value = dense<0.5> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %y = "stablehlo.multiply"(%x, %c) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%y) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sum = func.call @row_sum(%e) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%e, %sum) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @factor_in_exponent
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(5.000000e-01)
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// Softmax in f32 over logits in bf16.
func.func @softmax_in_f32(%q: tensor<2x4x8x32xbf16>, %k: tensor<2x4x16x32xbf16>, %v: tensor<2x4x16x32xbf16>) -> tensor<2x4x8x32xbf16> {
  %s = "stablehlo.dot_general"(%q, %k) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [3]>}> : (tensor<2x4x8x32xbf16>, tensor<2x4x16x32xbf16>) -> tensor<2x4x8x16xbf16>
  %f = "stablehlo.convert"(%s) : (tensor<2x4x8x16xbf16>) -> tensor<2x4x8x16xf32>
  %p = func.call @softmax(%f) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %pb = "stablehlo.convert"(%p) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xbf16>
  %o = "stablehlo.dot_general"(%pb, %v) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [2]>}> : (tensor<2x4x8x16xbf16>, tensor<2x4x16x32xbf16>) -> tensor<2x4x8x32xbf16>
  func.return %o : tensor<2x4x8x32xbf16>
}

// CHECK-LABEL: func.func @softmax_in_f32
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xbf16>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xbf16>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xbf16>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xbf16>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xbf16>

// Exponentials in bf16, their sum in f32.
func.func @sum_in_f32(%q: tensor<2x4x8x32xbf16>, %k: tensor<2x4x16x32xbf16>, %v: tensor<2x4x16x32xbf16>) -> tensor<2x4x8x32xbf16> {
  %s = "stablehlo.dot_general"(%q, %k) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [3]>}> : (tensor<2x4x8x32xbf16>, tensor<2x4x16x32xbf16>) -> tensor<2x4x8x16xbf16>
  %low = "stablehlo.constant"() <{value = dense<0xFF80> : tensor<bf16>}> : () -> tensor<bf16>
  %top = "stablehlo.reduce"(%s, %low) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<bf16>, %two_: tensor<bf16>):
    %both_ = "stablehlo.maximum"(%one_, %two_) : (tensor<bf16>, tensor<bf16>) -> tensor<bf16>
    "stablehlo.return"(%both_) : (tensor<bf16>) -> ()
  }) : (tensor<2x4x8x16xbf16>, tensor<bf16>) -> tensor<2x4x8xbf16>
  %topb = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xbf16>) -> tensor<2x4x8x16xbf16>
  %x = "stablehlo.subtract"(%s, %topb) : (tensor<2x4x8x16xbf16>, tensor<2x4x8x16xbf16>) -> tensor<2x4x8x16xbf16>
  %e = "stablehlo.exponential"(%x) : (tensor<2x4x8x16xbf16>) -> tensor<2x4x8x16xbf16>
  %f = "stablehlo.convert"(%e) : (tensor<2x4x8x16xbf16>) -> tensor<2x4x8x16xf32>
  %sum = func.call @row_sum(%f) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sb = "stablehlo.convert"(%sum) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xbf16>
  %pb = "stablehlo.divide"(%e, %sb) : (tensor<2x4x8x16xbf16>, tensor<2x4x8x16xbf16>) -> tensor<2x4x8x16xbf16>
  %o = "stablehlo.dot_general"(%pb, %v) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [2]>}> : (tensor<2x4x8x16xbf16>, tensor<2x4x16x32xbf16>) -> tensor<2x4x8x32xbf16>
  func.return %o : tensor<2x4x8x32xbf16>
}

// CHECK-LABEL: func.func @sum_in_f32
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xbf16>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xbf16>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xbf16>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xbf16>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xbf16>

// Safe: 0 where all scores of the row are -inf (PyTorch's _safe_softmax).
func.func @safe_all_infinite(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %mask: tensor<8x16xi1>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %keep = "stablehlo.broadcast_in_dim"(%mask) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xi1>) -> tensor<2x4x8x16xi1>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %t = "stablehlo.select"(%keep, %s, %low) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p0 = func.call @softmax(%t) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %inf = "stablehlo.compare"(%t, %low) <{comparison_direction = #stablehlo<comparison_direction EQ>}> : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xi1>
  %true = "stablehlo.constant"() <{value = dense<true> : tensor<i1>}> : () -> tensor<i1>
  %all = "stablehlo.reduce"(%inf, %true) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<i1>, %two_: tensor<i1>):
    %both_ = "stablehlo.and"(%one_, %two_) : (tensor<i1>, tensor<i1>) -> tensor<i1>
    "stablehlo.return"(%both_) : (tensor<i1>) -> ()
  }) : (tensor<2x4x8x16xi1>, tensor<i1>) -> tensor<2x4x8xi1>
  %allb = "stablehlo.broadcast_in_dim"(%all) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xi1>) -> tensor<2x4x8x16xi1>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %p = "stablehlo.select"(%allb, %zero, %p0) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @safe_all_infinite
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score(mask(%mask[m, n] : tensor<8x16xi1>))
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// Safe: the weights where any score is not -inf, in the other polarity throughout.
func.func @safe_any_finite(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %mask: tensor<8x16xi1>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %keep = "stablehlo.broadcast_in_dim"(%mask) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xi1>) -> tensor<2x4x8x16xi1>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %t = "stablehlo.select"(%keep, %s, %low) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p0 = func.call @softmax(%t) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %fin = "stablehlo.compare"(%t, %low) <{comparison_direction = #stablehlo<comparison_direction NE>}> : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xi1>
  %false = "stablehlo.constant"() <{value = dense<false> : tensor<i1>}> : () -> tensor<i1>
  %any = "stablehlo.reduce"(%fin, %false) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<i1>, %two_: tensor<i1>):
    %both_ = "stablehlo.or"(%one_, %two_) : (tensor<i1>, tensor<i1>) -> tensor<i1>
    "stablehlo.return"(%both_) : (tensor<i1>) -> ()
  }) : (tensor<2x4x8x16xi1>, tensor<i1>) -> tensor<2x4x8xi1>
  %anyb = "stablehlo.broadcast_in_dim"(%any) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xi1>) -> tensor<2x4x8x16xi1>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %p = "stablehlo.select"(%anyb, %p0, %zero) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @safe_any_finite
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score(mask(%mask[m, n] : tensor<8x16xi1>))
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// Safe: 0 where a weight is NaN.
func.func @safe_nan(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %mask: tensor<8x16xi1>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %keep = "stablehlo.broadcast_in_dim"(%mask) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xi1>) -> tensor<2x4x8x16xi1>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %t = "stablehlo.select"(%keep, %s, %low) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p0 = func.call @softmax(%t) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %nan = "stablehlo.compare"(%p0, %p0) <{comparison_direction = #stablehlo<comparison_direction NE>}> : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xi1>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %p = "stablehlo.select"(%nan, %zero, %p0) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @safe_nan
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score(mask(%mask[m, n] : tensor<8x16xi1>))
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// Safe: 0 where the row maximum is -inf.
func.func @safe_maximum(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %mask: tensor<8x16xi1>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %keep = "stablehlo.broadcast_in_dim"(%mask) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xi1>) -> tensor<2x4x8x16xi1>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %t = "stablehlo.select"(%keep, %s, %low) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p0 = func.call @softmax(%t) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %top = func.call @row_max(%t) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %inf = "stablehlo.compare"(%top, %low) <{comparison_direction = #stablehlo<comparison_direction EQ>}> : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xi1>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %p = "stablehlo.select"(%inf, %zero, %p0) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @safe_maximum
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score(mask(%mask[m, n] : tensor<8x16xi1>))
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// Safe: 0 where the mask keeps no key.
func.func @safe_mask(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %mask: tensor<8x16xi1>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %keep = "stablehlo.broadcast_in_dim"(%mask) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xi1>) -> tensor<2x4x8x16xi1>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %t = "stablehlo.select"(%keep, %s, %low) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p0 = func.call @softmax(%t) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %false = "stablehlo.constant"() <{value = dense<false> : tensor<i1>}> : () -> tensor<i1>
  %any = "stablehlo.reduce"(%mask, %false) <{dimensions = array<i64: 1>}> ({
  ^bb0(%one_: tensor<i1>, %two_: tensor<i1>):
    %both_ = "stablehlo.or"(%one_, %two_) : (tensor<i1>, tensor<i1>) -> tensor<i1>
    "stablehlo.return"(%both_) : (tensor<i1>) -> ()
  }) : (tensor<8x16xi1>, tensor<i1>) -> tensor<8xi1>
  %anyb = "stablehlo.broadcast_in_dim"(%any) <{broadcast_dimensions = array<i64: 2>}> : (tensor<8xi1>) -> tensor<2x4x8x16xi1>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %p = "stablehlo.select"(%anyb, %p0, %zero) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @safe_mask
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score(mask(%mask[m, n] : tensor<8x16xi1>))
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// Safe: the mask once more, after the softmax.
func.func @safe_mask_again(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %mask: tensor<8x16xi1>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %keep = "stablehlo.broadcast_in_dim"(%mask) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xi1>) -> tensor<2x4x8x16xi1>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %t = "stablehlo.select"(%keep, %s, %low) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p0 = func.call @softmax(%t) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %p = "stablehlo.select"(%keep, %p0, %zero) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @safe_mask_again
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score(mask(%mask[m, n] : tensor<8x16xi1>))
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// Safe: 0 where the maximum of an added mask is -inf (ONNX).
func.func @safe_added_mask(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %bias: tensor<8x16xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %b = "stablehlo.broadcast_in_dim"(%bias) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xf32>) -> tensor<2x4x8x16xf32>
  %t = "stablehlo.add"(%s, %b) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p0 = func.call @softmax(%t) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%bias, %low) <{dimensions = array<i64: 1>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.maximum"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<8x16xf32>, tensor<f32>) -> tensor<8xf32>
  %lowb = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<8xf32>}> : () -> tensor<8xf32>
  %inf = "stablehlo.compare"(%top, %lowb) <{comparison_direction = #stablehlo<comparison_direction EQ>}> : (tensor<8xf32>, tensor<8xf32>) -> tensor<8xi1>
  %infb = "stablehlo.broadcast_in_dim"(%inf) <{broadcast_dimensions = array<i64: 2>}> : (tensor<8xi1>) -> tensor<2x4x8x16xi1>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %p = "stablehlo.select"(%infb, %zero, %p0) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @safe_added_mask
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score(bias(%bias[m, n] : tensor<8x16xf32>))
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// A sink per head: a column of the softmax that is dropped after it (gpt-oss).
func.func @sinks(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %sinks: tensor<4xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %b = "stablehlo.broadcast_in_dim"(%sinks) <{broadcast_dimensions = array<i64: 1>}> : (tensor<4xf32>) -> tensor<2x4x8x1xf32>
  %cat = "stablehlo.concatenate"(%s, %b) <{dimension = 3 : i64}> : (tensor<2x4x8x16xf32>, tensor<2x4x8x1xf32>) -> tensor<2x4x8x17xf32>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%cat, %low) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.maximum"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x17xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %topb = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x17xf32>
  %x = "stablehlo.subtract"(%cat, %topb) : (tensor<2x4x8x17xf32>, tensor<2x4x8x17xf32>) -> tensor<2x4x8x17xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<2x4x8x17xf32>) -> tensor<2x4x8x17xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %zero) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.add"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x17xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %sumb = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x17xf32>
  %pc = "stablehlo.divide"(%e, %sumb) : (tensor<2x4x8x17xf32>, tensor<2x4x8x17xf32>) -> tensor<2x4x8x17xf32>
  %p = "stablehlo.slice"(%pc) <{start_indices = array<i64: 0, 0, 0, 0>, limit_indices = array<i64: 2, 4, 8, 16>, strides = array<i64: 1, 1, 1, 1>}> : (tensor<2x4x8x17xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @sinks
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: sinks(%sinks[h] : tensor<4xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// 1 is added to a sum of exponentials from which no maximum was subtracted: a sink of 0.
func.func @sinks_of_one(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%s) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sum = func.call @row_sum(%e) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %one = "stablehlo.constant"() <{value = dense<1.0> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %more = "stablehlo.add"(%one, %sum) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%e, %more) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @sinks_of_one
// CHECK-NEXT: %sinks = "stablehlo.constant"() <{value = dense<0.000000e+00> : tensor<f32>}>
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: sinks(%sinks[] : tensor<f32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// A sink in front of the keys.
func.func @sinks_in_front(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %mask: tensor<8x16xi1>, %sinks: tensor<4xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %keep = "stablehlo.broadcast_in_dim"(%mask) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xi1>) -> tensor<2x4x8x16xi1>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %t = "stablehlo.select"(%keep, %s, %low) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %b = "stablehlo.broadcast_in_dim"(%sinks) <{broadcast_dimensions = array<i64: 1>}> : (tensor<4xf32>) -> tensor<2x4x8x1xf32>
  %cat = "stablehlo.concatenate"(%b, %t) <{dimension = 3 : i64}> : (tensor<2x4x8x1xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x17xf32>
  %low1 = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%cat, %low1) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.maximum"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x17xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %topb = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x17xf32>
  %x = "stablehlo.subtract"(%cat, %topb) : (tensor<2x4x8x17xf32>, tensor<2x4x8x17xf32>) -> tensor<2x4x8x17xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<2x4x8x17xf32>) -> tensor<2x4x8x17xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %zero) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.add"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x17xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %sumb = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x17xf32>
  %pc = "stablehlo.divide"(%e, %sumb) : (tensor<2x4x8x17xf32>, tensor<2x4x8x17xf32>) -> tensor<2x4x8x17xf32>
  %p = "stablehlo.slice"(%pc) <{start_indices = array<i64: 0, 0, 0, 1>, limit_indices = array<i64: 2, 4, 8, 17>, strides = array<i64: 1, 1, 1, 1>}> : (tensor<2x4x8x17xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @sinks_in_front
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: sinks(%sinks[h] : tensor<4xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score(mask(%mask[m, n] : tensor<8x16xi1>))
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

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
