// RUN: xdsl-opt %s -p fuse-attention | filecheck %s

// Every "minus infinity" that graphs mask with. Only -inf keeps a key out for good: any other number is a part of the
// score, as rows of nothing else give the mean of V. A number from which on sums swallow the logit may as well be
// selected as added:
//
//   S + (keep ? 0 : low) = keep ? S : low        for low <= -1e30, and for the lowest numbers of f16 and bf16 in these types

// CHECK-LABEL: builtin.module

// Selected, -1e30.
func.func @select_m1e30(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %mask: tensor<8x16xi1>) -> tensor<2x4x8x32xf32> {
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
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @select_m1e30
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score {
// CHECK-NEXT: ^bb0(%s: f32, %b: index, %hq: index, %m: index, %n: index):
// CHECK-NEXT: %0 = tensor.extract %mask[%m, %n] : tensor<8x16xi1>
// CHECK-NEXT: %1 = arith.constant -1.000000e+30 : f32
// CHECK-NEXT: %2 = arith.select %0, %s, %1 : f32
// CHECK-NEXT: attention.yield %2 : f32
// CHECK-NEXT: }
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// Selected, -1e9.
func.func @select_m1e9(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %mask: tensor<8x16xi1>) -> tensor<2x4x8x32xf32> {
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
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @select_m1e9
// CHECK-NEXT: %o = attention.sdpa
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
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// Selected, -1e4.
func.func @select_m1e4(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %mask: tensor<8x16xi1>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %mask_keys = "stablehlo.broadcast_in_dim"(%mask) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xi1>) -> tensor<2x4x8x16xi1>
  %t_low = "stablehlo.constant"() <{value = dense<-1.0e4> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
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
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @select_m1e4
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score {
// CHECK-NEXT: ^bb0(%s: f32, %b: index, %hq: index, %m: index, %n: index):
// CHECK-NEXT: %0 = tensor.extract %mask[%m, %n] : tensor<8x16xi1>
// CHECK-NEXT: %1 = arith.constant -1.000000e+04 : f32
// CHECK-NEXT: %2 = arith.select %0, %s, %1 : f32
// CHECK-NEXT: attention.yield %2 : f32
// CHECK-NEXT: }
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// Selected, the lowest finite number.
func.func @select_lowest(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %mask: tensor<8x16xi1>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %mask_keys = "stablehlo.broadcast_in_dim"(%mask) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xi1>) -> tensor<2x4x8x16xi1>
  %t_low = "stablehlo.constant"() <{value = dense<-3.40282347E+38> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
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
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @select_lowest
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score {
// CHECK-NEXT: ^bb0(%s: f32, %b: index, %hq: index, %m: index, %n: index):
// CHECK-NEXT: %0 = tensor.extract %mask[%m, %n] : tensor<8x16xi1>
// CHECK-NEXT: %1 = arith.constant -3.40282347e+38 : f32
// CHECK-NEXT: %2 = arith.select %0, %s, %1 : f32
// CHECK-NEXT: attention.yield %2 : f32
// CHECK-NEXT: }
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// The other polarity: true drops.
func.func @select_dropped(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %mask: tensor<8x16xi1>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %drop = "stablehlo.broadcast_in_dim"(%mask) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xi1>) -> tensor<2x4x8x16xi1>
  %low = "stablehlo.constant"() <{value = dense<-1.0e9> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %t = "stablehlo.select"(%drop, %low, %s) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
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
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @select_dropped
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score {
// CHECK-NEXT: ^bb0(%s: f32, %b: index, %hq: index, %m: index, %n: index):
// CHECK-NEXT: %0 = arith.constant -1.000000e+09 : f32
// CHECK-NEXT: %1 = tensor.extract %mask[%m, %n] : tensor<8x16xi1>
// CHECK-NEXT: %2 = arith.select %1, %0, %s : f32
// CHECK-NEXT: attention.yield %2 : f32
// CHECK-NEXT: }
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// (1 - mask) * -10000, added (BERT). It leaves a trace of the logit.
func.func @added_inverse(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %mask: tensor<8x16xi1>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %mask_keys = "stablehlo.broadcast_in_dim"(%mask) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xi1>) -> tensor<2x4x8x16xi1>
  %keep = "stablehlo.convert"(%mask_keys) : (tensor<2x4x8x16xi1>) -> tensor<2x4x8x16xf32>
  %ones = "stablehlo.constant"() <{value = dense<1.0> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %drop = "stablehlo.subtract"(%ones, %keep) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %low = "stablehlo.constant"() <{value = dense<-10000.0> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %added = "stablehlo.multiply"(%drop, %low) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %t = "stablehlo.add"(%s, %added) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
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
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @added_inverse
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score {
// CHECK-NEXT: ^bb0(%s: f32, %b: index, %hq: index, %m: index, %n: index):
// CHECK-NEXT: %0 = arith.constant -0.000000e+00 : f32
// CHECK-NEXT: %1 = tensor.extract %mask[%m, %n] : tensor<8x16xi1>
// CHECK-NEXT: %2 = arith.constant -1.000000e+04 : f32
// CHECK-NEXT: %3 = arith.select %1, %0, %2 : f32
// CHECK-NEXT: %4 = arith.addf %s, %3 : f32
// CHECK-NEXT: attention.yield %4 : f32
// CHECK-NEXT: }
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// (1 - mask) * lowest, added: nothing of the logit is left.
func.func @added_inverse_lowest(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %mask: tensor<8x16xi1>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %mask_keys = "stablehlo.broadcast_in_dim"(%mask) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xi1>) -> tensor<2x4x8x16xi1>
  %keep = "stablehlo.convert"(%mask_keys) : (tensor<2x4x8x16xi1>) -> tensor<2x4x8x16xf32>
  %ones = "stablehlo.constant"() <{value = dense<1.0> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %drop = "stablehlo.subtract"(%ones, %keep) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %low = "stablehlo.constant"() <{value = dense<-3.40282347E+38> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %added = "stablehlo.multiply"(%drop, %low) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %t = "stablehlo.add"(%s, %added) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
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
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @added_inverse_lowest
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score {
// CHECK-NEXT: ^bb0(%s: f32, %b: index, %hq: index, %m: index, %n: index):
// CHECK-NEXT: %0 = tensor.extract %mask[%m, %n] : tensor<8x16xi1>
// CHECK-NEXT: %1 = arith.constant -3.40282347e+38 : f32
// CHECK-NEXT: %2 = arith.select %0, %s, %1 : f32
// CHECK-NEXT: attention.yield %2 : f32
// CHECK-NEXT: }
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// (1 - mask) * 1e30, subtracted.
func.func @subtracted_mask(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %mask: tensor<8x16xi1>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %mask_keys = "stablehlo.broadcast_in_dim"(%mask) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xi1>) -> tensor<2x4x8x16xi1>
  %keep = "stablehlo.convert"(%mask_keys) : (tensor<2x4x8x16xi1>) -> tensor<2x4x8x16xf32>
  %ones = "stablehlo.constant"() <{value = dense<1.0> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %drop = "stablehlo.subtract"(%ones, %keep) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %low = "stablehlo.constant"() <{value = dense<1.0e30> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %added = "stablehlo.multiply"(%drop, %low) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %t = "stablehlo.subtract"(%s, %added) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
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
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @subtracted_mask
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score {
// CHECK-NEXT: ^bb0(%s: f32, %b: index, %hq: index, %m: index, %n: index):
// CHECK-NEXT: %0 = tensor.extract %mask[%m, %n] : tensor<8x16xi1>
// CHECK-NEXT: %1 = arith.constant -1.000000e+30 : f32
// CHECK-NEXT: %2 = arith.select %0, %s, %1 : f32
// CHECK-NEXT: attention.yield %2 : f32
// CHECK-NEXT: }
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// 0 or -1e30, added.
func.func @added_choice(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %mask: tensor<8x16xi1>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %keep = "stablehlo.broadcast_in_dim"(%mask) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xi1>) -> tensor<2x4x8x16xi1>
  %zeros = "stablehlo.constant"() <{value = dense<0.0> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %low = "stablehlo.constant"() <{value = dense<-1.0e30> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %added = "stablehlo.select"(%keep, %zeros, %low) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %t = "stablehlo.add"(%added, %s) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
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
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @added_choice
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score {
// CHECK-NEXT: ^bb0(%s: f32, %b: index, %hq: index, %m: index, %n: index):
// CHECK-NEXT: %0 = tensor.extract %mask[%m, %n] : tensor<8x16xi1>
// CHECK-NEXT: %1 = arith.constant -1.000000e+30 : f32
// CHECK-NEXT: %2 = arith.select %0, %s, %1 : f32
// CHECK-NEXT: attention.yield %2 : f32
// CHECK-NEXT: }
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// The lowest number of f16.
func.func @select_f16(%q: tensor<2x4x8x32xf16>, %k: tensor<2x4x16x32xf16>, %v: tensor<2x4x16x32xf16>, %mask: tensor<8x16xi1>) -> tensor<2x4x8x32xf16> {
  %s = func.call @qk_f16(%q, %k) : (tensor<2x4x8x32xf16>, tensor<2x4x16x32xf16>) -> tensor<2x4x8x16xf16>
  %mask_keys = "stablehlo.broadcast_in_dim"(%mask) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xi1>) -> tensor<2x4x8x16xi1>
  %t_low = "stablehlo.constant"() <{value = dense<-6.550400e+04> : tensor<2x4x8x16xf16>}> : () -> tensor<2x4x8x16xf16>
  %t = "stablehlo.select"(%mask_keys, %s, %t_low) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf16>, tensor<2x4x8x16xf16>) -> tensor<2x4x8x16xf16>
  %top_start = "stablehlo.constant"() <{value = dense<0xFC00> : tensor<f16>}> : () -> tensor<f16>
  %top = "stablehlo.reduce"(%t, %top_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%top_a: tensor<f16>, %top_b: tensor<f16>):
    %top_c = "stablehlo.maximum"(%top_a, %top_b) : (tensor<f16>, tensor<f16>) -> tensor<f16>
    "stablehlo.return"(%top_c) : (tensor<f16>) -> ()
  }) : (tensor<2x4x8x16xf16>, tensor<f16>) -> tensor<2x4x8xf16>
  %top_keys = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf16>) -> tensor<2x4x8x16xf16>
  %e_x = "stablehlo.subtract"(%t, %top_keys) : (tensor<2x4x8x16xf16>, tensor<2x4x8x16xf16>) -> tensor<2x4x8x16xf16>
  %e = "stablehlo.exponential"(%e_x) : (tensor<2x4x8x16xf16>) -> tensor<2x4x8x16xf16>
  %sum_start = "stablehlo.constant"() <{value = dense<0.0> : tensor<f16>}> : () -> tensor<f16>
  %sum = "stablehlo.reduce"(%e, %sum_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%sum_a: tensor<f16>, %sum_b: tensor<f16>):
    %sum_c = "stablehlo.add"(%sum_a, %sum_b) : (tensor<f16>, tensor<f16>) -> tensor<f16>
    "stablehlo.return"(%sum_c) : (tensor<f16>) -> ()
  }) : (tensor<2x4x8x16xf16>, tensor<f16>) -> tensor<2x4x8xf16>
  %sum_keys = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf16>) -> tensor<2x4x8x16xf16>
  %p = "stablehlo.divide"(%e, %sum_keys) : (tensor<2x4x8x16xf16>, tensor<2x4x8x16xf16>) -> tensor<2x4x8x16xf16>
  %o = func.call @pv_f16(%p, %v) : (tensor<2x4x8x16xf16>, tensor<2x4x16x32xf16>) -> tensor<2x4x8x32xf16>
  func.return %o : tensor<2x4x8x32xf16>
}

// CHECK-LABEL: func.func @select_f16
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf16>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf16>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf16>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score {
// CHECK-NEXT: ^bb0(%s: f32, %b: index, %hq: index, %m: index, %n: index):
// CHECK-NEXT: %0 = tensor.extract %mask[%m, %n] : tensor<8x16xi1>
// CHECK-NEXT: %1 = arith.constant -6.550400e+04 : f32
// CHECK-NEXT: %2 = arith.select %0, %s, %1 : f32
// CHECK-NEXT: attention.yield %2 : f32
// CHECK-NEXT: }
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf16>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf16>

// The same, added. It swallows logits below 16.
func.func @added_inverse_f16(%q: tensor<2x4x8x32xf16>, %k: tensor<2x4x16x32xf16>, %v: tensor<2x4x16x32xf16>, %mask: tensor<8x16xi1>) -> tensor<2x4x8x32xf16> {
  %s0 = func.call @qk_f16(%q, %k) : (tensor<2x4x8x32xf16>, tensor<2x4x16x32xf16>) -> tensor<2x4x8x16xf16>
  %scale = "stablehlo.constant"() <{value = dense<0.125> : tensor<2x4x8x16xf16>}> : () -> tensor<2x4x8x16xf16>
  %s = "stablehlo.multiply"(%s0, %scale) : (tensor<2x4x8x16xf16>, tensor<2x4x8x16xf16>) -> tensor<2x4x8x16xf16>
  %mask_keys = "stablehlo.broadcast_in_dim"(%mask) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xi1>) -> tensor<2x4x8x16xi1>
  %keep = "stablehlo.convert"(%mask_keys) : (tensor<2x4x8x16xi1>) -> tensor<2x4x8x16xf16>
  %ones = "stablehlo.constant"() <{value = dense<1.0> : tensor<2x4x8x16xf16>}> : () -> tensor<2x4x8x16xf16>
  %drop = "stablehlo.subtract"(%ones, %keep) : (tensor<2x4x8x16xf16>, tensor<2x4x8x16xf16>) -> tensor<2x4x8x16xf16>
  %low = "stablehlo.constant"() <{value = dense<-6.550400e+04> : tensor<2x4x8x16xf16>}> : () -> tensor<2x4x8x16xf16>
  %added = "stablehlo.multiply"(%drop, %low) : (tensor<2x4x8x16xf16>, tensor<2x4x8x16xf16>) -> tensor<2x4x8x16xf16>
  %t = "stablehlo.add"(%s, %added) : (tensor<2x4x8x16xf16>, tensor<2x4x8x16xf16>) -> tensor<2x4x8x16xf16>
  %top_start = "stablehlo.constant"() <{value = dense<0xFC00> : tensor<f16>}> : () -> tensor<f16>
  %top = "stablehlo.reduce"(%t, %top_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%top_a: tensor<f16>, %top_b: tensor<f16>):
    %top_c = "stablehlo.maximum"(%top_a, %top_b) : (tensor<f16>, tensor<f16>) -> tensor<f16>
    "stablehlo.return"(%top_c) : (tensor<f16>) -> ()
  }) : (tensor<2x4x8x16xf16>, tensor<f16>) -> tensor<2x4x8xf16>
  %top_keys = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf16>) -> tensor<2x4x8x16xf16>
  %e_x = "stablehlo.subtract"(%t, %top_keys) : (tensor<2x4x8x16xf16>, tensor<2x4x8x16xf16>) -> tensor<2x4x8x16xf16>
  %e = "stablehlo.exponential"(%e_x) : (tensor<2x4x8x16xf16>) -> tensor<2x4x8x16xf16>
  %sum_start = "stablehlo.constant"() <{value = dense<0.0> : tensor<f16>}> : () -> tensor<f16>
  %sum = "stablehlo.reduce"(%e, %sum_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%sum_a: tensor<f16>, %sum_b: tensor<f16>):
    %sum_c = "stablehlo.add"(%sum_a, %sum_b) : (tensor<f16>, tensor<f16>) -> tensor<f16>
    "stablehlo.return"(%sum_c) : (tensor<f16>) -> ()
  }) : (tensor<2x4x8x16xf16>, tensor<f16>) -> tensor<2x4x8xf16>
  %sum_keys = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf16>) -> tensor<2x4x8x16xf16>
  %p = "stablehlo.divide"(%e, %sum_keys) : (tensor<2x4x8x16xf16>, tensor<2x4x8x16xf16>) -> tensor<2x4x8x16xf16>
  %o = func.call @pv_f16(%p, %v) : (tensor<2x4x8x16xf16>, tensor<2x4x16x32xf16>) -> tensor<2x4x8x32xf16>
  func.return %o : tensor<2x4x8x32xf16>
}

// CHECK-LABEL: func.func @added_inverse_f16
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf16>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf16>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf16>)
// CHECK-NEXT: scale(1.250000e-01)
// CHECK-NEXT: score {
// CHECK-NEXT: ^bb0(%s: f32, %b: index, %hq: index, %m: index, %n: index):
// CHECK-NEXT: %0 = tensor.extract %mask[%m, %n] : tensor<8x16xi1>
// CHECK-NEXT: %1 = arith.constant -6.550400e+04 : f32
// CHECK-NEXT: %2 = arith.select %0, %s, %1 : f32
// CHECK-NEXT: attention.yield %2 : f32
// CHECK-NEXT: }
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf16>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf16>

// -inf in f16.
func.func @infinite_f16(%q: tensor<2x4x8x32xf16>, %k: tensor<2x4x16x32xf16>, %v: tensor<2x4x16x32xf16>, %mask: tensor<8x16xi1>) -> tensor<2x4x8x32xf16> {
  %s = func.call @qk_f16(%q, %k) : (tensor<2x4x8x32xf16>, tensor<2x4x16x32xf16>) -> tensor<2x4x8x16xf16>
  %mask_keys = "stablehlo.broadcast_in_dim"(%mask) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xi1>) -> tensor<2x4x8x16xi1>
  %t_low = "stablehlo.constant"() <{value = dense<0xFC00> : tensor<2x4x8x16xf16>}> : () -> tensor<2x4x8x16xf16>
  %t = "stablehlo.select"(%mask_keys, %s, %t_low) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf16>, tensor<2x4x8x16xf16>) -> tensor<2x4x8x16xf16>
  %top_start = "stablehlo.constant"() <{value = dense<0xFC00> : tensor<f16>}> : () -> tensor<f16>
  %top = "stablehlo.reduce"(%t, %top_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%top_a: tensor<f16>, %top_b: tensor<f16>):
    %top_c = "stablehlo.maximum"(%top_a, %top_b) : (tensor<f16>, tensor<f16>) -> tensor<f16>
    "stablehlo.return"(%top_c) : (tensor<f16>) -> ()
  }) : (tensor<2x4x8x16xf16>, tensor<f16>) -> tensor<2x4x8xf16>
  %top_keys = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf16>) -> tensor<2x4x8x16xf16>
  %e_x = "stablehlo.subtract"(%t, %top_keys) : (tensor<2x4x8x16xf16>, tensor<2x4x8x16xf16>) -> tensor<2x4x8x16xf16>
  %e = "stablehlo.exponential"(%e_x) : (tensor<2x4x8x16xf16>) -> tensor<2x4x8x16xf16>
  %sum_start = "stablehlo.constant"() <{value = dense<0.0> : tensor<f16>}> : () -> tensor<f16>
  %sum = "stablehlo.reduce"(%e, %sum_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%sum_a: tensor<f16>, %sum_b: tensor<f16>):
    %sum_c = "stablehlo.add"(%sum_a, %sum_b) : (tensor<f16>, tensor<f16>) -> tensor<f16>
    "stablehlo.return"(%sum_c) : (tensor<f16>) -> ()
  }) : (tensor<2x4x8x16xf16>, tensor<f16>) -> tensor<2x4x8xf16>
  %sum_keys = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf16>) -> tensor<2x4x8x16xf16>
  %p = "stablehlo.divide"(%e, %sum_keys) : (tensor<2x4x8x16xf16>, tensor<2x4x8x16xf16>) -> tensor<2x4x8x16xf16>
  %o = func.call @pv_f16(%p, %v) : (tensor<2x4x8x16xf16>, tensor<2x4x16x32xf16>) -> tensor<2x4x8x32xf16>
  func.return %o : tensor<2x4x8x32xf16>
}

// CHECK-LABEL: func.func @infinite_f16
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf16>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xf16>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf16>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score(mask(%mask[m, n] : tensor<8x16xi1>))
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf16>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf16>

// The lowest number of bf16.
func.func @select_bf16(%q: tensor<2x4x8x32xbf16>, %k: tensor<2x4x16x32xbf16>, %v: tensor<2x4x16x32xbf16>, %mask: tensor<8x16xi1>) -> tensor<2x4x8x32xbf16> {
  %s = func.call @qk_bf16(%q, %k) : (tensor<2x4x8x32xbf16>, tensor<2x4x16x32xbf16>) -> tensor<2x4x8x16xbf16>
  %mask_keys = "stablehlo.broadcast_in_dim"(%mask) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xi1>) -> tensor<2x4x8x16xi1>
  %t_low = "stablehlo.constant"() <{value = dense<-3.38953139E+38> : tensor<2x4x8x16xbf16>}> : () -> tensor<2x4x8x16xbf16>
  %t = "stablehlo.select"(%mask_keys, %s, %t_low) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xbf16>, tensor<2x4x8x16xbf16>) -> tensor<2x4x8x16xbf16>
  %top_start = "stablehlo.constant"() <{value = dense<0xFF80> : tensor<bf16>}> : () -> tensor<bf16>
  %top = "stablehlo.reduce"(%t, %top_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%top_a: tensor<bf16>, %top_b: tensor<bf16>):
    %top_c = "stablehlo.maximum"(%top_a, %top_b) : (tensor<bf16>, tensor<bf16>) -> tensor<bf16>
    "stablehlo.return"(%top_c) : (tensor<bf16>) -> ()
  }) : (tensor<2x4x8x16xbf16>, tensor<bf16>) -> tensor<2x4x8xbf16>
  %top_keys = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xbf16>) -> tensor<2x4x8x16xbf16>
  %e_x = "stablehlo.subtract"(%t, %top_keys) : (tensor<2x4x8x16xbf16>, tensor<2x4x8x16xbf16>) -> tensor<2x4x8x16xbf16>
  %e = "stablehlo.exponential"(%e_x) : (tensor<2x4x8x16xbf16>) -> tensor<2x4x8x16xbf16>
  %sum_start = "stablehlo.constant"() <{value = dense<0.0> : tensor<bf16>}> : () -> tensor<bf16>
  %sum = "stablehlo.reduce"(%e, %sum_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%sum_a: tensor<bf16>, %sum_b: tensor<bf16>):
    %sum_c = "stablehlo.add"(%sum_a, %sum_b) : (tensor<bf16>, tensor<bf16>) -> tensor<bf16>
    "stablehlo.return"(%sum_c) : (tensor<bf16>) -> ()
  }) : (tensor<2x4x8x16xbf16>, tensor<bf16>) -> tensor<2x4x8xbf16>
  %sum_keys = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xbf16>) -> tensor<2x4x8x16xbf16>
  %p = "stablehlo.divide"(%e, %sum_keys) : (tensor<2x4x8x16xbf16>, tensor<2x4x8x16xbf16>) -> tensor<2x4x8x16xbf16>
  %o = func.call @pv_bf16(%p, %v) : (tensor<2x4x8x16xbf16>, tensor<2x4x16x32xbf16>) -> tensor<2x4x8x32xbf16>
  func.return %o : tensor<2x4x8x32xbf16>
}

// CHECK-LABEL: func.func @select_bf16
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xbf16>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xbf16>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xbf16>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score {
// CHECK-NEXT: ^bb0(%s: f32, %b: index, %hq: index, %m: index, %n: index):
// CHECK-NEXT: %0 = tensor.extract %mask[%m, %n] : tensor<8x16xi1>
// CHECK-NEXT: %1 = arith.constant -3.38953139e+38 : f32
// CHECK-NEXT: %2 = arith.select %0, %s, %1 : f32
// CHECK-NEXT: attention.yield %2 : f32
// CHECK-NEXT: }
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xbf16>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xbf16>

// The same, added.
func.func @added_inverse_bf16(%q: tensor<2x4x8x32xbf16>, %k: tensor<2x4x16x32xbf16>, %v: tensor<2x4x16x32xbf16>, %mask: tensor<8x16xi1>) -> tensor<2x4x8x32xbf16> {
  %s = func.call @qk_bf16(%q, %k) : (tensor<2x4x8x32xbf16>, tensor<2x4x16x32xbf16>) -> tensor<2x4x8x16xbf16>
  %mask_keys = "stablehlo.broadcast_in_dim"(%mask) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xi1>) -> tensor<2x4x8x16xi1>
  %keep = "stablehlo.convert"(%mask_keys) : (tensor<2x4x8x16xi1>) -> tensor<2x4x8x16xbf16>
  %ones = "stablehlo.constant"() <{value = dense<1.0> : tensor<2x4x8x16xbf16>}> : () -> tensor<2x4x8x16xbf16>
  %drop = "stablehlo.subtract"(%ones, %keep) : (tensor<2x4x8x16xbf16>, tensor<2x4x8x16xbf16>) -> tensor<2x4x8x16xbf16>
  %low = "stablehlo.constant"() <{value = dense<-3.38953139E+38> : tensor<2x4x8x16xbf16>}> : () -> tensor<2x4x8x16xbf16>
  %added = "stablehlo.multiply"(%drop, %low) : (tensor<2x4x8x16xbf16>, tensor<2x4x8x16xbf16>) -> tensor<2x4x8x16xbf16>
  %t = "stablehlo.add"(%s, %added) : (tensor<2x4x8x16xbf16>, tensor<2x4x8x16xbf16>) -> tensor<2x4x8x16xbf16>
  %top_start = "stablehlo.constant"() <{value = dense<0xFF80> : tensor<bf16>}> : () -> tensor<bf16>
  %top = "stablehlo.reduce"(%t, %top_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%top_a: tensor<bf16>, %top_b: tensor<bf16>):
    %top_c = "stablehlo.maximum"(%top_a, %top_b) : (tensor<bf16>, tensor<bf16>) -> tensor<bf16>
    "stablehlo.return"(%top_c) : (tensor<bf16>) -> ()
  }) : (tensor<2x4x8x16xbf16>, tensor<bf16>) -> tensor<2x4x8xbf16>
  %top_keys = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xbf16>) -> tensor<2x4x8x16xbf16>
  %e_x = "stablehlo.subtract"(%t, %top_keys) : (tensor<2x4x8x16xbf16>, tensor<2x4x8x16xbf16>) -> tensor<2x4x8x16xbf16>
  %e = "stablehlo.exponential"(%e_x) : (tensor<2x4x8x16xbf16>) -> tensor<2x4x8x16xbf16>
  %sum_start = "stablehlo.constant"() <{value = dense<0.0> : tensor<bf16>}> : () -> tensor<bf16>
  %sum = "stablehlo.reduce"(%e, %sum_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%sum_a: tensor<bf16>, %sum_b: tensor<bf16>):
    %sum_c = "stablehlo.add"(%sum_a, %sum_b) : (tensor<bf16>, tensor<bf16>) -> tensor<bf16>
    "stablehlo.return"(%sum_c) : (tensor<bf16>) -> ()
  }) : (tensor<2x4x8x16xbf16>, tensor<bf16>) -> tensor<2x4x8xbf16>
  %sum_keys = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xbf16>) -> tensor<2x4x8x16xbf16>
  %p = "stablehlo.divide"(%e, %sum_keys) : (tensor<2x4x8x16xbf16>, tensor<2x4x8x16xbf16>) -> tensor<2x4x8x16xbf16>
  %o = func.call @pv_bf16(%p, %v) : (tensor<2x4x8x16xbf16>, tensor<2x4x16x32xbf16>) -> tensor<2x4x8x32xbf16>
  func.return %o : tensor<2x4x8x32xbf16>
}

// CHECK-LABEL: func.func @added_inverse_bf16
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xbf16>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xbf16>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xbf16>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score {
// CHECK-NEXT: ^bb0(%s: f32, %b: index, %hq: index, %m: index, %n: index):
// CHECK-NEXT: %0 = tensor.extract %mask[%m, %n] : tensor<8x16xi1>
// CHECK-NEXT: %1 = arith.constant -3.38953139e+38 : f32
// CHECK-NEXT: %2 = arith.select %0, %s, %1 : f32
// CHECK-NEXT: attention.yield %2 : f32
// CHECK-NEXT: }
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xbf16>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xbf16>

// -inf in bf16.
func.func @infinite_bf16(%q: tensor<2x4x8x32xbf16>, %k: tensor<2x4x16x32xbf16>, %v: tensor<2x4x16x32xbf16>, %mask: tensor<8x16xi1>) -> tensor<2x4x8x32xbf16> {
  %s = func.call @qk_bf16(%q, %k) : (tensor<2x4x8x32xbf16>, tensor<2x4x16x32xbf16>) -> tensor<2x4x8x16xbf16>
  %mask_keys = "stablehlo.broadcast_in_dim"(%mask) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xi1>) -> tensor<2x4x8x16xi1>
  %t_low = "stablehlo.constant"() <{value = dense<0xFF80> : tensor<2x4x8x16xbf16>}> : () -> tensor<2x4x8x16xbf16>
  %t = "stablehlo.select"(%mask_keys, %s, %t_low) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xbf16>, tensor<2x4x8x16xbf16>) -> tensor<2x4x8x16xbf16>
  %top_start = "stablehlo.constant"() <{value = dense<0xFF80> : tensor<bf16>}> : () -> tensor<bf16>
  %top = "stablehlo.reduce"(%t, %top_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%top_a: tensor<bf16>, %top_b: tensor<bf16>):
    %top_c = "stablehlo.maximum"(%top_a, %top_b) : (tensor<bf16>, tensor<bf16>) -> tensor<bf16>
    "stablehlo.return"(%top_c) : (tensor<bf16>) -> ()
  }) : (tensor<2x4x8x16xbf16>, tensor<bf16>) -> tensor<2x4x8xbf16>
  %top_keys = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xbf16>) -> tensor<2x4x8x16xbf16>
  %e_x = "stablehlo.subtract"(%t, %top_keys) : (tensor<2x4x8x16xbf16>, tensor<2x4x8x16xbf16>) -> tensor<2x4x8x16xbf16>
  %e = "stablehlo.exponential"(%e_x) : (tensor<2x4x8x16xbf16>) -> tensor<2x4x8x16xbf16>
  %sum_start = "stablehlo.constant"() <{value = dense<0.0> : tensor<bf16>}> : () -> tensor<bf16>
  %sum = "stablehlo.reduce"(%e, %sum_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%sum_a: tensor<bf16>, %sum_b: tensor<bf16>):
    %sum_c = "stablehlo.add"(%sum_a, %sum_b) : (tensor<bf16>, tensor<bf16>) -> tensor<bf16>
    "stablehlo.return"(%sum_c) : (tensor<bf16>) -> ()
  }) : (tensor<2x4x8x16xbf16>, tensor<bf16>) -> tensor<2x4x8xbf16>
  %sum_keys = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xbf16>) -> tensor<2x4x8x16xbf16>
  %p = "stablehlo.divide"(%e, %sum_keys) : (tensor<2x4x8x16xbf16>, tensor<2x4x8x16xbf16>) -> tensor<2x4x8x16xbf16>
  %o = func.call @pv_bf16(%p, %v) : (tensor<2x4x8x16xbf16>, tensor<2x4x16x32xbf16>) -> tensor<2x4x8x32xbf16>
  func.return %o : tensor<2x4x8x32xbf16>
}

// CHECK-LABEL: func.func @infinite_bf16
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xbf16>)
// CHECK-NEXT: k(%k[b, h, n, k] : tensor<2x4x16x32xbf16>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xbf16>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: score(mask(%mask[m, n] : tensor<8x16xi1>))
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xbf16>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xbf16>

// The parts of a plain attention, which are inlined.

func.func private @qk(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32> {
  %s = "stablehlo.dot_general"(%q, %k) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [3]>}> : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  func.return %s : tensor<2x4x8x16xf32>
}
func.func private @pv(%p: tensor<2x4x8x16xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %o = "stablehlo.dot_general"(%p, %v) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [2]>}> : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}
func.func private @qk_f16(%q: tensor<2x4x8x32xf16>, %k: tensor<2x4x16x32xf16>) -> tensor<2x4x8x16xf16> {
  %s = "stablehlo.dot_general"(%q, %k) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [3]>}> : (tensor<2x4x8x32xf16>, tensor<2x4x16x32xf16>) -> tensor<2x4x8x16xf16>
  func.return %s : tensor<2x4x8x16xf16>
}
func.func private @pv_f16(%p: tensor<2x4x8x16xf16>, %v: tensor<2x4x16x32xf16>) -> tensor<2x4x8x32xf16> {
  %o = "stablehlo.dot_general"(%p, %v) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [2]>}> : (tensor<2x4x8x16xf16>, tensor<2x4x16x32xf16>) -> tensor<2x4x8x32xf16>
  func.return %o : tensor<2x4x8x32xf16>
}
func.func private @qk_bf16(%q: tensor<2x4x8x32xbf16>, %k: tensor<2x4x16x32xbf16>) -> tensor<2x4x8x16xbf16> {
  %s = "stablehlo.dot_general"(%q, %k) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [3]>}> : (tensor<2x4x8x32xbf16>, tensor<2x4x16x32xbf16>) -> tensor<2x4x8x16xbf16>
  func.return %s : tensor<2x4x8x16xbf16>
}
func.func private @pv_bf16(%p: tensor<2x4x8x16xbf16>, %v: tensor<2x4x16x32xbf16>) -> tensor<2x4x8x32xbf16> {
  %o = "stablehlo.dot_general"(%p, %v) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [2]>}> : (tensor<2x4x8x16xbf16>, tensor<2x4x16x32xbf16>) -> tensor<2x4x8x32xbf16>
  func.return %o : tensor<2x4x8x32xbf16>
}
