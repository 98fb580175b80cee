// RUN: xdsl-opt %s -p 'fuse-attention{explain=true}' >%t.mlir 2>%t.txt
// RUN: filecheck %s --input-file %t.mlir
// RUN: filecheck %s --input-file %t.txt --check-prefix REMARK

// What must be left alone. Each graph is attention but for one edge, and would compute something else as one operation,
// or keep what fusing is to save. The remarks say why.

// CHECK-LABEL: builtin.module

// The softmax is over the queries.
func.func @softmax_over_queries(%q: tensor<4x4x4x4xf32>, %k: tensor<4x4x4x4xf32>, %v: tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32> {
  %s = "stablehlo.dot_general"(%q, %k) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [3]>}> : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%s, %low) <{dimensions = array<i64: 2>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.maximum"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<4x4x4x4xf32>, tensor<f32>) -> tensor<4x4x4xf32>
  %topb = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 3>}> : (tensor<4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %x = "stablehlo.subtract"(%s, %topb) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %zero) <{dimensions = array<i64: 2>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.add"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<4x4x4x4xf32>, tensor<f32>) -> tensor<4x4x4xf32>
  %sumb = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 3>}> : (tensor<4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %p = "stablehlo.divide"(%e, %sumb) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %o = "stablehlo.dot_general"(%p, %v) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [2]>}> : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  func.return %o : tensor<4x4x4x4xf32>
}

// CHECK-LABEL: func.func @softmax_over_queries
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @softmax_over_queries: {{.*}}remark: not fused: the denominator is no add over the keys

// The softmax is over the heads.
func.func @softmax_over_heads(%q: tensor<4x4x4x4xf32>, %k: tensor<4x4x4x4xf32>, %v: tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32> {
  %s = "stablehlo.dot_general"(%q, %k) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [3]>}> : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%s, %low) <{dimensions = array<i64: 1>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.maximum"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<4x4x4x4xf32>, tensor<f32>) -> tensor<4x4x4xf32>
  %topb = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 2, 3>}> : (tensor<4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %x = "stablehlo.subtract"(%s, %topb) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %zero) <{dimensions = array<i64: 1>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.add"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<4x4x4x4xf32>, tensor<f32>) -> tensor<4x4x4xf32>
  %sumb = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 2, 3>}> : (tensor<4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %p = "stablehlo.divide"(%e, %sumb) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %o = "stablehlo.dot_general"(%p, %v) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [2]>}> : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  func.return %o : tensor<4x4x4x4xf32>
}

// CHECK-LABEL: func.func @softmax_over_heads
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @softmax_over_heads: {{.*}}remark: not fused: the denominator is no add over the keys

// The second dot contracts the queries: P^T V.
func.func @second_dot_contracts_queries(%q: tensor<4x4x4x4xf32>, %k: tensor<4x4x4x4xf32>, %v: tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32> {
  %s = "stablehlo.dot_general"(%q, %k) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [3]>}> : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
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
  %o = "stablehlo.dot_general"(%p, %v) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [2], rhs_contracting_dimensions = [2]>}> : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  func.return %o : tensor<4x4x4x4xf32>
}

// CHECK-LABEL: func.func @second_dot_contracts_queries
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @second_dot_contracts_queries: {{.*}}remark: not fused: the denominator is no add over the keys

// P is transposed before the second dot, which sizes do not show.
func.func @weights_transposed(%q: tensor<4x4x4x4xf32>, %k: tensor<4x4x4x4xf32>, %v: tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32> {
  %s = "stablehlo.dot_general"(%q, %k) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [3]>}> : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
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
  %p0 = "stablehlo.divide"(%e, %sumb) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %p = "stablehlo.transpose"(%p0) <{permutation = array<i64: 0, 1, 3, 2>}> : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %o = "stablehlo.dot_general"(%p, %v) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [2]>}> : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  func.return %o : tensor<4x4x4x4xf32>
}

// CHECK-LABEL: func.func @weights_transposed
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @weights_transposed: {{.*}}remark: not fused: the denominator is no add over the keys

// The maximum is over the queries.
func.func @maximum_over_queries(%q: tensor<4x4x4x4xf32>, %k: tensor<4x4x4x4xf32>, %v: tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32> {
  %s = "stablehlo.dot_general"(%q, %k) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [3]>}> : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%s, %low) <{dimensions = array<i64: 2>}> ({
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

// CHECK-LABEL: func.func @maximum_over_queries
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @maximum_over_queries: {{.*}}remark: not fused: the subtracted maximum is taken of other values

// The sum is over the queries.
func.func @sum_over_queries(%q: tensor<4x4x4x4xf32>, %k: tensor<4x4x4x4xf32>, %v: tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32> {
  %s = "stablehlo.dot_general"(%q, %k) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [3]>}> : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
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
  %sum = "stablehlo.reduce"(%e, %zero) <{dimensions = array<i64: 2>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.add"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<4x4x4x4xf32>, tensor<f32>) -> tensor<4x4x4xf32>
  %sumb = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %p = "stablehlo.divide"(%e, %sumb) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %o = "stablehlo.dot_general"(%p, %v) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [2]>}> : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  func.return %o : tensor<4x4x4x4xf32>
}

// CHECK-LABEL: func.func @sum_over_queries
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @sum_over_queries: {{.*}}remark: not fused: the denominator is taken of other values

// The sums of a row go to a column: the broadcast exchanges queries and heads.
func.func @sum_broadcast_to_another_row(%q: tensor<4x4x4x4xf32>, %k: tensor<4x4x4x4xf32>, %v: tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32> {
  %s = "stablehlo.dot_general"(%q, %k) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [3]>}> : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
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
  %p0 = "stablehlo.divide"(%e, %sumb) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %sumx = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 2, 1>}> : (tensor<4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %p = "stablehlo.divide"(%e, %sumx) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %o = "stablehlo.dot_general"(%p, %v) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [2]>}> : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  func.return %o : tensor<4x4x4x4xf32>
}

// CHECK-LABEL: func.func @sum_broadcast_to_another_row
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @sum_broadcast_to_another_row: {{.*}}remark: not fused: the denominator is taken of other values

// The maximum of a row is subtracted from another one.
func.func @maximum_of_another_row(%q: tensor<4x4x4x4xf32>, %k: tensor<4x4x4x4xf32>, %v: tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32> {
  %s = "stablehlo.dot_general"(%q, %k) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [3]>}> : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%s, %low) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.maximum"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<4x4x4x4xf32>, tensor<f32>) -> tensor<4x4x4xf32>
  %topb = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 1, 0, 2>}> : (tensor<4x4x4xf32>) -> tensor<4x4x4x4xf32>
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

// CHECK-LABEL: func.func @maximum_of_another_row
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @maximum_of_another_row: {{.*}}remark: not fused: the subtracted maximum is taken of other values

// The logits are added to their own transpose: two logits make one score.
func.func @logits_at_two_positions(%q: tensor<4x4x4x4xf32>, %k: tensor<4x4x4x4xf32>, %v: tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32> {
  %s = "stablehlo.dot_general"(%q, %k) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [3]>}> : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %st = "stablehlo.transpose"(%s) <{permutation = array<i64: 0, 1, 3, 2>}> : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %t = "stablehlo.add"(%s, %st) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%t, %low) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.maximum"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<4x4x4x4xf32>, tensor<f32>) -> tensor<4x4x4xf32>
  %topb = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %x = "stablehlo.subtract"(%t, %topb) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
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

// CHECK-LABEL: func.func @logits_at_two_positions
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @logits_at_two_positions: {{.*}}remark: not fused: logits are used at two different positions

// The same with batch and heads exchanged.
func.func @logits_of_two_heads(%q: tensor<4x4x4x4xf32>, %k: tensor<4x4x4x4xf32>, %v: tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32> {
  %s = "stablehlo.dot_general"(%q, %k) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [3]>}> : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %st = "stablehlo.transpose"(%s) <{permutation = array<i64: 1, 0, 2, 3>}> : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %t = "stablehlo.multiply"(%s, %st) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%t, %low) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.maximum"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<4x4x4x4xf32>, tensor<f32>) -> tensor<4x4x4xf32>
  %topb = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %x = "stablehlo.subtract"(%t, %topb) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
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

// CHECK-LABEL: func.func @logits_of_two_heads
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @logits_of_two_heads: {{.*}}remark: not fused: logits are used at two different positions

// Two products of different queries are added, but the first is computed from the second.
func.func @query_from_logits(%q: tensor<4x4x4x4xf32>, %k: tensor<4x4x4x4xf32>, %v: tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32> {
  %s = "stablehlo.dot_general"(%q, %k) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [3]>}> : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %s2 = "stablehlo.dot_general"(%s, %k) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [3]>}> : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %t = "stablehlo.add"(%s, %s2) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%t, %low) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.maximum"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<4x4x4x4xf32>, tensor<f32>) -> tensor<4x4x4xf32>
  %topb = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %x = "stablehlo.subtract"(%t, %topb) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
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

// CHECK-LABEL: func.func @query_from_logits
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @query_from_logits: {{.*}}remark: not fused: stablehlo.dot_general between the dots is no function of one logit

// The maximum is that of another tensor.
func.func @foreign_maximum(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %y: tensor<2x4x8x16xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %top = func.call @row_max(%y) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %x = "stablehlo.subtract"(%s, %top) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sum = func.call @row_sum(%e) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%e, %sum) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @foreign_maximum
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @foreign_maximum: {{.*}}remark: not fused: the subtracted maximum is taken of other values

// The denominator is that of another softmax.
func.func @foreign_denominator(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %y: tensor<2x4x8x16xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %top = func.call @row_max(%s) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %x = "stablehlo.subtract"(%s, %top) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %f = "stablehlo.exponential"(%y) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sum = func.call @row_sum(%f) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%e, %sum) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @foreign_denominator
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @foreign_denominator: {{.*}}remark: not fused: the denominator is taken of other values

// The denominator is the sum of the scores, not of their exponentials.
func.func @denominator_of_scores(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %top = func.call @row_max(%s) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %x = "stablehlo.subtract"(%s, %top) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sum = func.call @row_sum(%x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%e, %sum) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @denominator_of_scores
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @denominator_of_scores: {{.*}}remark: not fused: the denominator is taken of other values

// The sum starts at 1 (softmax1): each row has a key of score 0 and value 0.
func.func @sum_from_one(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %top = func.call @row_max(%s) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %x = "stablehlo.subtract"(%s, %top) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %one = "stablehlo.constant"() <{value = dense<1.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %one) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.add"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %sumb = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%e, %sumb) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @sum_from_one
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @sum_from_one: {{.*}}remark: not fused: the denominator is no add over the keys

// A small number is added to the sum.
func.func @sum_with_epsilon(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %top = func.call @row_max(%s) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %x = "stablehlo.subtract"(%s, %top) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sum = func.call @row_sum(%e) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %eps = "stablehlo.constant"() <{value = dense<1.0e-3> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %t = "stablehlo.add"(%sum, %eps) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%e, %t) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @sum_with_epsilon
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @sum_with_epsilon: {{.*}}remark: not fused: the denominator is no add over the keys

// The maximum starts at 0: rows whose scores are far below it have sums of 0.
func.func @maximum_from_zero(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%s, %zero) <{dimensions = array<i64: 3>}> ({
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

// CHECK-LABEL: func.func @maximum_from_zero
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @maximum_from_zero: {{.*}}remark: not fused: the subtracted maximum is no maximum over the keys

// The sum is a product.
func.func @product_for_sum(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %top = func.call @row_max(%s) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %x = "stablehlo.subtract"(%s, %top) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %one = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %one) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.multiply"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %sumb = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%e, %sumb) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @product_for_sum
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @product_for_sum: {{.*}}remark: not fused: the denominator is no add over the keys

// relu in place of the softmax.
func.func @relu(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %p = "stablehlo.maximum"(%s, %zero) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @relu
// CHECK-NOT: attention.sdpa
// CHECK: func.return

// Linear attention: exponentials without a sum.
func.func @no_sum(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.exponential"(%s) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @no_sum
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @no_sum: {{.*}}remark: not fused: the weights are not divided by their sum

// A base other than e and 2.
func.func @base_three(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %three = "stablehlo.constant"() <{value = dense<3.0> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %e = "stablehlo.power"(%three, %s) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sum = func.call @row_sum(%e) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%e, %sum) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @base_three
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @base_three: {{.*}}remark: not fused: the weights come from stablehlo.power, not from a softmax

// The result of the late division is divided by a number for each column.
func.func @late_division_by_column(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %y: tensor<32xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%s) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %od = func.call @pv(%e, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  %d = "stablehlo.broadcast_in_dim"(%y) <{broadcast_dimensions = array<i64: 3>}> : (tensor<32xf32>) -> tensor<2x4x8x32xf32>
  %o = "stablehlo.divide"(%od, %d) : (tensor<2x4x8x32xf32>, tensor<2x4x8x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @late_division_by_column
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @late_division_by_column: {{.*}}remark: not fused: the result is divided by more than a row sum

// The weights are divided twice by their sum.
func.func @divided_twice(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %p0 = func.call @softmax(%s) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sum = func.call @row_sum(%p0) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%p0, %sum) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @divided_twice
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @divided_twice: {{.*}}remark: not fused: the weights are divided more than once

// The sum is divided by the weights.
func.func @quotient_inverted(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%s) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sum = func.call @row_sum(%e) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%sum, %e) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @quotient_inverted
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @quotient_inverted: {{.*}}remark: not fused: the weights come from stablehlo.reduce, not from a softmax

// The probabilities are a result.
func.func @weights_returned(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> (tensor<2x4x8x32xf32>, tensor<2x4x8x16xf32>) {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %p = func.call @softmax(%s) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o, %p : tensor<2x4x8x32xf32>, tensor<2x4x8x16xf32>
}

// CHECK-LABEL: func.func @weights_returned
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @weights_returned: {{.*}}remark: not fused: a value between the dots is also used by func.return

// The logits are a result.
func.func @logits_returned(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> (tensor<2x4x8x32xf32>, tensor<2x4x8x16xf32>) {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %p = func.call @softmax(%s) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o, %s : tensor<2x4x8x32xf32>, tensor<2x4x8x16xf32>
}

// CHECK-LABEL: func.func @logits_returned
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @logits_returned: {{.*}}remark: not fused: a value between the dots is also used by func.return

// The unnormalised result is used twice.
func.func @unnormalised_result_used_twice(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> (tensor<2x4x8x32xf32>, tensor<2x4x8x32xf32>) {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%s) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %od = func.call @pv(%e, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %zero) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.add"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %sumb = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x32xf32>
  %o = "stablehlo.divide"(%od, %sumb) : (tensor<2x4x8x32xf32>, tensor<2x4x8x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o, %od : tensor<2x4x8x32xf32>, tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @unnormalised_result_used_twice
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @unnormalised_result_used_twice: {{.*}}remark: not fused: the weights are not divided by their sum

// The weights have a second use in a second dot with other values.
func.func @weights_used_twice(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %p = func.call @softmax(%s) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o1 = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  %o2 = func.call @pv(%p, %k) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  %o = "stablehlo.add"(%o1, %o2) : (tensor<2x4x8x32xf32>, tensor<2x4x8x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @weights_used_twice
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @weights_used_twice: {{.*}}remark: not fused: a value between the dots is also used by stablehlo.dot_general

// The values are computed from the weights.
func.func @value_from_weights(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %p = func.call @softmax(%s) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %total = "stablehlo.reduce"(%p, %zero) <{dimensions = array<i64: 2>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.add"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x16xf32>
  %tb = "stablehlo.broadcast_in_dim"(%total) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x16xf32>) -> tensor<2x4x16x32xf32>
  %w = "stablehlo.multiply"(%v, %tb) : (tensor<2x4x16x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x16x32xf32>
  %o = func.call @pv(%p, %w) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @value_from_weights
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @value_from_weights: {{.*}}remark: not fused: the value is computed from the weights

// Dropout by a product with a full tensor.
func.func @dropout_product(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %y: tensor<2x4x8x16xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %p0 = func.call @softmax(%s) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.multiply"(%p0, %y) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @dropout_product
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @dropout_product: {{.*}}remark: not fused: the weights come from stablehlo.multiply, not from a softmax

// Dropout by a select: the weights that go are not those of masked keys.
func.func @dropout_select(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %y: tensor<2x4x8x16xi1>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %p0 = func.call @softmax(%s) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %p = "stablehlo.select"(%y, %p0, %zero) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @dropout_select
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @dropout_select: {{.*}}remark: not fused: weights are masked after the softmax by something else than an empty row

// Sharpened weights.
func.func @weights_squared(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %p0 = func.call @softmax(%s) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.multiply"(%p0, %p0) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @weights_squared
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @weights_squared: {{.*}}remark: not fused: the weights come from stablehlo.multiply, not from a softmax

// A guard against empty rows that takes every row with any masked key for one.
func.func @guard_any(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %mask: tensor<8x16xi1>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %keep = "stablehlo.broadcast_in_dim"(%mask) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xi1>) -> tensor<2x4x8x16xi1>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %t = "stablehlo.select"(%keep, %s, %low) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p0 = func.call @softmax(%t) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %inf = "stablehlo.compare"(%t, %low) <{comparison_direction = #stablehlo<comparison_direction EQ>}> : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xi1>
  %false = "stablehlo.constant"() <{value = dense<false> : tensor<i1>}> : () -> tensor<i1>
  %any = "stablehlo.reduce"(%inf, %false) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<i1>, %two_: tensor<i1>):
    %both_ = "stablehlo.or"(%one_, %two_) : (tensor<i1>, tensor<i1>) -> tensor<i1>
    "stablehlo.return"(%both_) : (tensor<i1>) -> ()
  }) : (tensor<2x4x8x16xi1>, tensor<i1>) -> tensor<2x4x8xi1>
  %anyb = "stablehlo.broadcast_in_dim"(%any) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xi1>) -> tensor<2x4x8x16xi1>
  %p = "stablehlo.select"(%anyb, %zero, %p0) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @guard_any
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @guard_any: {{.*}}remark: not fused: weights are masked after the softmax by something else than an empty row

// A guard in the wrong polarity.
func.func @guard_inverted(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %mask: tensor<8x16xi1>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %keep = "stablehlo.broadcast_in_dim"(%mask) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xi1>) -> tensor<2x4x8x16xi1>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %t = "stablehlo.select"(%keep, %s, %low) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p0 = func.call @softmax(%t) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %inf = "stablehlo.compare"(%t, %low) <{comparison_direction = #stablehlo<comparison_direction EQ>}> : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xi1>
  %true = "stablehlo.constant"() <{value = dense<true> : tensor<i1>}> : () -> tensor<i1>
  %all = "stablehlo.reduce"(%inf, %true) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<i1>, %two_: tensor<i1>):
    %both_ = "stablehlo.and"(%one_, %two_) : (tensor<i1>, tensor<i1>) -> tensor<i1>
    "stablehlo.return"(%both_) : (tensor<i1>) -> ()
  }) : (tensor<2x4x8x16xi1>, tensor<i1>) -> tensor<2x4x8xi1>
  %allb = "stablehlo.broadcast_in_dim"(%all) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xi1>) -> tensor<2x4x8x16xi1>
  %p = "stablehlo.select"(%allb, %p0, %zero) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @guard_inverted
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @guard_inverted: {{.*}}remark: not fused: weights are masked after the softmax by something else than an empty row

// A guard that asks whether scores are +inf.
func.func @guard_plus_infinity(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %mask: tensor<8x16xi1>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %keep = "stablehlo.broadcast_in_dim"(%mask) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xi1>) -> tensor<2x4x8x16xi1>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %t = "stablehlo.select"(%keep, %s, %low) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p0 = func.call @softmax(%t) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %high = "stablehlo.constant"() <{value = dense<0x7F800000> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %inf = "stablehlo.compare"(%t, %high) <{comparison_direction = #stablehlo<comparison_direction NE>}> : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xi1>
  %p = "stablehlo.select"(%inf, %zero, %p0) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @guard_plus_infinity
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @guard_plus_infinity: {{.*}}remark: not fused: weights are masked after the softmax by something else than an empty row

// A guard over the queries: an empty column is no empty row.
func.func @guard_over_queries(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %mask: tensor<8x16xi1>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %keep = "stablehlo.broadcast_in_dim"(%mask) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xi1>) -> tensor<2x4x8x16xi1>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %t = "stablehlo.select"(%keep, %s, %low) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p0 = func.call @softmax(%t) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %inf = "stablehlo.compare"(%t, %low) <{comparison_direction = #stablehlo<comparison_direction EQ>}> : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xi1>
  %true = "stablehlo.constant"() <{value = dense<true> : tensor<i1>}> : () -> tensor<i1>
  %all = "stablehlo.reduce"(%inf, %true) <{dimensions = array<i64: 2>}> ({
  ^bb0(%one_: tensor<i1>, %two_: tensor<i1>):
    %both_ = "stablehlo.and"(%one_, %two_) : (tensor<i1>, tensor<i1>) -> tensor<i1>
    "stablehlo.return"(%both_) : (tensor<i1>) -> ()
  }) : (tensor<2x4x8x16xi1>, tensor<i1>) -> tensor<2x4x16xi1>
  %allb = "stablehlo.broadcast_in_dim"(%all) <{broadcast_dimensions = array<i64: 0, 1, 3>}> : (tensor<2x4x16xi1>) -> tensor<2x4x8x16xi1>
  %f = "stablehlo.constant"() <{value = dense<false> : tensor<i1>}> : () -> tensor<i1>
  %some = "stablehlo.reduce"(%allb, %f) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<i1>, %two_: tensor<i1>):
    %both_ = "stablehlo.or"(%one_, %two_) : (tensor<i1>, tensor<i1>) -> tensor<i1>
    "stablehlo.return"(%both_) : (tensor<i1>) -> ()
  }) : (tensor<2x4x8x16xi1>, tensor<i1>) -> tensor<2x4x8xi1>
  %someb = "stablehlo.broadcast_in_dim"(%some) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xi1>) -> tensor<2x4x8x16xi1>
  %p = "stablehlo.select"(%someb, %zero, %p0) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @guard_over_queries
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @guard_over_queries: {{.*}}remark: not fused: weights are masked after the softmax by something else than an empty row

// A guard by a mask that the scores were not masked with.
func.func @guard_by_another_mask(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %mask: tensor<8x16xi1>, %other: tensor<8x16xi1>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %keep = "stablehlo.broadcast_in_dim"(%mask) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xi1>) -> tensor<2x4x8x16xi1>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %t = "stablehlo.select"(%keep, %s, %low) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p0 = func.call @softmax(%t) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %k2 = "stablehlo.broadcast_in_dim"(%other) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xi1>) -> tensor<2x4x8x16xi1>
  %p = "stablehlo.select"(%k2, %p0, %zero) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @guard_by_another_mask
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @guard_by_another_mask: {{.*}}remark: not fused: weights are masked after the softmax by something else than an empty row

// A guard by a tensor that only goes into the score after a function of it.
func.func @guard_of_a_function(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %y: tensor<8x16xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %b = "stablehlo.broadcast_in_dim"(%y) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xf32>) -> tensor<2x4x8x16xf32>
  %b2 = "stablehlo.exponential"(%b) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %t = "stablehlo.add"(%s, %b2) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p0 = func.call @softmax(%t) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %inf = "stablehlo.compare"(%b, %low) <{comparison_direction = #stablehlo<comparison_direction EQ>}> : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xi1>
  %p = "stablehlo.select"(%inf, %zero, %p0) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @guard_of_a_function
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @guard_of_a_function: {{.*}}remark: not fused: weights are masked after the softmax by something else than an empty row

// NaN weights become 0, without a subtracted maximum: exponentials that overflow would be such weights.
func.func @guard_nan_without_maximum(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%s) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sum = func.call @row_sum(%e) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p0 = "stablehlo.divide"(%e, %sum) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %nan = "stablehlo.compare"(%p0, %p0) <{comparison_direction = #stablehlo<comparison_direction NE>}> : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xi1>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %p = "stablehlo.select"(%nan, %zero, %p0) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @guard_nan_without_maximum
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @guard_nan_without_maximum: {{.*}}remark: not fused: weights are masked after the softmax by something else than an empty row

// Masked weights do not become 0 but another number.
func.func @guard_with_another_number(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %mask: tensor<8x16xi1>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %keep = "stablehlo.broadcast_in_dim"(%mask) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<8x16xi1>) -> tensor<2x4x8x16xi1>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %t = "stablehlo.select"(%keep, %s, %low) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p0 = func.call @softmax(%t) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %tiny = "stablehlo.constant"() <{value = dense<0.01> : tensor<2x4x8x16xf32>}> : () -> tensor<2x4x8x16xf32>
  %p = "stablehlo.select"(%keep, %p0, %tiny) : (tensor<2x4x8x16xi1>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @guard_with_another_number
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @guard_with_another_number: {{.*}}remark: not fused: the weights come from stablehlo.select, not from a softmax

// The keys are reversed between the dots.
func.func @weights_reversed(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %p0 = func.call @softmax(%s) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.reverse"(%p0) <{dimensions = array<i64: 3>}> : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @weights_reversed
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @weights_reversed: {{.*}}remark: not fused: the weights come from stablehlo.reverse, not from a softmax

// The logits are reversed before the softmax.
func.func @logits_reversed(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %t = "stablehlo.reverse"(%s) <{dimensions = array<i64: 3>}> : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %p = func.call @softmax(%t) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @logits_reversed
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @logits_reversed: {{.*}}remark: not fused: no dot of queries and keys was found below the softmax, whose scores come from stablehlo.reverse

// Half of the keys go after the softmax: the rest does not sum to 1.
func.func @weights_sliced(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x8x32xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %p = func.call @softmax(%s) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %h = "stablehlo.slice"(%p) <{start_indices = array<i64: 0, 0, 0, 0>, limit_indices = array<i64: 2, 4, 8, 8>, strides = array<i64: 1, 1, 1, 1>}> : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x8xf32>
  %o = "stablehlo.dot_general"(%h, %v) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [2]>}> : (tensor<2x4x8x8xf32>, tensor<2x4x8x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @weights_sliced
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @weights_sliced: {{.*}}remark: not fused: the subtracted maximum is no maximum over the keys

// One key goes after the softmax, and it was no sink: its score is a logit.
func.func @last_key_sliced(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x15x32xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %p = func.call @softmax(%s) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %h = "stablehlo.slice"(%p) <{start_indices = array<i64: 0, 0, 0, 0>, limit_indices = array<i64: 2, 4, 8, 15>, strides = array<i64: 1, 1, 1, 1>}> : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x15xf32>
  %o = "stablehlo.dot_general"(%h, %v) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [2]>}> : (tensor<2x4x8x15xf32>, tensor<2x4x15x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @last_key_sliced
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @last_key_sliced: {{.*}}remark: not fused: the softmax is over one more key than the second dot

// Only some of the rows go on: the layout of Q cannot say that it is read in part.
func.func @rows_sliced(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x4x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %p = func.call @softmax(%s) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %h = "stablehlo.slice"(%p) <{start_indices = array<i64: 0, 0, 4, 0>, limit_indices = array<i64: 2, 4, 8, 16>, strides = array<i64: 1, 1, 1, 1>}> : (tensor<2x4x8x16xf32>) -> tensor<2x4x4x16xf32>
  %o = "stablehlo.dot_general"(%h, %v) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [2]>}> : (tensor<2x4x4x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x4x32xf32>
  func.return %o : tensor<2x4x4x32xf32>
}

// CHECK-LABEL: func.func @rows_sliced
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @rows_sliced: {{.*}}remark: not fused: an operand of the dots is a slice, or cuts keys or head sizes in pieces

// The first rows, from 0 on, too.
func.func @first_rows(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x4x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %h = "stablehlo.slice"(%s) <{start_indices = array<i64: 0, 0, 0, 0>, limit_indices = array<i64: 2, 4, 4, 16>, strides = array<i64: 1, 1, 1, 1>}> : (tensor<2x4x8x16xf32>) -> tensor<2x4x4x16xf32>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%h, %low) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.maximum"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x4x4x16xf32>, tensor<f32>) -> tensor<2x4x4xf32>
  %topb = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x4xf32>) -> tensor<2x4x4x16xf32>
  %x = "stablehlo.subtract"(%h, %topb) : (tensor<2x4x4x16xf32>, tensor<2x4x4x16xf32>) -> tensor<2x4x4x16xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<2x4x4x16xf32>) -> tensor<2x4x4x16xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %zero) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.add"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<2x4x4x16xf32>, tensor<f32>) -> tensor<2x4x4xf32>
  %sumb = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x4xf32>) -> tensor<2x4x4x16xf32>
  %p = "stablehlo.divide"(%e, %sumb) : (tensor<2x4x4x16xf32>, tensor<2x4x4x16xf32>) -> tensor<2x4x4x16xf32>
  %o = "stablehlo.dot_general"(%p, %v) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [2]>}> : (tensor<2x4x4x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x4x32xf32>
  func.return %o : tensor<2x4x4x32xf32>
}

// CHECK-LABEL: func.func @first_rows
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @first_rows: {{.*}}remark: not fused: a tensor is not read as a whole

// The scores are cumulative sums: no function of one logit.
func.func @cumulative_scores(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %t = "stablehlo.reduce_window"(%s, %zero) <{window_dimensions = array<i64: 1, 1, 1, 16>, padding = dense<[[0, 0], [0, 0], [0, 0], [15, 0]]> : tensor<4x2xi64>}> ({
  ^bb0(%a: tensor<f32>, %b: tensor<f32>):
    %c = "stablehlo.add"(%a, %b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8x16xf32>
  %p = func.call @softmax(%t) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @cumulative_scores
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @cumulative_scores: {{.*}}remark: not fused: no dot of queries and keys was found below the softmax, whose scores come from stablehlo.reduce_window

// The queries are integers.
func.func @integers(%q: tensor<2x4x8x32xi8>, %k: tensor<2x4x16x32xi8>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %si = "stablehlo.dot_general"(%q, %k) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [3]>}> : (tensor<2x4x8x32xi8>, tensor<2x4x16x32xi8>) -> tensor<2x4x8x16xi32>
  %s = "stablehlo.convert"(%si) : (tensor<2x4x8x16xi32>) -> tensor<2x4x8x16xf32>
  %p = func.call @softmax(%s) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @integers
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @integers: {{.*}}remark: not fused: no dot of queries and keys was found below the softmax, whose scores come from a dot of integers

// The result is summed in f64, which attention.sdpa does only for queries in f64.
func.func @sums_in_f64(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf64>) -> tensor<2x4x8x32xf64> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %p = func.call @softmax(%s) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %w = "stablehlo.convert"(%p) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf64>
  %o = "stablehlo.dot_general"(%w, %v) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [2]>}> : (tensor<2x4x8x16xf64>, tensor<2x4x16x32xf64>) -> tensor<2x4x8x32xf64>
  func.return %o : tensor<2x4x8x32xf64>
}

// CHECK-LABEL: func.func @sums_in_f64
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @sums_in_f64: {{.*}}remark: not fused: the result is in f64 but the logits are not

// The softmax is outside the loop, and its second dot inside: fusing would compute it again and again.
func.func @softmax_outside_the_loop(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32> {
  %s = func.call @qk(%q, %k) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %p = func.call @softmax(%s) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %zero = "stablehlo.constant"() <{value = dense<0> : tensor<i32>}> : () -> tensor<i32>
  %i, %r = "stablehlo.while"(%zero, %q) ({
  ^bb0(%i0: tensor<i32>, %x0: tensor<2x4x8x32xf32>):
    %end = "stablehlo.constant"() <{value = dense<3> : tensor<i32>}> : () -> tensor<i32>
    %go = "stablehlo.compare"(%i0, %end) <{comparison_direction = #stablehlo<comparison_direction LT>}> : (tensor<i32>, tensor<i32>) -> tensor<i1>
    "stablehlo.return"(%go) : (tensor<i1>) -> ()
  }, {
  ^bb0(%i1: tensor<i32>, %x1: tensor<2x4x8x32xf32>):
    %o = func.call @pv(%p, %v) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
    %y = "stablehlo.add"(%o, %x1) : (tensor<2x4x8x32xf32>, tensor<2x4x8x32xf32>) -> tensor<2x4x8x32xf32>
    %one = "stablehlo.constant"() <{value = dense<1> : tensor<i32>}> : () -> tensor<i32>
    %j = "stablehlo.add"(%i1, %one) : (tensor<i32>, tensor<i32>) -> tensor<i32>
    "stablehlo.return"(%j, %y) : (tensor<i32>, tensor<2x4x8x32xf32>) -> ()
  }) : (tensor<i32>, tensor<2x4x8x32xf32>) -> (tensor<i32>, tensor<2x4x8x32xf32>)
  func.return %r : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @softmax_outside_the_loop
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @softmax_outside_the_loop: {{.*}}remark: not fused: no dot of queries and keys was found below the softmax, whose scores come from stablehlo.dot_general in another block

// No keys at all.
func.func @no_keys(%q: tensor<8x32xf32>, %k: tensor<0x32xf32>, %v: tensor<0x32xf32>) -> tensor<8x32xf32> {
  %s = "stablehlo.dot_general"(%q, %k) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [], rhs_batching_dimensions = [], lhs_contracting_dimensions = [1], rhs_contracting_dimensions = [1]>}> : (tensor<8x32xf32>, tensor<0x32xf32>) -> tensor<8x0xf32>
  %e = "stablehlo.exponential"(%s) : (tensor<8x0xf32>) -> tensor<8x0xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %zero) <{dimensions = array<i64: 1>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.add"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<8x0xf32>, tensor<f32>) -> tensor<8xf32>
  %sumb = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0>}> : (tensor<8xf32>) -> tensor<8x0xf32>
  %p = "stablehlo.divide"(%e, %sumb) : (tensor<8x0xf32>, tensor<8x0xf32>) -> tensor<8x0xf32>
  %o = "stablehlo.dot_general"(%p, %v) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [], rhs_batching_dimensions = [], lhs_contracting_dimensions = [1], rhs_contracting_dimensions = [0]>}> : (tensor<8x0xf32>, tensor<0x32xf32>) -> tensor<8x32xf32>
  func.return %o : tensor<8x32xf32>
}

// CHECK-LABEL: func.func @no_keys
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @no_keys: {{.*}}remark: not fused: a tensor is empty

// The head size is contracted in two dimensions: Q and K have no layout with one head size.
func.func @two_contracting_dimensions(%q: tensor<8x4x8xf32>, %k: tensor<16x4x8xf32>, %v: tensor<16x32xf32>) -> tensor<8x32xf32> {
  %s = "stablehlo.dot_general"(%q, %k) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [], rhs_batching_dimensions = [], lhs_contracting_dimensions = [1, 2], rhs_contracting_dimensions = [1, 2]>}> : (tensor<8x4x8xf32>, tensor<16x4x8xf32>) -> tensor<8x16xf32>
  %e = "stablehlo.exponential"(%s) : (tensor<8x16xf32>) -> tensor<8x16xf32>
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

// CHECK-LABEL: func.func @two_contracting_dimensions
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @two_contracting_dimensions: {{.*}}remark: not fused: no dot of queries and keys was found below the softmax, whose scores come from a dot of other dimensions

// A vision model's keys in two dimensions, flattened after the first dot only: K has no layout with one key
// dimension, and the copy is the graph's to make.
func.func @keys_in_two_dimensions(%q: tensor<8x32xf32>, %k: tensor<4x32x4xf32>, %v: tensor<16x32xf32>) -> tensor<8x32xf32> {
  %s2 = "stablehlo.dot_general"(%q, %k) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [], rhs_batching_dimensions = [], lhs_contracting_dimensions = [1], rhs_contracting_dimensions = [1]>}> : (tensor<8x32xf32>, tensor<4x32x4xf32>) -> tensor<8x4x4xf32>
  %s = "stablehlo.reshape"(%s2) : (tensor<8x4x4xf32>) -> tensor<8x16xf32>
  %e = "stablehlo.exponential"(%s) : (tensor<8x16xf32>) -> tensor<8x16xf32>
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

// CHECK-LABEL: func.func @keys_in_two_dimensions
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @keys_in_two_dimensions: {{.*}}remark: not fused: an operand of the dots is a slice, or cuts keys or head sizes in pieces

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
