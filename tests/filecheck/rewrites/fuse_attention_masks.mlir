// RUN: xdsl-opt %s -p fuse-attention | filecheck %s

// Masks, in the many ways in which graphs write them. All come down to a condition on the indices (b..., hq, m, n), which
// is computed in the score region instead of read from memory:
//
//   S = keep(b, hq, m, n) ? S : low
//
// A mask by -inf keeps a key out for good, so lengths can leave the region. A finite low value does not: in a row without
// any key it gives the mean of V, and it stays as it is.

// CHECK-LABEL: builtin.module

// Causal from iotas: m >= n.
func.func @causal(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %m = "stablehlo.iota"() <{iota_dimension = 0 : i64}> : () -> tensor<8x16xi32>
  %n = "stablehlo.iota"() <{iota_dimension = 1 : i64}> : () -> tensor<8x16xi32>
  %off = "stablehlo.constant"() <{value = dense<0> : tensor<8x16xi32>}> : () -> tensor<8x16xi32>
  %mo = "stablehlo.add"(%m, %off) : (tensor<8x16xi32>, tensor<8x16xi32>) -> tensor<8x16xi32>
  %c = "stablehlo.compare"(%mo, %n) <{comparison_direction = #stablehlo<comparison_direction GE>}> : (tensor<8x16xi32>, tensor<8x16xi32>) -> tensor<8x16xi1>
  %keep = "stablehlo.broadcast_in_dim"(%c) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xi1>) -> tensor<2x4x8x16xi1>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %t = "stablehlo.select"(%keep, %s, %low) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = func.call @softmax(%t) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @causal
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score(causal(n <= m))
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// The same as n <= m, with queries aligned to the end of the keys: offset 16 - 8.
func.func @causal_at_the_end(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %m = "stablehlo.iota"() <{iota_dimension = 0 : i64}> : () -> tensor<8x16xi32>
  %n = "stablehlo.iota"() <{iota_dimension = 1 : i64}> : () -> tensor<8x16xi32>
  %off = "stablehlo.constant"() <{value = dense<8> : tensor<8x16xi32>}> : () -> tensor<8x16xi32>
  %mo = "stablehlo.add"(%m, %off) : (tensor<8x16xi32>, tensor<8x16xi32>) -> tensor<8x16xi32>
  %c = "stablehlo.compare"(%n, %mo) <{comparison_direction = #stablehlo<comparison_direction LE>}> : (tensor<8x16xi32>, tensor<8x16xi32>) -> tensor<8x16xi1>
  %keep = "stablehlo.broadcast_in_dim"(%c) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xi1>) -> tensor<2x4x8x16xi1>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %t = "stablehlo.select"(%keep, %s, %low) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = func.call @softmax(%t) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @causal_at_the_end
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score(causal(n <= m + 8))
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// Strict: n < m is n <= m - 1.
func.func @causal_strict(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %m = "stablehlo.iota"() <{iota_dimension = 0 : i64}> : () -> tensor<8x16xi32>
  %n = "stablehlo.iota"() <{iota_dimension = 1 : i64}> : () -> tensor<8x16xi32>
  %off = "stablehlo.constant"() <{value = dense<0> : tensor<8x16xi32>}> : () -> tensor<8x16xi32>
  %mo = "stablehlo.add"(%m, %off) : (tensor<8x16xi32>, tensor<8x16xi32>) -> tensor<8x16xi32>
  %c = "stablehlo.compare"(%n, %mo) <{comparison_direction = #stablehlo<comparison_direction LT>}> : (tensor<8x16xi32>, tensor<8x16xi32>) -> tensor<8x16xi1>
  %keep = "stablehlo.broadcast_in_dim"(%c) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xi1>) -> tensor<2x4x8x16xi1>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %t = "stablehlo.select"(%keep, %s, %low) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = func.call @softmax(%t) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @causal_strict
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score(causal(n <= m - 1))
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// The other polarity: where m < n, -inf.
func.func @causal_other_polarity(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %m = "stablehlo.iota"() <{iota_dimension = 0 : i64}> : () -> tensor<8x16xi32>
  %n = "stablehlo.iota"() <{iota_dimension = 1 : i64}> : () -> tensor<8x16xi32>
  %off = "stablehlo.constant"() <{value = dense<0> : tensor<8x16xi32>}> : () -> tensor<8x16xi32>
  %mo = "stablehlo.add"(%m, %off) : (tensor<8x16xi32>, tensor<8x16xi32>) -> tensor<8x16xi32>
  %c = "stablehlo.compare"(%mo, %n) <{comparison_direction = #stablehlo<comparison_direction LT>}> : (tensor<8x16xi32>, tensor<8x16xi32>) -> tensor<8x16xi1>
  %drop = "stablehlo.broadcast_in_dim"(%c) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xi1>) -> tensor<2x4x8x16xi1>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %t = "stablehlo.select"(%drop, %low, %s) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = func.call @softmax(%t) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @causal_other_polarity
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score(causal(n <= m))
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// An offset known at run time, as in decoding with a cache.
func.func @causal_at_run_time(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %pos: tensor<i32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %m = "stablehlo.iota"() <{iota_dimension = 0 : i64}> : () -> tensor<8x16xi32>
  %n = "stablehlo.iota"() <{iota_dimension = 1 : i64}> : () -> tensor<8x16xi32>
  %off = "stablehlo.broadcast_in_dim"(%pos) <{broadcast_dimensions = array<i64>}> : (tensor<i32>) -> tensor<8x16xi32>
  %mo = "stablehlo.add"(%m, %off) : (tensor<8x16xi32>, tensor<8x16xi32>) -> tensor<8x16xi32>
  %c = "stablehlo.compare"(%mo, %n) <{comparison_direction = #stablehlo<comparison_direction GE>}> : (tensor<8x16xi32>, tensor<8x16xi32>) -> tensor<8x16xi1>
  %keep = "stablehlo.broadcast_in_dim"(%c) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xi1>) -> tensor<2x4x8x16xi1>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %t = "stablehlo.select"(%keep, %s, %low) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = func.call @softmax(%t) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @causal_at_run_time
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score {
// CHECK-NEXT: ^bb0(%s: f32, %b: index, %hq: index, %m: index, %n: index):
// CHECK-NEXT: [[CAUSAL_AT_RUN_TIME_0:%[0-9]+]] = tensor.extract %pos[] : tensor<i32>
// CHECK-NEXT: [[CAUSAL_AT_RUN_TIME_1:%[0-9]+]] = arith.index_cast [[CAUSAL_AT_RUN_TIME_0]] : i32 to index
// CHECK-NEXT: [[CAUSAL_AT_RUN_TIME_2:%[0-9]+]] = arith.addi %m, [[CAUSAL_AT_RUN_TIME_1]] : index
// CHECK-NEXT: [[CAUSAL_AT_RUN_TIME_3:%[0-9]+]] = arith.cmpi sle, %n, [[CAUSAL_AT_RUN_TIME_2]] : index
// CHECK-NEXT: [[CAUSAL_AT_RUN_TIME_4:%[0-9]+]] = arith.constant 0xff800000 : f32
// CHECK-NEXT: [[CAUSAL_AT_RUN_TIME_5:%[0-9]+]] = arith.select [[CAUSAL_AT_RUN_TIME_3]], %s, [[CAUSAL_AT_RUN_TIME_4]] : f32
// CHECK-NEXT: attention.yield [[CAUSAL_AT_RUN_TIME_5]] : f32
// CHECK-NEXT: }
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// A constant triangle is recognised by its elements.
func.func @causal_constant(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %c = "stablehlo.constant"() <{value = dense<[[true, false, false, false, false, false, false, false, false, false, false, false, false, false, false, false], [true, true, false, false, false, false, false, false, false, false, false, false, false, false, false, false], [true, true, true, false, false, false, false, false, false, false, false, false, false, false, false, false], [true, true, true, true, false, false, false, false, false, false, false, false, false, false, false, false], [true, true, true, true, true, false, false, false, false, false, false, false, false, false, false, false], [true, true, true, true, true, true, false, false, false, false, false, false, false, false, false, false], [true, true, true, true, true, true, true, false, false, false, false, false, false, false, false, false], [true, true, true, true, true, true, true, true, false, false, false, false, false, false, false, false]]> : tensor<8x16xi1>}> : () -> tensor<8x16xi1>
  %keep = "stablehlo.broadcast_in_dim"(%c) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xi1>) -> tensor<2x4x8x16xi1>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %t = "stablehlo.select"(%keep, %s, %low) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = func.call @softmax(%t) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @causal_constant
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score(causal(n <= m))
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// tril as JAX has it: a select of a matrix of ones by iotas, the first of which is shifted.
func.func @causal_tril(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %ones = "stablehlo.constant"() <{value = dense<true> : tensor<8x16xi1>}> : () -> tensor<8x16xi1>
  %m = "stablehlo.iota"() <{iota_dimension = 0 : i64}> : () -> tensor<8x16xi32>
  %zero = "stablehlo.constant"() <{value = dense<0> : tensor<8x16xi32>}> : () -> tensor<8x16xi32>
  %mo = "stablehlo.add"(%m, %zero) : (tensor<8x16xi32>, tensor<8x16xi32>) -> tensor<8x16xi32>
  %n = "stablehlo.iota"() <{iota_dimension = 1 : i64}> : () -> tensor<8x16xi32>
  %ge = "stablehlo.compare"(%mo, %n) <{comparison_direction = #stablehlo<comparison_direction GE>}> : (tensor<8x16xi32>, tensor<8x16xi32>) -> tensor<8x16xi1>
  %false = "stablehlo.constant"() <{value = dense<false> : tensor<8x16xi1>}> : () -> tensor<8x16xi1>
  %c = "stablehlo.select"(%ge, %ones, %false) : (tensor<8x16xi1>, tensor<8x16xi1>, tensor<8x16xi1>) -> tensor<8x16xi1>
  %keep = "stablehlo.broadcast_in_dim"(%c) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xi1>) -> tensor<2x4x8x16xi1>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %t = "stablehlo.select"(%keep, %s, %low) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = func.call @softmax(%t) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @causal_tril
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score(causal(n <= m))
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// Added: 0 / -inf.
func.func @causal_added(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %m = "stablehlo.iota"() <{iota_dimension = 0 : i64}> : () -> tensor<8x16xi32>
  %n = "stablehlo.iota"() <{iota_dimension = 1 : i64}> : () -> tensor<8x16xi32>
  %off = "stablehlo.constant"() <{value = dense<0> : tensor<8x16xi32>}> : () -> tensor<8x16xi32>
  %mo = "stablehlo.add"(%m, %off) : (tensor<8x16xi32>, tensor<8x16xi32>) -> tensor<8x16xi32>
  %c = "stablehlo.compare"(%mo, %n) <{comparison_direction = #stablehlo<comparison_direction GE>}> : (tensor<8x16xi32>, tensor<8x16xi32>) -> tensor<8x16xi1>
  %z = "stablehlo.constant"() <{value = dense<0.0> : tensor<8x16xf32>}> : () -> tensor<8x16xf32>
  %l = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<8x16xf32>}> : () -> tensor<8x16xf32>
  %a = "stablehlo.select"(%c, %z, %l) : (tensor<8x16xi1>, tensor<8x16xf32>, tensor<8x16xf32>) -> tensor<8x16xf32>
  %b = "stablehlo.broadcast_in_dim"(%a) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xf32>) -> tensor<2x4x8x16xf32>
  %t = "stablehlo.add"(%s, %b) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = func.call @softmax(%t) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @causal_added
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score(causal(n <= m))
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// Added, the triangle being a constant.
func.func @causal_added_constant(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %c = "stablehlo.constant"() <{value = dense<[[true, false, false, false, false, false, false, false, false, false, false, false, false, false, false, false], [true, true, false, false, false, false, false, false, false, false, false, false, false, false, false, false], [true, true, true, false, false, false, false, false, false, false, false, false, false, false, false, false], [true, true, true, true, false, false, false, false, false, false, false, false, false, false, false, false], [true, true, true, true, true, false, false, false, false, false, false, false, false, false, false, false], [true, true, true, true, true, true, false, false, false, false, false, false, false, false, false, false], [true, true, true, true, true, true, true, false, false, false, false, false, false, false, false, false], [true, true, true, true, true, true, true, true, false, false, false, false, false, false, false, false]]> : tensor<8x16xi1>}> : () -> tensor<8x16xi1>
  %z = "stablehlo.constant"() <{value = dense<0.0> : tensor<8x16xf32>}> : () -> tensor<8x16xf32>
  %l = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<8x16xf32>}> : () -> tensor<8x16xf32>
  %a = "stablehlo.select"(%c, %z, %l) : (tensor<8x16xi1>, tensor<8x16xf32>, tensor<8x16xf32>) -> tensor<8x16xf32>
  %b = "stablehlo.broadcast_in_dim"(%a) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xf32>) -> tensor<2x4x8x16xf32>
  %t = "stablehlo.add"(%b, %s) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = func.call @softmax(%t) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @causal_added_constant
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score(causal(n <= m))
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// Added as (1 - keep) * lowest: exact as a select, as a logit beside the lowest number of f32 does not count.
func.func @causal_added_product(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %m = "stablehlo.iota"() <{iota_dimension = 0 : i64}> : () -> tensor<8x16xi32>
  %n = "stablehlo.iota"() <{iota_dimension = 1 : i64}> : () -> tensor<8x16xi32>
  %off = "stablehlo.constant"() <{value = dense<0> : tensor<8x16xi32>}> : () -> tensor<8x16xi32>
  %mo = "stablehlo.add"(%m, %off) : (tensor<8x16xi32>, tensor<8x16xi32>) -> tensor<8x16xi32>
  %c = "stablehlo.compare"(%mo, %n) <{comparison_direction = #stablehlo<comparison_direction GE>}> : (tensor<8x16xi32>, tensor<8x16xi32>) -> tensor<8x16xi1>
  %f = "stablehlo.convert"(%c) : (tensor<8x16xi1>) -> tensor<8x16xf32>
  %one = "stablehlo.constant"() <{value = dense<1.0> : tensor<8x16xf32>}> : () -> tensor<8x16xf32>
  %x = "stablehlo.subtract"(%one, %f) : (tensor<8x16xf32>, tensor<8x16xf32>) -> tensor<8x16xf32>
  %l = "stablehlo.constant"() <{value = dense<-3.40282347E+38> : tensor<8x16xf32>}> : () -> tensor<8x16xf32>
  %a = "stablehlo.multiply"(%x, %l) : (tensor<8x16xf32>, tensor<8x16xf32>) -> tensor<8x16xf32>
  %b = "stablehlo.broadcast_in_dim"(%a) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xf32>) -> tensor<2x4x8x16xf32>
  %t = "stablehlo.add"(%s, %b) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = func.call @softmax(%t) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @causal_added_product
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score {
// CHECK-NEXT: ^bb0(%s: f32, %b: index, %hq: index, %m: index, %n: index):
// CHECK-NEXT: [[CAUSAL_ADDED_PRODUCT_0:%[0-9]+]] = arith.cmpi sle, %n, %m : index
// CHECK-NEXT: [[CAUSAL_ADDED_PRODUCT_1:%[0-9]+]] = arith.constant -3.40282347e+38 : f32
// CHECK-NEXT: [[CAUSAL_ADDED_PRODUCT_2:%[0-9]+]] = arith.select [[CAUSAL_ADDED_PRODUCT_0]], %s, [[CAUSAL_ADDED_PRODUCT_1]] : f32
// CHECK-NEXT: attention.yield [[CAUSAL_ADDED_PRODUCT_2]] : f32
// CHECK-NEXT: }
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// -1e9 leaves a trace of the logit: it stays an addition.
func.func @causal_added_finite(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %m = "stablehlo.iota"() <{iota_dimension = 0 : i64}> : () -> tensor<8x16xi32>
  %n = "stablehlo.iota"() <{iota_dimension = 1 : i64}> : () -> tensor<8x16xi32>
  %off = "stablehlo.constant"() <{value = dense<0> : tensor<8x16xi32>}> : () -> tensor<8x16xi32>
  %mo = "stablehlo.add"(%m, %off) : (tensor<8x16xi32>, tensor<8x16xi32>) -> tensor<8x16xi32>
  %c = "stablehlo.compare"(%mo, %n) <{comparison_direction = #stablehlo<comparison_direction GE>}> : (tensor<8x16xi32>, tensor<8x16xi32>) -> tensor<8x16xi1>
  %z = "stablehlo.constant"() <{value = dense<0.0> : tensor<8x16xf32>}> : () -> tensor<8x16xf32>
  %l = "stablehlo.constant"() <{value = dense<-1.0e9> : tensor<8x16xf32>}> : () -> tensor<8x16xf32>
  %a = "stablehlo.select"(%c, %z, %l) : (tensor<8x16xi1>, tensor<8x16xf32>, tensor<8x16xf32>) -> tensor<8x16xf32>
  %b = "stablehlo.broadcast_in_dim"(%a) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xf32>) -> tensor<2x4x8x16xf32>
  %t = "stablehlo.add"(%s, %b) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = func.call @softmax(%t) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @causal_added_finite
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score {
// CHECK-NEXT: ^bb0(%s: f32, %b: index, %hq: index, %m: index, %n: index):
// CHECK-NEXT: [[CAUSAL_ADDED_FINITE_0:%[0-9]+]] = arith.constant 0.000000e+00 : f32
// CHECK-NEXT: [[CAUSAL_ADDED_FINITE_1:%[0-9]+]] = arith.cmpi sle, %n, %m : index
// CHECK-NEXT: [[CAUSAL_ADDED_FINITE_2:%[0-9]+]] = arith.constant -1.000000e+09 : f32
// CHECK-NEXT: [[CAUSAL_ADDED_FINITE_3:%[0-9]+]] = arith.select [[CAUSAL_ADDED_FINITE_1]], [[CAUSAL_ADDED_FINITE_0]], [[CAUSAL_ADDED_FINITE_2]] : f32
// CHECK-NEXT: [[CAUSAL_ADDED_FINITE_4:%[0-9]+]] = arith.addf %s, [[CAUSAL_ADDED_FINITE_3]] : f32
// CHECK-NEXT: attention.yield [[CAUSAL_ADDED_FINITE_4]] : f32
// CHECK-NEXT: }
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// Two finite masks: a row that both empty is not the row that one empties. Only the first becomes a select.
func.func @finite_twice(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %padding: tensor<2x16xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %m = "stablehlo.iota"() <{iota_dimension = 0 : i64}> : () -> tensor<8x16xi32>
  %n = "stablehlo.iota"() <{iota_dimension = 1 : i64}> : () -> tensor<8x16xi32>
  %off = "stablehlo.constant"() <{value = dense<0> : tensor<8x16xi32>}> : () -> tensor<8x16xi32>
  %mo = "stablehlo.add"(%m, %off) : (tensor<8x16xi32>, tensor<8x16xi32>) -> tensor<8x16xi32>
  %c = "stablehlo.compare"(%mo, %n) <{comparison_direction = #stablehlo<comparison_direction GE>}> : (tensor<8x16xi32>, tensor<8x16xi32>) -> tensor<8x16xi1>
  %z = "stablehlo.constant"() <{value = dense<0.0> : tensor<8x16xf32>}> : () -> tensor<8x16xf32>
  %l = "stablehlo.constant"() <{value = dense<-3.40282347E+38> : tensor<8x16xf32>}> : () -> tensor<8x16xf32>
  %a = "stablehlo.select"(%c, %z, %l) : (tensor<8x16xi1>, tensor<8x16xf32>, tensor<8x16xf32>) -> tensor<8x16xf32>
  %b = "stablehlo.broadcast_in_dim"(%a) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xf32>) -> tensor<2x4x8x16xf32>
  %t1 = "stablehlo.add"(%s, %b) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %pad = "stablehlo.broadcast_in_dim"(%padding) <{broadcast_dimensions = array<i64: 0, 3>}> : (tensor<2x16xf32>) -> tensor<2x4x8x16xf32>
  %t = "stablehlo.add"(%t1, %pad) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = func.call @softmax(%t) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @finite_twice
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score {
// CHECK-NEXT: ^bb0(%s: f32, %b: index, %hq: index, %m: index, %n: index):
// CHECK-NEXT: [[FINITE_TWICE_0:%[0-9]+]] = arith.cmpi sle, %n, %m : index
// CHECK-NEXT: [[FINITE_TWICE_1:%[0-9]+]] = arith.constant -3.40282347e+38 : f32
// CHECK-NEXT: [[FINITE_TWICE_2:%[0-9]+]] = arith.select [[FINITE_TWICE_0]], %s, [[FINITE_TWICE_1]] : f32
// CHECK-NEXT: [[FINITE_TWICE_3:%[0-9]+]] = tensor.extract %padding[%b, %n] : tensor<2x16xf32>
// CHECK-NEXT: [[FINITE_TWICE_4:%[0-9]+]] = arith.addf [[FINITE_TWICE_2]], [[FINITE_TWICE_3]] : f32
// CHECK-NEXT: attention.yield [[FINITE_TWICE_4]] : f32
// CHECK-NEXT: }
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// Selected with a finite low value, the lowest finite number: kept as it is.
func.func @finite_lowest(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %m = "stablehlo.iota"() <{iota_dimension = 0 : i64}> : () -> tensor<8x16xi32>
  %n = "stablehlo.iota"() <{iota_dimension = 1 : i64}> : () -> tensor<8x16xi32>
  %off = "stablehlo.constant"() <{value = dense<0> : tensor<8x16xi32>}> : () -> tensor<8x16xi32>
  %mo = "stablehlo.add"(%m, %off) : (tensor<8x16xi32>, tensor<8x16xi32>) -> tensor<8x16xi32>
  %c = "stablehlo.compare"(%mo, %n) <{comparison_direction = #stablehlo<comparison_direction GE>}> : (tensor<8x16xi32>, tensor<8x16xi32>) -> tensor<8x16xi1>
  %keep = "stablehlo.broadcast_in_dim"(%c) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xi1>) -> tensor<2x4x8x16xi1>
  %low = "stablehlo.constant"() <{value = dense<-3.40282347E+38> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %t = "stablehlo.select"(%keep, %s, %low) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = func.call @softmax(%t) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @finite_lowest
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score {
// CHECK-NEXT: ^bb0(%s: f32, %b: index, %hq: index, %m: index, %n: index):
// CHECK-NEXT: [[FINITE_LOWEST_0:%[0-9]+]] = arith.cmpi sle, %n, %m : index
// CHECK-NEXT: [[FINITE_LOWEST_1:%[0-9]+]] = arith.constant -3.40282347e+38 : f32
// CHECK-NEXT: [[FINITE_LOWEST_2:%[0-9]+]] = arith.select [[FINITE_LOWEST_0]], %s, [[FINITE_LOWEST_1]] : f32
// CHECK-NEXT: attention.yield [[FINITE_LOWEST_2]] : f32
// CHECK-NEXT: }
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// Selected with a finite low value, JAX's: kept as it is.
func.func @finite_jax(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %m = "stablehlo.iota"() <{iota_dimension = 0 : i64}> : () -> tensor<8x16xi32>
  %n = "stablehlo.iota"() <{iota_dimension = 1 : i64}> : () -> tensor<8x16xi32>
  %off = "stablehlo.constant"() <{value = dense<0> : tensor<8x16xi32>}> : () -> tensor<8x16xi32>
  %mo = "stablehlo.add"(%m, %off) : (tensor<8x16xi32>, tensor<8x16xi32>) -> tensor<8x16xi32>
  %c = "stablehlo.compare"(%mo, %n) <{comparison_direction = #stablehlo<comparison_direction GE>}> : (tensor<8x16xi32>, tensor<8x16xi32>) -> tensor<8x16xi1>
  %keep = "stablehlo.broadcast_in_dim"(%c) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xi1>) -> tensor<2x4x8x16xi1>
  %low = "stablehlo.constant"() <{value = dense<-2.38197633E+38> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %t = "stablehlo.select"(%keep, %s, %low) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = func.call @softmax(%t) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @finite_jax
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score {
// CHECK-NEXT: ^bb0(%s: f32, %b: index, %hq: index, %m: index, %n: index):
// CHECK-NEXT: [[FINITE_JAX_0:%[0-9]+]] = arith.cmpi sle, %n, %m : index
// CHECK-NEXT: [[FINITE_JAX_1:%[0-9]+]] = arith.constant -2.38197633e+38 : f32
// CHECK-NEXT: [[FINITE_JAX_2:%[0-9]+]] = arith.select [[FINITE_JAX_0]], %s, [[FINITE_JAX_1]] : f32
// CHECK-NEXT: attention.yield [[FINITE_JAX_2]] : f32
// CHECK-NEXT: }
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// Selected with a finite low value, an old one of PyTorch's: kept as it is.
func.func @finite_torch(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %m = "stablehlo.iota"() <{iota_dimension = 0 : i64}> : () -> tensor<8x16xi32>
  %n = "stablehlo.iota"() <{iota_dimension = 1 : i64}> : () -> tensor<8x16xi32>
  %off = "stablehlo.constant"() <{value = dense<0> : tensor<8x16xi32>}> : () -> tensor<8x16xi32>
  %mo = "stablehlo.add"(%m, %off) : (tensor<8x16xi32>, tensor<8x16xi32>) -> tensor<8x16xi32>
  %c = "stablehlo.compare"(%mo, %n) <{comparison_direction = #stablehlo<comparison_direction GE>}> : (tensor<8x16xi32>, tensor<8x16xi32>) -> tensor<8x16xi1>
  %keep = "stablehlo.broadcast_in_dim"(%c) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xi1>) -> tensor<2x4x8x16xi1>
  %low = "stablehlo.constant"() <{value = dense<-1.0e4> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %t = "stablehlo.select"(%keep, %s, %low) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = func.call @softmax(%t) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @finite_torch
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score {
// CHECK-NEXT: ^bb0(%s: f32, %b: index, %hq: index, %m: index, %n: index):
// CHECK-NEXT: [[FINITE_TORCH_0:%[0-9]+]] = arith.cmpi sle, %n, %m : index
// CHECK-NEXT: [[FINITE_TORCH_1:%[0-9]+]] = arith.constant -1.000000e+04 : f32
// CHECK-NEXT: [[FINITE_TORCH_2:%[0-9]+]] = arith.select [[FINITE_TORCH_0]], %s, [[FINITE_TORCH_1]] : f32
// CHECK-NEXT: attention.yield [[FINITE_TORCH_2]] : f32
// CHECK-NEXT: }
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// A sliding window of 4 keys: m - 3 <= n <= m, from two conditions.
func.func @window(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %m = "stablehlo.iota"() <{iota_dimension = 0 : i64}> : () -> tensor<8x16xi32>
  %n = "stablehlo.iota"() <{iota_dimension = 1 : i64}> : () -> tensor<8x16xi32>
  %off = "stablehlo.constant"() <{value = dense<0> : tensor<8x16xi32>}> : () -> tensor<8x16xi32>
  %mo = "stablehlo.add"(%m, %off) : (tensor<8x16xi32>, tensor<8x16xi32>) -> tensor<8x16xi32>
  %c = "stablehlo.compare"(%mo, %n) <{comparison_direction = #stablehlo<comparison_direction GE>}> : (tensor<8x16xi32>, tensor<8x16xi32>) -> tensor<8x16xi1>
  %w = "stablehlo.constant"() <{value = dense<-4> : tensor<8x16xi32>}> : () -> tensor<8x16xi32>
  %far = "stablehlo.add"(%m, %w) : (tensor<8x16xi32>, tensor<8x16xi32>) -> tensor<8x16xi32>
  %near = "stablehlo.compare"(%n, %far) <{comparison_direction = #stablehlo<comparison_direction GT>}> : (tensor<8x16xi32>, tensor<8x16xi32>) -> tensor<8x16xi1>
  %both = "stablehlo.and"(%near, %c) : (tensor<8x16xi1>, tensor<8x16xi1>) -> tensor<8x16xi1>
  %keep = "stablehlo.broadcast_in_dim"(%both) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xi1>) -> tensor<2x4x8x16xi1>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %t = "stablehlo.select"(%keep, %s, %low) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = func.call @softmax(%t) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @window
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score(window(m - 3 <= n <= m))
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// A window in a constant.
func.func @window_constant(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %c = "stablehlo.constant"() <{value = dense<[[true, true, false, false, false, false, false, false, false, false, false, false, false, false, false, false], [true, true, true, false, false, false, false, false, false, false, false, false, false, false, false, false], [true, true, true, true, false, false, false, false, false, false, false, false, false, false, false, false], [false, true, true, true, true, false, false, false, false, false, false, false, false, false, false, false], [false, false, true, true, true, true, false, false, false, false, false, false, false, false, false, false], [false, false, false, true, true, true, true, false, false, false, false, false, false, false, false, false], [false, false, false, false, true, true, true, true, false, false, false, false, false, false, false, false], [false, false, false, false, false, true, true, true, true, false, false, false, false, false, false, false]]> : tensor<8x16xi1>}> : () -> tensor<8x16xi1>
  %keep = "stablehlo.broadcast_in_dim"(%c) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xi1>) -> tensor<2x4x8x16xi1>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %t = "stablehlo.select"(%keep, %s, %low) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = func.call @softmax(%t) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @window_constant
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score(window(m - 2 <= n <= m + 1))
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// Two masks one after the other are one condition.
func.func @window_by_two_masks(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %m = "stablehlo.iota"() <{iota_dimension = 0 : i64}> : () -> tensor<8x16xi32>
  %n = "stablehlo.iota"() <{iota_dimension = 1 : i64}> : () -> tensor<8x16xi32>
  %off = "stablehlo.constant"() <{value = dense<0> : tensor<8x16xi32>}> : () -> tensor<8x16xi32>
  %mo = "stablehlo.add"(%m, %off) : (tensor<8x16xi32>, tensor<8x16xi32>) -> tensor<8x16xi32>
  %c = "stablehlo.compare"(%mo, %n) <{comparison_direction = #stablehlo<comparison_direction GE>}> : (tensor<8x16xi32>, tensor<8x16xi32>) -> tensor<8x16xi1>
  %k1 = "stablehlo.broadcast_in_dim"(%c) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xi1>) -> tensor<2x4x8x16xi1>
  %l1 = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %t1 = "stablehlo.select"(%k1, %s, %l1) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %w = "stablehlo.constant"() <{value = dense<-4> : tensor<8x16xi32>}> : () -> tensor<8x16xi32>
  %far = "stablehlo.add"(%m, %w) : (tensor<8x16xi32>, tensor<8x16xi32>) -> tensor<8x16xi32>
  %near = "stablehlo.compare"(%n, %far) <{comparison_direction = #stablehlo<comparison_direction LE>}> : (tensor<8x16xi32>, tensor<8x16xi32>) -> tensor<8x16xi1>
  %k2 = "stablehlo.broadcast_in_dim"(%near) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xi1>) -> tensor<2x4x8x16xi1>
  %l2 = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %t = "stablehlo.select"(%k2, %l2, %t1) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = func.call @softmax(%t) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @window_by_two_masks
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score(window(m - 3 <= n <= m))
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// Lengths: keys from lens[b] on do not exist.
func.func @lengths(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %lens: tensor<2xi32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %n = "stablehlo.iota"() <{iota_dimension = 0 : i64}> : () -> tensor<16xi32>
  %nb = "stablehlo.broadcast_in_dim"(%n) <{broadcast_dimensions = array<i64: 1>}> : (tensor<16xi32>) -> tensor<2x16xi32>
  %lb = "stablehlo.broadcast_in_dim"(%lens) <{broadcast_dimensions = array<i64: 0>}> : (tensor<2xi32>) -> tensor<2x16xi32>
  %c = "stablehlo.compare"(%nb, %lb) <{comparison_direction = #stablehlo<comparison_direction LT>}> : (tensor<2x16xi32>, tensor<2x16xi32>) -> tensor<2x16xi1>
  %keep = "stablehlo.broadcast_in_dim"(%c) <{broadcast_dimensions = array<i64: 0, 3>}> : (tensor<2x16xi1>) -> tensor<2x4x8x16xi1>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %t = "stablehlo.select"(%keep, %s, %low) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = func.call @softmax(%t) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @lengths
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: kv_lens(%lens[b] : tensor<2xi32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// The same from the other side, on a last valid position: n <= lens - 1.
func.func @lengths_by_last_position(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %lens: tensor<2xi32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %n = "stablehlo.iota"() <{iota_dimension = 0 : i64}> : () -> tensor<16xi32>
  %nb = "stablehlo.broadcast_in_dim"(%n) <{broadcast_dimensions = array<i64: 1>}> : (tensor<16xi32>) -> tensor<2x16xi32>
  %one = "stablehlo.constant"() <{value = dense<1> : tensor<2xi32>}> : () -> tensor<2xi32>
  %last = "stablehlo.subtract"(%lens, %one) : (tensor<2xi32>, tensor<2xi32>) -> tensor<2xi32>
  %lb = "stablehlo.broadcast_in_dim"(%last) <{broadcast_dimensions = array<i64: 0>}> : (tensor<2xi32>) -> tensor<2x16xi32>
  %c = "stablehlo.compare"(%lb, %nb) <{comparison_direction = #stablehlo<comparison_direction GE>}> : (tensor<2x16xi32>, tensor<2x16xi32>) -> tensor<2x16xi1>
  %keep = "stablehlo.broadcast_in_dim"(%c) <{broadcast_dimensions = array<i64: 0, 3>}> : (tensor<2x16xi1>) -> tensor<2x4x8x16xi1>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %t = "stablehlo.select"(%keep, %s, %low) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = func.call @softmax(%t) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @lengths_by_last_position
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: kv_lens(%lens[b] : tensor<2xi32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// With a finite low value a length is a mask: a sequence of length 0 gives the mean of V, not 0.
func.func @lengths_finite(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %lens: tensor<2xi32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %n = "stablehlo.iota"() <{iota_dimension = 0 : i64}> : () -> tensor<16xi32>
  %nb = "stablehlo.broadcast_in_dim"(%n) <{broadcast_dimensions = array<i64: 1>}> : (tensor<16xi32>) -> tensor<2x16xi32>
  %lb = "stablehlo.broadcast_in_dim"(%lens) <{broadcast_dimensions = array<i64: 0>}> : (tensor<2xi32>) -> tensor<2x16xi32>
  %c = "stablehlo.compare"(%nb, %lb) <{comparison_direction = #stablehlo<comparison_direction LT>}> : (tensor<2x16xi32>, tensor<2x16xi32>) -> tensor<2x16xi1>
  %keep = "stablehlo.broadcast_in_dim"(%c) <{broadcast_dimensions = array<i64: 0, 3>}> : (tensor<2x16xi1>) -> tensor<2x4x8x16xi1>
  %low = "stablehlo.constant"() <{value = dense<-1.0e9> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %t = "stablehlo.select"(%keep, %s, %low) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = func.call @softmax(%t) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @lengths_finite
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score {
// CHECK-NEXT: ^bb0(%s: f32, %b: index, %hq: index, %m: index, %n: index):
// CHECK-NEXT: [[LENGTHS_FINITE_0:%[0-9]+]] = tensor.extract %lens[%b] : tensor<2xi32>
// CHECK-NEXT: [[LENGTHS_FINITE_1:%[0-9]+]] = arith.index_cast [[LENGTHS_FINITE_0]] : i32 to index
// CHECK-NEXT: [[LENGTHS_FINITE_2:%[0-9]+]] = arith.cmpi slt, %n, [[LENGTHS_FINITE_1]] : index
// CHECK-NEXT: [[LENGTHS_FINITE_3:%[0-9]+]] = arith.constant -1.000000e+09 : f32
// CHECK-NEXT: [[LENGTHS_FINITE_4:%[0-9]+]] = arith.select [[LENGTHS_FINITE_2]], %s, [[LENGTHS_FINITE_3]] : f32
// CHECK-NEXT: attention.yield [[LENGTHS_FINITE_4]] : f32
// CHECK-NEXT: }
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// A length that is not the outermost step stays in the region: a soft cap makes -inf a number again.
func.func @lengths_below_a_soft_cap(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %lens: tensor<2xi32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %n = "stablehlo.iota"() <{iota_dimension = 0 : i64}> : () -> tensor<16xi32>
  %nb = "stablehlo.broadcast_in_dim"(%n) <{broadcast_dimensions = array<i64: 1>}> : (tensor<16xi32>) -> tensor<2x16xi32>
  %lb = "stablehlo.broadcast_in_dim"(%lens) <{broadcast_dimensions = array<i64: 0>}> : (tensor<2xi32>) -> tensor<2x16xi32>
  %c = "stablehlo.compare"(%nb, %lb) <{comparison_direction = #stablehlo<comparison_direction LT>}> : (tensor<2x16xi32>, tensor<2x16xi32>) -> tensor<2x16xi1>
  %keep = "stablehlo.broadcast_in_dim"(%c) <{broadcast_dimensions = array<i64: 0, 3>}> : (tensor<2x16xi1>) -> tensor<2x4x8x16xi1>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %t1 = "stablehlo.select"(%keep, %s, %low) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %cap = "stablehlo.constant"() <{value = dense<20.0> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %x = "stablehlo.divide"(%t1, %cap) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %y = "stablehlo.tanh"(%x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %t = "stablehlo.multiply"(%y, %cap) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = func.call @softmax(%t) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @lengths_below_a_soft_cap
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score {
// CHECK-NEXT: ^bb0(%s: f32, %b: index, %hq: index, %m: index, %n: index):
// CHECK-NEXT: [[LENGTHS_BELOW_A_SOFT_CAP_0:%[0-9]+]] = tensor.extract %lens[%b] : tensor<2xi32>
// CHECK-NEXT: [[LENGTHS_BELOW_A_SOFT_CAP_1:%[0-9]+]] = arith.index_cast [[LENGTHS_BELOW_A_SOFT_CAP_0]] : i32 to index
// CHECK-NEXT: [[LENGTHS_BELOW_A_SOFT_CAP_2:%[0-9]+]] = arith.cmpi slt, %n, [[LENGTHS_BELOW_A_SOFT_CAP_1]] : index
// CHECK-NEXT: [[LENGTHS_BELOW_A_SOFT_CAP_3:%[0-9]+]] = arith.constant 0xff800000 : f32
// CHECK-NEXT: [[LENGTHS_BELOW_A_SOFT_CAP_4:%[0-9]+]] = arith.select [[LENGTHS_BELOW_A_SOFT_CAP_2]], %s, [[LENGTHS_BELOW_A_SOFT_CAP_3]] : f32
// CHECK-NEXT: [[LENGTHS_BELOW_A_SOFT_CAP_5:%[0-9]+]] = arith.constant 2.000000e+01 : f32
// CHECK-NEXT: [[LENGTHS_BELOW_A_SOFT_CAP_6:%[0-9]+]] = arith.divf [[LENGTHS_BELOW_A_SOFT_CAP_4]], [[LENGTHS_BELOW_A_SOFT_CAP_5]] : f32
// CHECK-NEXT: [[LENGTHS_BELOW_A_SOFT_CAP_7:%[0-9]+]] = math.tanh [[LENGTHS_BELOW_A_SOFT_CAP_6]] : f32
// CHECK-NEXT: [[LENGTHS_BELOW_A_SOFT_CAP_8:%[0-9]+]] = arith.mulf [[LENGTHS_BELOW_A_SOFT_CAP_7]], [[LENGTHS_BELOW_A_SOFT_CAP_5]] : f32
// CHECK-NEXT: attention.yield [[LENGTHS_BELOW_A_SOFT_CAP_8]] : f32
// CHECK-NEXT: }
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// A start and a length: only the length can leave the region.
func.func @lengths_and_starts(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %lens: tensor<2xi32>, %starts: tensor<2xi32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %n = "stablehlo.iota"() <{iota_dimension = 0 : i64}> : () -> tensor<16xi32>
  %nb = "stablehlo.broadcast_in_dim"(%n) <{broadcast_dimensions = array<i64: 1>}> : (tensor<16xi32>) -> tensor<2x16xi32>
  %lb = "stablehlo.broadcast_in_dim"(%lens) <{broadcast_dimensions = array<i64: 0>}> : (tensor<2xi32>) -> tensor<2x16xi32>
  %c = "stablehlo.compare"(%nb, %lb) <{comparison_direction = #stablehlo<comparison_direction LT>}> : (tensor<2x16xi32>, tensor<2x16xi32>) -> tensor<2x16xi1>
  %sb = "stablehlo.broadcast_in_dim"(%starts) <{broadcast_dimensions = array<i64: 0>}> : (tensor<2xi32>) -> tensor<2x16xi32>
  %d = "stablehlo.compare"(%nb, %sb) <{comparison_direction = #stablehlo<comparison_direction GE>}> : (tensor<2x16xi32>, tensor<2x16xi32>) -> tensor<2x16xi1>
  %both = "stablehlo.and"(%d, %c) : (tensor<2x16xi1>, tensor<2x16xi1>) -> tensor<2x16xi1>
  %keep = "stablehlo.broadcast_in_dim"(%both) <{broadcast_dimensions = array<i64: 0, 3>}> : (tensor<2x16xi1>) -> tensor<2x4x8x16xi1>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %t = "stablehlo.select"(%keep, %s, %low) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = func.call @softmax(%t) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @lengths_and_starts
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: kv_lens(%lens[b] : tensor<2xi32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score {
// CHECK-NEXT: ^bb0(%s: f32, %b: index, %hq: index, %m: index, %n: index):
// CHECK-NEXT: [[LENGTHS_AND_STARTS_0:%[0-9]+]] = tensor.extract %starts[%b] : tensor<2xi32>
// CHECK-NEXT: [[LENGTHS_AND_STARTS_1:%[0-9]+]] = arith.index_cast [[LENGTHS_AND_STARTS_0]] : i32 to index
// CHECK-NEXT: [[LENGTHS_AND_STARTS_2:%[0-9]+]] = arith.cmpi sge, %n, [[LENGTHS_AND_STARTS_1]] : index
// CHECK-NEXT: [[LENGTHS_AND_STARTS_3:%[0-9]+]] = arith.constant 0xff800000 : f32
// CHECK-NEXT: [[LENGTHS_AND_STARTS_4:%[0-9]+]] = arith.select [[LENGTHS_AND_STARTS_2]], %s, [[LENGTHS_AND_STARTS_3]] : f32
// CHECK-NEXT: attention.yield [[LENGTHS_AND_STARTS_4]] : f32
// CHECK-NEXT: }
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// A length per query is a mask.
func.func @lengths_per_query(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %lens: tensor<8xi32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %n = "stablehlo.iota"() <{iota_dimension = 1 : i64}> : () -> tensor<8x16xi32>
  %lb = "stablehlo.broadcast_in_dim"(%lens) <{broadcast_dimensions = array<i64: 0>}> : (tensor<8xi32>) -> tensor<8x16xi32>
  %c = "stablehlo.compare"(%n, %lb) <{comparison_direction = #stablehlo<comparison_direction LT>}> : (tensor<8x16xi32>, tensor<8x16xi32>) -> tensor<8x16xi1>
  %keep = "stablehlo.broadcast_in_dim"(%c) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xi1>) -> tensor<2x4x8x16xi1>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %t = "stablehlo.select"(%keep, %s, %low) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = func.call @softmax(%t) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @lengths_per_query
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score {
// CHECK-NEXT: ^bb0(%s: f32, %b: index, %hq: index, %m: index, %n: index):
// CHECK-NEXT: [[LENGTHS_PER_QUERY_0:%[0-9]+]] = tensor.extract %lens[%m] : tensor<8xi32>
// CHECK-NEXT: [[LENGTHS_PER_QUERY_1:%[0-9]+]] = arith.index_cast [[LENGTHS_PER_QUERY_0]] : i32 to index
// CHECK-NEXT: [[LENGTHS_PER_QUERY_2:%[0-9]+]] = arith.cmpi slt, %n, [[LENGTHS_PER_QUERY_1]] : index
// CHECK-NEXT: [[LENGTHS_PER_QUERY_3:%[0-9]+]] = arith.constant 0xff800000 : f32
// CHECK-NEXT: [[LENGTHS_PER_QUERY_4:%[0-9]+]] = arith.select [[LENGTHS_PER_QUERY_2]], %s, [[LENGTHS_PER_QUERY_3]] : f32
// CHECK-NEXT: attention.yield [[LENGTHS_PER_QUERY_4]] : f32
// CHECK-NEXT: }
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// Lengths of 16 bits are read in the region; attention.sdpa takes i32 and i64.
func.func @lengths_of_i16(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %lens: tensor<2xi16>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %n = "stablehlo.iota"() <{iota_dimension = 0 : i64}> : () -> tensor<16xi16>
  %nb = "stablehlo.broadcast_in_dim"(%n) <{broadcast_dimensions = array<i64: 1>}> : (tensor<16xi16>) -> tensor<2x16xi16>
  %lb = "stablehlo.broadcast_in_dim"(%lens) <{broadcast_dimensions = array<i64: 0>}> : (tensor<2xi16>) -> tensor<2x16xi16>
  %c = "stablehlo.compare"(%nb, %lb) <{comparison_direction = #stablehlo<comparison_direction LT>}> : (tensor<2x16xi16>, tensor<2x16xi16>) -> tensor<2x16xi1>
  %keep = "stablehlo.broadcast_in_dim"(%c) <{broadcast_dimensions = array<i64: 0, 3>}> : (tensor<2x16xi1>) -> tensor<2x4x8x16xi1>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %t = "stablehlo.select"(%keep, %s, %low) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = func.call @softmax(%t) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @lengths_of_i16
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score {
// CHECK-NEXT: ^bb0(%s: f32, %b: index, %hq: index, %m: index, %n: index):
// CHECK-NEXT: [[LENGTHS_OF_I16_0:%[0-9]+]] = tensor.extract %lens[%b] : tensor<2xi16>
// CHECK-NEXT: [[LENGTHS_OF_I16_1:%[0-9]+]] = arith.index_cast [[LENGTHS_OF_I16_0]] : i16 to index
// CHECK-NEXT: [[LENGTHS_OF_I16_2:%[0-9]+]] = arith.cmpi slt, %n, [[LENGTHS_OF_I16_1]] : index
// CHECK-NEXT: [[LENGTHS_OF_I16_3:%[0-9]+]] = arith.constant 0xff800000 : f32
// CHECK-NEXT: [[LENGTHS_OF_I16_4:%[0-9]+]] = arith.select [[LENGTHS_OF_I16_2]], %s, [[LENGTHS_OF_I16_3]] : f32
// CHECK-NEXT: attention.yield [[LENGTHS_OF_I16_4]] : f32
// CHECK-NEXT: }
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// Padding [B, N] is a captured mask.
func.func @padding(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %padding: tensor<2x16xi1>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %keep = "stablehlo.broadcast_in_dim"(%padding) <{broadcast_dimensions = array<i64: 0, 3>}> : (tensor<2x16xi1>) -> tensor<2x4x8x16xi1>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %t = "stablehlo.select"(%keep, %s, %low) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = func.call @softmax(%t) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @padding
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score(mask(%padding[b, n] : tensor<2x16xi1>))
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// Padding of integers, keep where it is not 0.
func.func @padding_of_integers(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %padding: tensor<2x16xi32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %zero = "stablehlo.constant"() <{value = dense<0> : tensor<2x16xi32>}> : () -> tensor<2x16xi32>
  %c = "stablehlo.compare"(%padding, %zero) <{comparison_direction = #stablehlo<comparison_direction NE>}> : (tensor<2x16xi32>, tensor<2x16xi32>) -> tensor<2x16xi1>
  %keep = "stablehlo.broadcast_in_dim"(%c) <{broadcast_dimensions = array<i64: 0, 3>}> : (tensor<2x16xi1>) -> tensor<2x4x8x16xi1>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %t = "stablehlo.select"(%keep, %s, %low) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = func.call @softmax(%t) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @padding_of_integers
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score {
// CHECK-NEXT: ^bb0(%s: f32, %b: index, %hq: index, %m: index, %n: index):
// CHECK-NEXT: [[PADDING_OF_INTEGERS_0:%[0-9]+]] = tensor.extract %padding[%b, %n] : tensor<2x16xi32>
// CHECK-NEXT: [[PADDING_OF_INTEGERS_1:%[0-9]+]] = arith.index_cast [[PADDING_OF_INTEGERS_0]] : i32 to index
// CHECK-NEXT: [[PADDING_OF_INTEGERS_2:%[0-9]+]] = arith.constant 0 : index
// CHECK-NEXT: [[PADDING_OF_INTEGERS_3:%[0-9]+]] = arith.cmpi ne, [[PADDING_OF_INTEGERS_1]], [[PADDING_OF_INTEGERS_2]] : index
// CHECK-NEXT: [[PADDING_OF_INTEGERS_4:%[0-9]+]] = arith.constant 0xff800000 : f32
// CHECK-NEXT: [[PADDING_OF_INTEGERS_5:%[0-9]+]] = arith.select [[PADDING_OF_INTEGERS_3]], %s, [[PADDING_OF_INTEGERS_4]] : f32
// CHECK-NEXT: attention.yield [[PADDING_OF_INTEGERS_5]] : f32
// CHECK-NEXT: }
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// A mask of any rank that broadcasts, by way of size 1; true drops.
func.func @mask_that_drops(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %mask: tensor<2x1x1x16xi1>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %r = "stablehlo.reshape"(%mask) : (tensor<2x1x1x16xi1>) -> tensor<2x16xi1>
  %drop = "stablehlo.broadcast_in_dim"(%r) <{broadcast_dimensions = array<i64: 0, 3>}> : (tensor<2x16xi1>) -> tensor<2x4x8x16xi1>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %t = "stablehlo.select"(%drop, %low, %s) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = func.call @softmax(%t) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @mask_that_drops
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score {
// CHECK-NEXT: ^bb0(%s: f32, %b: index, %hq: index, %m: index, %n: index):
// CHECK-NEXT: [[MASK_THAT_DROPS_0:%[0-9]+]] = arith.constant true
// CHECK-NEXT: [[MASK_THAT_DROPS_1:%[0-9]+]] = arith.constant 0 : index
// CHECK-NEXT: [[MASK_THAT_DROPS_2:%[0-9]+]] = arith.constant 0 : index
// CHECK-NEXT: [[MASK_THAT_DROPS_3:%[0-9]+]] = tensor.extract %mask[%b, [[MASK_THAT_DROPS_1]], [[MASK_THAT_DROPS_2]], %n] : tensor<2x1x1x16xi1>
// CHECK-NEXT: [[MASK_THAT_DROPS_4:%[0-9]+]] = arith.xori [[MASK_THAT_DROPS_3]], [[MASK_THAT_DROPS_0]] : i1
// CHECK-NEXT: [[MASK_THAT_DROPS_5:%[0-9]+]] = arith.constant 0xff800000 : f32
// CHECK-NEXT: [[MASK_THAT_DROPS_6:%[0-9]+]] = arith.select [[MASK_THAT_DROPS_4]], %s, [[MASK_THAT_DROPS_5]] : f32
// CHECK-NEXT: attention.yield [[MASK_THAT_DROPS_6]] : f32
// CHECK-NEXT: }
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// not of a mask of full rank.
func.func @mask_negated(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %mask: tensor<2x4x8x16xi1>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %keep = "stablehlo.not"(%mask) : (tensor<2x4x8x16xi1>) -> tensor<2x4x8x16xi1>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %t = "stablehlo.select"(%keep, %s, %low) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = func.call @softmax(%t) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @mask_negated
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score {
// CHECK-NEXT: ^bb0(%s: f32, %b: index, %hq: index, %m: index, %n: index):
// CHECK-NEXT: [[MASK_NEGATED_0:%[0-9]+]] = arith.constant true
// CHECK-NEXT: [[MASK_NEGATED_1:%[0-9]+]] = tensor.extract %mask[%b, %hq, %m, %n] : tensor<2x4x8x16xi1>
// CHECK-NEXT: [[MASK_NEGATED_2:%[0-9]+]] = arith.xori [[MASK_NEGATED_1]], [[MASK_NEGATED_0]] : i1
// CHECK-NEXT: [[MASK_NEGATED_3:%[0-9]+]] = arith.constant 0xff800000 : f32
// CHECK-NEXT: [[MASK_NEGATED_4:%[0-9]+]] = arith.select [[MASK_NEGATED_2]], %s, [[MASK_NEGATED_3]] : f32
// CHECK-NEXT: attention.yield [[MASK_NEGATED_4]] : f32
// CHECK-NEXT: }
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// A float mask that is added is a bias.
func.func @mask_added(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %mask: tensor<2x1x8x16xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %b = "stablehlo.reshape"(%mask) : (tensor<2x1x8x16xf32>) -> tensor<2x8x16xf32>
  %c = "stablehlo.broadcast_in_dim"(%b) <{broadcast_dimensions = array<i64: 0, 2, 3>}> : (tensor<2x8x16xf32>) -> tensor<2x4x8x16xf32>
  %t = "stablehlo.add"(%s, %c) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = func.call @softmax(%t) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @mask_added
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score(bias(%mask[b, 0, m, n] : tensor<2x1x8x16xf32>))
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// An integer mask that is added as data is data: it must not become a condition.
func.func @integer_mask_added(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %mask: tensor<8x16xi32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %f = "stablehlo.convert"(%mask) : (tensor<8x16xi32>) -> tensor<8x16xf32>
  %b = "stablehlo.broadcast_in_dim"(%f) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xf32>) -> tensor<2x4x8x16xf32>
  %t = "stablehlo.add"(%s, %b) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = func.call @softmax(%t) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @integer_mask_added
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score {
// CHECK-NEXT: ^bb0(%s: f32, %b: index, %hq: index, %m: index, %n: index):
// CHECK-NEXT: [[INTEGER_MASK_ADDED_0:%[0-9]+]] = tensor.extract %mask[%m, %n] : tensor<8x16xi32>
// CHECK-NEXT: [[INTEGER_MASK_ADDED_1:%[0-9]+]] = arith.index_cast [[INTEGER_MASK_ADDED_0]] : i32 to index
// CHECK-NEXT: [[INTEGER_MASK_ADDED_2:%[0-9]+]] = arith.index_cast [[INTEGER_MASK_ADDED_1]] : index to i64
// CHECK-NEXT: [[INTEGER_MASK_ADDED_3:%[0-9]+]] = arith.sitofp [[INTEGER_MASK_ADDED_2]] : i64 to f32
// CHECK-NEXT: [[INTEGER_MASK_ADDED_4:%[0-9]+]] = arith.addf %s, [[INTEGER_MASK_ADDED_3]] : f32
// CHECK-NEXT: attention.yield [[INTEGER_MASK_ADDED_4]] : f32
// CHECK-NEXT: }
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// Documents: a query sees the keys of its own.
func.func @documents(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %ids: tensor<2x8xi32>, %kids: tensor<2x16xi32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %x = "stablehlo.broadcast_in_dim"(%ids) <{broadcast_dimensions = array<i64: 0, 1>}> : (tensor<2x8xi32>) -> tensor<2x8x16xi32>
  %y = "stablehlo.broadcast_in_dim"(%kids) <{broadcast_dimensions = array<i64: 0, 2>}> : (tensor<2x16xi32>) -> tensor<2x8x16xi32>
  %c = "stablehlo.compare"(%x, %y) <{comparison_direction = #stablehlo<comparison_direction EQ>}> : (tensor<2x8x16xi32>, tensor<2x8x16xi32>) -> tensor<2x8x16xi1>
  %keep = "stablehlo.broadcast_in_dim"(%c) <{broadcast_dimensions = array<i64: 0, 2, 3>}> : (tensor<2x8x16xi1>) -> tensor<2x4x8x16xi1>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %t = "stablehlo.select"(%keep, %s, %low) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = func.call @softmax(%t) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @documents
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score {
// CHECK-NEXT: ^bb0(%s: f32, %b: index, %hq: index, %m: index, %n: index):
// CHECK-NEXT: [[DOCUMENTS_0:%[0-9]+]] = tensor.extract %ids[%b, %m] : tensor<2x8xi32>
// CHECK-NEXT: [[DOCUMENTS_1:%[0-9]+]] = arith.index_cast [[DOCUMENTS_0]] : i32 to index
// CHECK-NEXT: [[DOCUMENTS_2:%[0-9]+]] = tensor.extract %kids[%b, %n] : tensor<2x16xi32>
// CHECK-NEXT: [[DOCUMENTS_3:%[0-9]+]] = arith.index_cast [[DOCUMENTS_2]] : i32 to index
// CHECK-NEXT: [[DOCUMENTS_4:%[0-9]+]] = arith.cmpi eq, [[DOCUMENTS_1]], [[DOCUMENTS_3]] : index
// CHECK-NEXT: [[DOCUMENTS_5:%[0-9]+]] = arith.constant 0xff800000 : f32
// CHECK-NEXT: [[DOCUMENTS_6:%[0-9]+]] = arith.select [[DOCUMENTS_4]], %s, [[DOCUMENTS_5]] : f32
// CHECK-NEXT: attention.yield [[DOCUMENTS_6]] : f32
// CHECK-NEXT: }
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// Causal and lengths together: the length leaves the region, causal is its short form.
func.func @causal_and_lengths(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %lens: tensor<2xi32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %m = "stablehlo.iota"() <{iota_dimension = 0 : i64}> : () -> tensor<8x16xi32>
  %n = "stablehlo.iota"() <{iota_dimension = 1 : i64}> : () -> tensor<8x16xi32>
  %off = "stablehlo.constant"() <{value = dense<0> : tensor<8x16xi32>}> : () -> tensor<8x16xi32>
  %mo = "stablehlo.add"(%m, %off) : (tensor<8x16xi32>, tensor<8x16xi32>) -> tensor<8x16xi32>
  %c = "stablehlo.compare"(%mo, %n) <{comparison_direction = #stablehlo<comparison_direction GE>}> : (tensor<8x16xi32>, tensor<8x16xi32>) -> tensor<8x16xi1>
  %k1 = "stablehlo.broadcast_in_dim"(%c) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xi1>) -> tensor<2x4x8x16xi1>
  %l1 = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %t1 = "stablehlo.select"(%k1, %s, %l1) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %n1 = "stablehlo.iota"() <{iota_dimension = 0 : i64}> : () -> tensor<16xi32>
  %nb = "stablehlo.broadcast_in_dim"(%n1) <{broadcast_dimensions = array<i64: 1>}> : (tensor<16xi32>) -> tensor<2x16xi32>
  %lb = "stablehlo.broadcast_in_dim"(%lens) <{broadcast_dimensions = array<i64: 0>}> : (tensor<2xi32>) -> tensor<2x16xi32>
  %c2 = "stablehlo.compare"(%nb, %lb) <{comparison_direction = #stablehlo<comparison_direction LT>}> : (tensor<2x16xi32>, tensor<2x16xi32>) -> tensor<2x16xi1>
  %keep = "stablehlo.broadcast_in_dim"(%c2) <{broadcast_dimensions = array<i64: 0, 3>}> : (tensor<2x16xi1>) -> tensor<2x4x8x16xi1>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %t = "stablehlo.select"(%keep, %t1, %low) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = func.call @softmax(%t) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @causal_and_lengths
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: kv_lens(%lens[b] : tensor<2xi32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score(causal(n <= m))
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// A mask that looks at blocks of 4 keys: the block of a key is computed.
func.func @block_mask(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %blocks: tensor<4xi1>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %w = "stablehlo.broadcast_in_dim"(%blocks) <{broadcast_dimensions = array<i64: 0>}> : (tensor<4xi1>) -> tensor<4x4xi1>
  %r = "stablehlo.reshape"(%w) : (tensor<4x4xi1>) -> tensor<16xi1>
  %keep = "stablehlo.broadcast_in_dim"(%r) <{broadcast_dimensions = array<i64: 3>}> : (tensor<16xi1>) -> tensor<2x4x8x16xi1>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %t = "stablehlo.select"(%keep, %s, %low) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = func.call @softmax(%t) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @block_mask
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score {
// CHECK-NEXT: ^bb0(%s: f32, %b: index, %hq: index, %m: index, %n: index):
// CHECK-NEXT: [[BLOCK_MASK_0:%[0-9]+]] = arith.constant 4 : index
// CHECK-NEXT: [[BLOCK_MASK_1:%[0-9]+]] = arith.divsi %n, [[BLOCK_MASK_0]] : index
// CHECK-NEXT: [[BLOCK_MASK_2:%[0-9]+]] = tensor.extract %blocks[[[BLOCK_MASK_1]]] : tensor<4xi1>
// CHECK-NEXT: [[BLOCK_MASK_3:%[0-9]+]] = arith.constant 0xff800000 : f32
// CHECK-NEXT: [[BLOCK_MASK_4:%[0-9]+]] = arith.select [[BLOCK_MASK_2]], %s, [[BLOCK_MASK_3]] : f32
// CHECK-NEXT: attention.yield [[BLOCK_MASK_4]] : f32
// CHECK-NEXT: }
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// A mask that is always true goes.
func.func @always_true(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %c = "stablehlo.constant"() <{value = dense<true> : tensor<8x16xi1>}> : () -> tensor<8x16xi1>
  %keep = "stablehlo.broadcast_in_dim"(%c) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xi1>) -> tensor<2x4x8x16xi1>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %t = "stablehlo.select"(%keep, %s, %low) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = func.call @softmax(%t) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @always_true
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// A condition on integers of 8 bits that would wrap is computed where the graph computes it.
func.func @mask_that_wraps(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %pos: tensor<i8>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %m = "stablehlo.iota"() <{iota_dimension = 0 : i64}> : () -> tensor<8x16xi8>
  %n = "stablehlo.iota"() <{iota_dimension = 1 : i64}> : () -> tensor<8x16xi8>
  %off = "stablehlo.broadcast_in_dim"(%pos) <{broadcast_dimensions = array<i64>}> : (tensor<i8>) -> tensor<8x16xi8>
  %mo = "stablehlo.add"(%m, %off) : (tensor<8x16xi8>, tensor<8x16xi8>) -> tensor<8x16xi8>
  %c = "stablehlo.compare"(%mo, %n) <{comparison_direction = #stablehlo<comparison_direction GE>}> : (tensor<8x16xi8>, tensor<8x16xi8>) -> tensor<8x16xi1>
  %keep = "stablehlo.broadcast_in_dim"(%c) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xi1>) -> tensor<2x4x8x16xi1>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %t = "stablehlo.select"(%keep, %s, %low) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = func.call @softmax(%t) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @mask_that_wraps
// CHECK-NEXT: %m = "stablehlo.iota"() <{iota_dimension = 0 : i64}> : () -> tensor<8x16xi8>
// CHECK-NEXT: %off = "stablehlo.broadcast_in_dim"(%pos) <{broadcast_dimensions = array<i64>}> : (tensor<i8>) -> tensor<8x16xi8>
// CHECK-NEXT: %mo = "stablehlo.add"(%m, %off) : (tensor<8x16xi8>, tensor<8x16xi8>) -> tensor<8x16xi8>
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score {
// CHECK-NEXT: ^bb0(%s: f32, %b: index, %hq: index, %m_1: index, %n: index):
// CHECK-NEXT: [[MASK_THAT_WRAPS_0:%[0-9]+]] = tensor.extract %mo[%m_1, %n] : tensor<8x16xi8>
// CHECK-NEXT: [[MASK_THAT_WRAPS_1:%[0-9]+]] = arith.index_cast [[MASK_THAT_WRAPS_0]] : i8 to index
// CHECK-NEXT: [[MASK_THAT_WRAPS_2:%[0-9]+]] = arith.cmpi sle, %n, [[MASK_THAT_WRAPS_1]] : index
// CHECK-NEXT: [[MASK_THAT_WRAPS_3:%[0-9]+]] = arith.constant 0xff800000 : f32
// CHECK-NEXT: [[MASK_THAT_WRAPS_4:%[0-9]+]] = arith.select [[MASK_THAT_WRAPS_2]], %s, [[MASK_THAT_WRAPS_3]] : f32
// CHECK-NEXT: attention.yield [[MASK_THAT_WRAPS_4]] : f32
// CHECK-NEXT: }
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// Unsigned integers are computed where the graph computes them: 0 - 1 is large.
func.func @mask_of_unsigned(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %pos: tensor<ui32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %m = "stablehlo.iota"() <{iota_dimension = 0 : i64}> : () -> tensor<8x16xui32>
  %n = "stablehlo.iota"() <{iota_dimension = 1 : i64}> : () -> tensor<8x16xui32>
  %off = "stablehlo.broadcast_in_dim"(%pos) <{broadcast_dimensions = array<i64>}> : (tensor<ui32>) -> tensor<8x16xui32>
  %mo = "stablehlo.subtract"(%m, %off) : (tensor<8x16xui32>, tensor<8x16xui32>) -> tensor<8x16xui32>
  %c = "stablehlo.compare"(%mo, %n) <{comparison_direction = #stablehlo<comparison_direction GE>}> : (tensor<8x16xui32>, tensor<8x16xui32>) -> tensor<8x16xi1>
  %keep = "stablehlo.broadcast_in_dim"(%c) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xi1>) -> tensor<2x4x8x16xi1>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %t = "stablehlo.select"(%keep, %s, %low) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = func.call @softmax(%t) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @mask_of_unsigned
// CHECK-NEXT: %m = "stablehlo.iota"() <{iota_dimension = 0 : i64}> : () -> tensor<8x16xui32>
// CHECK-NEXT: %n = "stablehlo.iota"() <{iota_dimension = 1 : i64}> : () -> tensor<8x16xui32>
// CHECK-NEXT: %off = "stablehlo.broadcast_in_dim"(%pos) <{broadcast_dimensions = array<i64>}> : (tensor<ui32>) -> tensor<8x16xui32>
// CHECK-NEXT: %mo = "stablehlo.subtract"(%m, %off) : (tensor<8x16xui32>, tensor<8x16xui32>) -> tensor<8x16xui32>
// CHECK-NEXT: %c = "stablehlo.compare"(%mo, %n) <{comparison_direction = #stablehlo<comparison_direction GE>}> : (tensor<8x16xui32>, tensor<8x16xui32>) -> tensor<8x16xi1>
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score(mask(%c[m, n] : tensor<8x16xi1>))
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
