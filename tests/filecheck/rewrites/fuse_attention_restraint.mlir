// RUN: xdsl-opt %s -p 'fuse-attention{explain=true}' >%t.mlir 2>%t.txt
// RUN: filecheck %s --input-file %t.mlir
// RUN: filecheck %s --input-file %t.txt --check-prefix REMARK

// More of what must be left alone (see also fuse_attention_negative.mlir), and what fuse-attention says of it. All sizes
// are 4, so that no shape tells one dimension from another. The numbers are compared by
// tests/rewrites/test_fuse_attention_restraint.py.

// CHECK-LABEL: builtin.module

// The maximum of a row is subtracted from the same row of another head.
func.func @maximum_of_reversed_heads(%q: tensor<4x4x4x4xf32>, %k: tensor<4x4x4x4xf32>, %v: tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32> {
  %s = func.call @qk(%q, %k) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %top = func.call @row_max(%s) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %other = "stablehlo.reverse"(%top) <{dimensions = array<i64: 1>}> : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %x = "stablehlo.subtract"(%s, %other) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %sum = func.call @row_sum(%e) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %p = "stablehlo.divide"(%e, %sum) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %o = func.call @pv(%p, %v) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  func.return %o : tensor<4x4x4x4xf32>
}

// CHECK-LABEL: func.func @maximum_of_reversed_heads
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @maximum_of_reversed_heads: {{.*}}remark: not fused: stablehlo.reverse between the dots is no function of one logit

// Infinite exponentials, of scores without a maximum subtracted, become finite before they are summed.
func.func @infinite_exponentials_replaced(%q: tensor<4x4x4x4xf32>, %k: tensor<4x4x4x4xf32>, %v: tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32> {
  %s = func.call @qk(%q, %k) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %e = "stablehlo.exponential"(%s) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %inf = "stablehlo.constant"() <{value = dense<0x7F800000> : tensor<4x4x4x4xf32>}> : () -> tensor<4x4x4x4xf32>
  %large = "stablehlo.constant"() <{value = dense<1.0e+30> : tensor<4x4x4x4xf32>}> : () -> tensor<4x4x4x4xf32>
  %is = "stablehlo.compare"(%e, %inf) <{comparison_direction = #stablehlo<comparison_direction EQ>}> : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xi1>
  %f = "stablehlo.select"(%is, %large, %e) : (tensor<4x4x4x4xi1>, tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %sum = func.call @row_sum(%f) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %p = "stablehlo.divide"(%f, %sum) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %o = func.call @pv(%p, %v) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  func.return %o : tensor<4x4x4x4xf32>
}

// CHECK-LABEL: func.func @infinite_exponentials_replaced
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @infinite_exponentials_replaced: {{.*}}remark: not fused: infinite exponentials are replaced before they are divided by their sum; subtract the row maximum

// One maximum of all rows of a head.
func.func @maximum_over_all(%q: tensor<4x4x4x4xf32>, %k: tensor<4x4x4x4xf32>, %v: tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32> {
  %s = func.call @qk(%q, %k) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %itop = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%s, %itop) <{dimensions = array<i64: 2, 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.maximum"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<4x4x4x4xf32>, tensor<f32>) -> tensor<4x4xf32>
  %topb = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1>}> : (tensor<4x4xf32>) -> tensor<4x4x4x4xf32>
  %x = "stablehlo.subtract"(%s, %topb) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %sum = func.call @row_sum(%e) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %p = "stablehlo.divide"(%e, %sum) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %o = func.call @pv(%p, %v) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  func.return %o : tensor<4x4x4x4xf32>
}

// CHECK-LABEL: func.func @maximum_over_all
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @maximum_over_all: {{.*}}remark: not fused: the subtracted maximum is no maximum over the keys

// The sum is over the heads as well.
func.func @sum_over_heads_too(%q: tensor<4x4x4x4xf32>, %k: tensor<4x4x4x4xf32>, %v: tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32> {
  %s = func.call @qk(%q, %k) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %top = func.call @row_max(%s) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %x = "stablehlo.subtract"(%s, %top) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %isum = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %isum) <{dimensions = array<i64: 1, 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.add"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<4x4x4x4xf32>, tensor<f32>) -> tensor<4x4xf32>
  %sumb = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 2>}> : (tensor<4x4xf32>) -> tensor<4x4x4x4xf32>
  %p = "stablehlo.divide"(%e, %sumb) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %o = func.call @pv(%p, %v) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  func.return %o : tensor<4x4x4x4xf32>
}

// CHECK-LABEL: func.func @sum_over_heads_too
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @sum_over_heads_too: {{.*}}remark: not fused: the denominator is no add over the keys

// The sum is over the first two keys.
func.func @sum_over_a_window(%q: tensor<4x4x4x4xf32>, %k: tensor<4x4x4x4xf32>, %v: tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32> {
  %s = func.call @qk(%q, %k) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %top = func.call @row_max(%s) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %x = "stablehlo.subtract"(%s, %top) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %w = "stablehlo.slice"(%e) <{start_indices = array<i64: 0, 0, 0, 0>, limit_indices = array<i64: 4, 4, 4, 2>, strides = array<i64: 1, 1, 1, 1>}> : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x2xf32>
  %isum = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%w, %isum) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.add"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<4x4x4x2xf32>, tensor<f32>) -> tensor<4x4x4xf32>
  %sumb = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %p = "stablehlo.divide"(%e, %sumb) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %o = func.call @pv(%p, %v) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  func.return %o : tensor<4x4x4x4xf32>
}

// CHECK-LABEL: func.func @sum_over_a_window
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @sum_over_a_window: {{.*}}remark: not fused: the denominator is no add over the keys

// The weights are masked by one mask, and their sum by another.
func.func @two_masks(%q: tensor<4x4x4x4xf32>, %k: tensor<4x4x4x4xf32>, %v: tensor<4x4x4x4xf32>, %m1: tensor<4x4x4x4xi1>, %m2: tensor<4x4x4x4xi1>) -> tensor<4x4x4x4xf32> {
  %s = func.call @qk(%q, %k) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %top = func.call @row_max(%s) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %x = "stablehlo.subtract"(%s, %top) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<4x4x4x4xf32>}> : () -> tensor<4x4x4x4xf32>
  %e1 = "stablehlo.select"(%m1, %e, %zero) : (tensor<4x4x4x4xi1>, tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %e2 = "stablehlo.select"(%m2, %e, %zero) : (tensor<4x4x4x4xi1>, tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %sum = func.call @row_sum(%e2) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %p = "stablehlo.divide"(%e1, %sum) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %o = func.call @pv(%p, %v) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  func.return %o : tensor<4x4x4x4xf32>
}

// CHECK-LABEL: func.func @two_masks
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @two_masks: {{.*}}remark: not fused: weights are masked after the softmax by something else than an empty row

// Exponentials are multiplied with a tensor before they are summed: their maximum is of other numbers.
func.func @exponentials_times_tensor(%q: tensor<4x4x4x4xf32>, %k: tensor<4x4x4x4xf32>, %v: tensor<4x4x4x4xf32>, %m: tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32> {
  %s = func.call @qk(%q, %k) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %top = func.call @row_max(%s) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %x = "stablehlo.subtract"(%s, %top) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %w = "stablehlo.multiply"(%e, %m) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %sum = func.call @row_sum(%w) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %p = "stablehlo.divide"(%w, %sum) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %o = func.call @pv(%p, %v) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  func.return %o : tensor<4x4x4x4xf32>
}

// CHECK-LABEL: func.func @exponentials_times_tensor
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @exponentials_times_tensor: {{.*}}remark: not fused: the weights come from stablehlo.multiply, not from a softmax

// 1 is added to the sum, but a maximum was subtracted: no sink has that logit in every row.
func.func @one_more_than_sum(%q: tensor<4x4x4x4xf32>, %k: tensor<4x4x4x4xf32>, %v: tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32> {
  %s = func.call @qk(%q, %k) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %top = func.call @row_max(%s) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %x = "stablehlo.subtract"(%s, %top) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %sum = func.call @row_sum(%e) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %one = "stablehlo.constant"() <{value = dense<1.0> : tensor<4x4x4x4xf32>}> : () -> tensor<4x4x4x4xf32>
  %more = "stablehlo.add"(%sum, %one) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %p = "stablehlo.divide"(%e, %more) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %o = func.call @pv(%p, %v) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  func.return %o : tensor<4x4x4x4xf32>
}

// CHECK-LABEL: func.func @one_more_than_sum
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @one_more_than_sum: {{.*}}remark: not fused: 1 is added to the denominator, which is a sink of 0 only where no maximum was subtracted

// The weights are divided by their maximum: they do not sum to 1.
func.func @divided_by_maximum(%q: tensor<4x4x4x4xf32>, %k: tensor<4x4x4x4xf32>, %v: tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32> {
  %s = func.call @qk(%q, %k) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %top = func.call @row_max(%s) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %x = "stablehlo.subtract"(%s, %top) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %most = func.call @row_max(%e) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %p = "stablehlo.divide"(%e, %most) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %o = func.call @pv(%p, %v) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  func.return %o : tensor<4x4x4x4xf32>
}

// CHECK-LABEL: func.func @divided_by_maximum
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @divided_by_maximum: {{.*}}remark: not fused: the denominator is no add over the keys

// The weights are divided by their length.
func.func @unit_length(%q: tensor<4x4x4x4xf32>, %k: tensor<4x4x4x4xf32>, %v: tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32> {
  %s = func.call @qk(%q, %k) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %top = func.call @row_max(%s) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %x = "stablehlo.subtract"(%s, %top) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %e2 = "stablehlo.multiply"(%e, %e) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %sum = func.call @row_sum(%e2) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %root = "stablehlo.sqrt"(%sum) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %p = "stablehlo.divide"(%e, %root) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %o = func.call @pv(%p, %v) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  func.return %o : tensor<4x4x4x4xf32>
}

// CHECK-LABEL: func.func @unit_length
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @unit_length: {{.*}}remark: not fused: the denominator is no add over the keys

// The sum is of the weights before they were masked.
func.func @sum_of_wider_weights(%q: tensor<4x4x4x4xf32>, %k: tensor<4x4x4x4xf32>, %v: tensor<4x4x4x4xf32>, %m1: tensor<4x4x4x4xi1>) -> tensor<4x4x4x4xf32> {
  %s = func.call @qk(%q, %k) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %top = func.call @row_max(%s) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %x = "stablehlo.subtract"(%s, %top) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<4x4x4x4xf32>}> : () -> tensor<4x4x4x4xf32>
  %e1 = "stablehlo.select"(%m1, %e, %zero) : (tensor<4x4x4x4xi1>, tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %sum = func.call @row_sum(%e) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %p = "stablehlo.divide"(%e1, %sum) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %o = func.call @pv(%p, %v) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  func.return %o : tensor<4x4x4x4xf32>
}

// CHECK-LABEL: func.func @sum_of_wider_weights
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @sum_of_wider_weights: {{.*}}remark: not fused: weights are masked after the softmax by something else than an empty row

// The softmax of a softmax.
func.func @softmax_of_softmax(%q: tensor<4x4x4x4xf32>, %k: tensor<4x4x4x4xf32>, %v: tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32> {
  %s = func.call @qk(%q, %k) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %p0 = func.call @softmax(%s) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %p = func.call @softmax(%p0) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %o = func.call @pv(%p, %v) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  func.return %o : tensor<4x4x4x4xf32>
}

// CHECK-LABEL: func.func @softmax_of_softmax
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @softmax_of_softmax: {{.*}}remark: not fused: stablehlo.reduce between the dots is no function of one logit
// REMARK: @softmax_of_softmax: {{.*}}remark: not fused: stablehlo.reduce between the dots is no function of one logit

// The weights of a first softmax are added to the logits.
func.func @softmax_plus_own_softmax(%q: tensor<4x4x4x4xf32>, %k: tensor<4x4x4x4xf32>, %v: tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32> {
  %s = func.call @qk(%q, %k) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %p0 = func.call @softmax(%s) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %s1 = "stablehlo.add"(%s, %p0) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %p = func.call @softmax(%s1) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %o = func.call @pv(%p, %v) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  func.return %o : tensor<4x4x4x4xf32>
}

// CHECK-LABEL: func.func @softmax_plus_own_softmax
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @softmax_plus_own_softmax: {{.*}}remark: not fused: stablehlo.reduce between the dots is no function of one logit
// REMARK: @softmax_plus_own_softmax: {{.*}}remark: not fused: stablehlo.reduce between the dots is no function of one logit

// The weights are cut off at 0.5.
func.func @weights_clamped(%q: tensor<4x4x4x4xf32>, %k: tensor<4x4x4x4xf32>, %v: tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32> {
  %s = func.call @qk(%q, %k) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %p0 = func.call @softmax(%s) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %low = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %high = "stablehlo.constant"() <{value = dense<0.5> : tensor<f32>}> : () -> tensor<f32>
  %p = "stablehlo.clamp"(%low, %p0, %high) : (tensor<f32>, tensor<4x4x4x4xf32>, tensor<f32>) -> tensor<4x4x4x4xf32>
  %o = func.call @pv(%p, %v) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  func.return %o : tensor<4x4x4x4xf32>
}

// CHECK-LABEL: func.func @weights_clamped
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @weights_clamped: {{.*}}remark: not fused: the weights come from stablehlo.clamp, not from a softmax

// The weights are square roots of a softmax.
func.func @weights_rooted(%q: tensor<4x4x4x4xf32>, %k: tensor<4x4x4x4xf32>, %v: tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32> {
  %s = func.call @qk(%q, %k) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %p0 = func.call @softmax(%s) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %p = "stablehlo.sqrt"(%p0) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %o = func.call @pv(%p, %v) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  func.return %o : tensor<4x4x4x4xf32>
}

// CHECK-LABEL: func.func @weights_rooted
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @weights_rooted: {{.*}}remark: not fused: the weights come from stablehlo.sqrt, not from a softmax

// Weights below 0.1 are dropped.
func.func @small_weights_dropped(%q: tensor<4x4x4x4xf32>, %k: tensor<4x4x4x4xf32>, %v: tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32> {
  %s = func.call @qk(%q, %k) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %p0 = func.call @softmax(%s) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %little = "stablehlo.constant"() <{value = dense<0.1> : tensor<4x4x4x4xf32>}> : () -> tensor<4x4x4x4xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<4x4x4x4xf32>}> : () -> tensor<4x4x4x4xf32>
  %keep = "stablehlo.compare"(%p0, %little) <{comparison_direction = #stablehlo<comparison_direction GT>}> : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xi1>
  %p = "stablehlo.select"(%keep, %p0, %zero) : (tensor<4x4x4x4xi1>, tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %o = func.call @pv(%p, %v) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  func.return %o : tensor<4x4x4x4xf32>
}

// CHECK-LABEL: func.func @small_weights_dropped
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @small_weights_dropped: {{.*}}remark: not fused: weights are masked after the softmax by something else than an empty row

// The weights are multiplied with a number for each key.
func.func @weight_for_each_key(%q: tensor<4x4x4x4xf32>, %k: tensor<4x4x4x4xf32>, %v: tensor<4x4x4x4xf32>, %w: tensor<4xf32>) -> tensor<4x4x4x4xf32> {
  %s = func.call @qk(%q, %k) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %p0 = func.call @softmax(%s) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %wb = "stablehlo.broadcast_in_dim"(%w) <{broadcast_dimensions = array<i64: 3>}> : (tensor<4xf32>) -> tensor<4x4x4x4xf32>
  %p = "stablehlo.multiply"(%p0, %wb) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %o = func.call @pv(%p, %v) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  func.return %o : tensor<4x4x4x4xf32>
}

// CHECK-LABEL: func.func @weight_for_each_key
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @weight_for_each_key: {{.*}}remark: not fused: the weights come from stablehlo.multiply, not from a softmax

// A tensor is added to the weights.
func.func @weights_added(%q: tensor<4x4x4x4xf32>, %k: tensor<4x4x4x4xf32>, %v: tensor<4x4x4x4xf32>, %w: tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32> {
  %s = func.call @qk(%q, %k) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %p0 = func.call @softmax(%s) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %p = "stablehlo.add"(%p0, %w) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %o = func.call @pv(%p, %v) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  func.return %o : tensor<4x4x4x4xf32>
}

// CHECK-LABEL: func.func @weights_added
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @weights_added: {{.*}}remark: not fused: the weights come from stablehlo.add, not from a softmax

// The weights are taken from 1.
func.func @one_minus_weights(%q: tensor<4x4x4x4xf32>, %k: tensor<4x4x4x4xf32>, %v: tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32> {
  %s = func.call @qk(%q, %k) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %p0 = func.call @softmax(%s) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %one = "stablehlo.constant"() <{value = dense<1.0> : tensor<4x4x4x4xf32>}> : () -> tensor<4x4x4x4xf32>
  %p = "stablehlo.subtract"(%one, %p0) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %o = func.call @pv(%p, %v) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  func.return %o : tensor<4x4x4x4xf32>
}

// CHECK-LABEL: func.func @one_minus_weights
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @one_minus_weights: {{.*}}remark: not fused: the weights come from stablehlo.subtract, not from a softmax

// The difference of two softmaxes (differential attention) is no softmax.
func.func @weights_of_two_softmaxes(%q: tensor<4x4x4x4xf32>, %k: tensor<4x4x4x4xf32>, %v: tensor<4x4x4x4xf32>, %q2: tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32> {
  %s = func.call @qk(%q, %k) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %s2 = func.call @qk(%q2, %k) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %p1 = func.call @softmax(%s) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %p2 = func.call @softmax(%s2) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %p = "stablehlo.subtract"(%p1, %p2) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %o = func.call @pv(%p, %v) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  func.return %o : tensor<4x4x4x4xf32>
}

// CHECK-LABEL: func.func @weights_of_two_softmaxes
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @weights_of_two_softmaxes: {{.*}}remark: not fused: the weights come from stablehlo.subtract, not from a softmax
// REMARK: @weights_of_two_softmaxes: {{.*}}remark: not fused: the weights come from stablehlo.subtract, not from a softmax

// Heads are mixed between the softmax and the second dot (talking heads).
func.func @heads_mixed_after(%q: tensor<4x4x4x4xf32>, %k: tensor<4x4x4x4xf32>, %v: tensor<4x4x4x4xf32>, %w: tensor<4x4xf32>) -> tensor<4x4x4x4xf32> {
  %s = func.call @qk(%q, %k) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %p0 = func.call @softmax(%s) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %mixed = "stablehlo.dot_general"(%w, %p0) <{dot_dimension_numbers = #stablehlo.dot<lhs_contracting_dimensions = [1], rhs_contracting_dimensions = [1]>}> : (tensor<4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %p = "stablehlo.transpose"(%mixed) <{permutation = array<i64: 1, 0, 2, 3>}> : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %o = func.call @pv(%p, %v) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  func.return %o : tensor<4x4x4x4xf32>
}

// CHECK-LABEL: func.func @heads_mixed_after
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @heads_mixed_after: {{.*}}remark: not fused: the denominator is no add over the keys

// The second dot contracts the heads.
func.func @second_dot_contracts_heads(%q: tensor<4x4x4x4xf32>, %k: tensor<4x4x4x4xf32>, %v: tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32> {
  %s = func.call @qk(%q, %k) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %p = func.call @softmax(%s) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %o = "stablehlo.dot_general"(%p, %v) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 3], rhs_batching_dimensions = [0, 2], lhs_contracting_dimensions = [1], rhs_contracting_dimensions = [1]>}> : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  func.return %o : tensor<4x4x4x4xf32>
}

// CHECK-LABEL: func.func @second_dot_contracts_heads
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @second_dot_contracts_heads: {{.*}}remark: not fused: the denominator is no add over the keys

// A row of the weights is overwritten before they are used.
func.func @row_of_weights_overwritten(%q: tensor<4x4x4x4xf32>, %k: tensor<4x4x4x4xf32>, %v: tensor<4x4x4x4xf32>, %row: tensor<4x4x1x4xf32>) -> tensor<4x4x4x4xf32> {
  %s = func.call @qk(%q, %k) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %p0 = func.call @softmax(%s) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %z0 = "stablehlo.constant"() <{value = dense<0> : tensor<i32>}> : () -> tensor<i32>
  %z1 = "stablehlo.constant"() <{value = dense<0> : tensor<i32>}> : () -> tensor<i32>
  %z2 = "stablehlo.constant"() <{value = dense<0> : tensor<i32>}> : () -> tensor<i32>
  %z3 = "stablehlo.constant"() <{value = dense<0> : tensor<i32>}> : () -> tensor<i32>
  %p = "stablehlo.dynamic_update_slice"(%p0, %row, %z0, %z1, %z2, %z3) : (tensor<4x4x4x4xf32>, tensor<4x4x1x4xf32>, tensor<i32>, tensor<i32>, tensor<i32>, tensor<i32>) -> tensor<4x4x4x4xf32>
  %o = func.call @pv(%p, %v) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  func.return %o : tensor<4x4x4x4xf32>
}

// CHECK-LABEL: func.func @row_of_weights_overwritten
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @row_of_weights_overwritten: {{.*}}remark: not fused: the weights come from stablehlo.dynamic_update_slice, not from a softmax

// A row of the logits is overwritten before the softmax.
func.func @row_of_logits_overwritten(%q: tensor<4x4x4x4xf32>, %k: tensor<4x4x4x4xf32>, %v: tensor<4x4x4x4xf32>, %row: tensor<4x4x1x4xf32>) -> tensor<4x4x4x4xf32> {
  %s0 = func.call @qk(%q, %k) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %z0 = "stablehlo.constant"() <{value = dense<0> : tensor<i32>}> : () -> tensor<i32>
  %z1 = "stablehlo.constant"() <{value = dense<0> : tensor<i32>}> : () -> tensor<i32>
  %z2 = "stablehlo.constant"() <{value = dense<0> : tensor<i32>}> : () -> tensor<i32>
  %z3 = "stablehlo.constant"() <{value = dense<0> : tensor<i32>}> : () -> tensor<i32>
  %s = "stablehlo.dynamic_update_slice"(%s0, %row, %z0, %z1, %z2, %z3) : (tensor<4x4x4x4xf32>, tensor<4x4x1x4xf32>, tensor<i32>, tensor<i32>, tensor<i32>, tensor<i32>) -> tensor<4x4x4x4xf32>
  %p = func.call @softmax(%s) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %o = func.call @pv(%p, %v) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  func.return %o : tensor<4x4x4x4xf32>
}

// CHECK-LABEL: func.func @row_of_logits_overwritten
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @row_of_logits_overwritten: {{.*}}remark: not fused: no dot of queries and keys was found below the softmax, whose scores come from stablehlo.dynamic_update_slice

// Keys are padded after the first dot: scores of 0 take part in the sum.
func.func @logits_padded_with_zeros(%q: tensor<4x4x4x4xf32>, %k: tensor<4x4x4x4xf32>, %v: tensor<4x4x6x4xf32>) -> tensor<4x4x4x4xf32> {
  %s = func.call @qk(%q, %k) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %wide = "stablehlo.pad"(%s, %zero) <{edge_padding_low = array<i64: 0, 0, 0, 0>, edge_padding_high = array<i64: 0, 0, 0, 2>, interior_padding = array<i64: 0, 0, 0, 0>}> : (tensor<4x4x4x4xf32>, tensor<f32>) -> tensor<4x4x4x6xf32>
  %e = "stablehlo.exponential"(%wide) : (tensor<4x4x4x6xf32>) -> tensor<4x4x4x6xf32>
  %izero = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %izero) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.add"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<4x4x4x6xf32>, tensor<f32>) -> tensor<4x4x4xf32>
  %sumb = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<4x4x4xf32>) -> tensor<4x4x4x6xf32>
  %p = "stablehlo.divide"(%e, %sumb) : (tensor<4x4x4x6xf32>, tensor<4x4x4x6xf32>) -> tensor<4x4x4x6xf32>
  %o = "stablehlo.dot_general"(%p, %v) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [2]>}> : (tensor<4x4x4x6xf32>, tensor<4x4x6x4xf32>) -> tensor<4x4x4x4xf32>
  func.return %o : tensor<4x4x4x4xf32>
}

// CHECK-LABEL: func.func @logits_padded_with_zeros
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @logits_padded_with_zeros: {{.*}}remark: not fused: no dot of queries and keys was found below the softmax, whose scores come from stablehlo.pad

// The logits of two keys' tensors are concatenated: K has no layout.
func.func @keys_of_two_tensors(%q: tensor<4x4x4x4xf32>, %k: tensor<4x4x4x4xf32>, %k2: tensor<4x4x4x4xf32>, %v: tensor<4x4x8x4xf32>) -> tensor<4x4x4x4xf32> {
  %s = func.call @qk(%q, %k) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %s2 = func.call @qk(%q, %k2) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %wide = "stablehlo.concatenate"(%s, %s2) <{dimension = 3 : i64}> : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x8xf32>
  %e = "stablehlo.exponential"(%wide) : (tensor<4x4x4x8xf32>) -> tensor<4x4x4x8xf32>
  %izero = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %izero) <{dimensions = array<i64: 3>}> ({
  ^bb0(%one_: tensor<f32>, %two_: tensor<f32>):
    %both_ = "stablehlo.add"(%one_, %two_) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%both_) : (tensor<f32>) -> ()
  }) : (tensor<4x4x4x8xf32>, tensor<f32>) -> tensor<4x4x4xf32>
  %sumb = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<4x4x4xf32>) -> tensor<4x4x4x8xf32>
  %p = "stablehlo.divide"(%e, %sumb) : (tensor<4x4x4x8xf32>, tensor<4x4x4x8xf32>) -> tensor<4x4x4x8xf32>
  %o = "stablehlo.dot_general"(%p, %v) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [2]>}> : (tensor<4x4x4x8xf32>, tensor<4x4x8x4xf32>) -> tensor<4x4x4x4xf32>
  func.return %o : tensor<4x4x4x4xf32>
}

// CHECK-LABEL: func.func @keys_of_two_tensors
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @keys_of_two_tensors: {{.*}}remark: not fused: no dot of queries and keys was found below the softmax, whose scores come from stablehlo.concatenate

// A barrier, which nothing may be moved across.
func.func @barrier_before_the_softmax(%q: tensor<4x4x4x4xf32>, %k: tensor<4x4x4x4xf32>, %v: tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32> {
  %s0 = func.call @qk(%q, %k) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %s = "stablehlo.optimization_barrier"(%s0) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %p = func.call @softmax(%s) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %o = func.call @pv(%p, %v) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  func.return %o : tensor<4x4x4x4xf32>
}

// CHECK-LABEL: func.func @barrier_before_the_softmax
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @barrier_before_the_softmax: {{.*}}remark: not fused: no dot of queries and keys was found below the softmax, whose scores come from stablehlo.optimization_barrier

// The same after the softmax.
func.func @barrier_after_the_softmax(%q: tensor<4x4x4x4xf32>, %k: tensor<4x4x4x4xf32>, %v: tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32> {
  %s = func.call @qk(%q, %k) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %p0 = func.call @softmax(%s) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %p = "stablehlo.optimization_barrier"(%p0) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %o = func.call @pv(%p, %v) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  func.return %o : tensor<4x4x4x4xf32>
}

// CHECK-LABEL: func.func @barrier_after_the_softmax
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @barrier_after_the_softmax: {{.*}}remark: not fused: the weights come from stablehlo.optimization_barrier, not from a softmax

// A sharding: only the exporter's runtime knows what the call does.
func.func @sharding_of_logits(%q: tensor<4x4x4x4xf32>, %k: tensor<4x4x4x4xf32>, %v: tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32> {
  %s0 = func.call @qk(%q, %k) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %s = "stablehlo.custom_call"(%s0) <{call_target_name = "Sharding", has_side_effect = false}> : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %p = func.call @softmax(%s) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %o = func.call @pv(%p, %v) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  func.return %o : tensor<4x4x4x4xf32>
}

// CHECK-LABEL: func.func @sharding_of_logits
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @sharding_of_logits: {{.*}}remark: not fused: no dot of queries and keys was found below the softmax, whose scores come from stablehlo.custom_call

// The logits are seen by a call with side effects.
func.func @logits_printed(%q: tensor<4x4x4x4xf32>, %k: tensor<4x4x4x4xf32>, %v: tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32> {
  %s = func.call @qk(%q, %k) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  "stablehlo.custom_call"(%s) <{call_target_name = "print", has_side_effect = true}> : (tensor<4x4x4x4xf32>) -> ()
  %p = func.call @softmax(%s) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %o = func.call @pv(%p, %v) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  func.return %o : tensor<4x4x4x4xf32>
}

// CHECK-LABEL: func.func @logits_printed
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @logits_printed: {{.*}}remark: not fused: a value between the dots is also used by stablehlo.custom_call

// The weights are.
func.func @weights_printed(%q: tensor<4x4x4x4xf32>, %k: tensor<4x4x4x4xf32>, %v: tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32> {
  %s = func.call @qk(%q, %k) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %p = func.call @softmax(%s) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  "stablehlo.custom_call"(%p) <{call_target_name = "print", has_side_effect = true}> : (tensor<4x4x4x4xf32>) -> ()
  %o = func.call @pv(%p, %v) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  func.return %o : tensor<4x4x4x4xf32>
}

// CHECK-LABEL: func.func @weights_printed
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @weights_printed: {{.*}}remark: not fused: a value between the dots is also used by stablehlo.custom_call

// The logits are rounded to integers, as a quantised model does.
func.func @logits_rounded(%q: tensor<4x4x4x4xf32>, %k: tensor<4x4x4x4xf32>, %v: tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32> {
  %s0 = func.call @qk(%q, %k) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %s = "stablehlo.round_nearest_even"(%s0) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %p = func.call @softmax(%s) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %o = func.call @pv(%p, %v) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  func.return %o : tensor<4x4x4x4xf32>
}

// CHECK-LABEL: func.func @logits_rounded
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @logits_rounded: {{.*}}remark: not fused: no dot of queries and keys was found below the softmax, whose scores come from stablehlo.round_nearest_even

// The logits are cut to 8-bit integers and back.
func.func @logits_through_integers(%q: tensor<4x4x4x4xf32>, %k: tensor<4x4x4x4xf32>, %v: tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32> {
  %s0 = func.call @qk(%q, %k) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %i = "stablehlo.convert"(%s0) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xi8>
  %s = "stablehlo.convert"(%i) : (tensor<4x4x4x4xi8>) -> tensor<4x4x4x4xf32>
  %p = func.call @softmax(%s) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %o = func.call @pv(%p, %v) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  func.return %o : tensor<4x4x4x4xf32>
}

// CHECK-LABEL: func.func @logits_through_integers
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @logits_through_integers: {{.*}}remark: not fused: no dot of queries and keys was found below the softmax, whose scores come from stablehlo.convert

// Keys below the mean of their row are masked: the score depends on all logits.
func.func @above_the_mean(%q: tensor<4x4x4x4xf32>, %k: tensor<4x4x4x4xf32>, %v: tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32> {
  %s = func.call @qk(%q, %k) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %total = func.call @row_sum(%s) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %four = "stablehlo.constant"() <{value = dense<4.0> : tensor<4x4x4x4xf32>}> : () -> tensor<4x4x4x4xf32>
  %mean = "stablehlo.divide"(%total, %four) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<4x4x4x4xf32>}> : () -> tensor<4x4x4x4xf32>
  %keep = "stablehlo.compare"(%s, %mean) <{comparison_direction = #stablehlo<comparison_direction GE>}> : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xi1>
  %s1 = "stablehlo.select"(%keep, %s, %low) : (tensor<4x4x4x4xi1>, tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %p = func.call @softmax(%s1) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %o = func.call @pv(%p, %v) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  func.return %o : tensor<4x4x4x4xf32>
}

// CHECK-LABEL: func.func @above_the_mean
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @above_the_mean: {{.*}}remark: not fused: stablehlo.reduce between the dots is no function of one logit

// The logits are divided by the sum of their row.
func.func @logits_normalised(%q: tensor<4x4x4x4xf32>, %k: tensor<4x4x4x4xf32>, %v: tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32> {
  %s = func.call @qk(%q, %k) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %total = func.call @row_sum(%s) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %s1 = "stablehlo.divide"(%s, %total) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %p = func.call @softmax(%s1) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %o = func.call @pv(%p, %v) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  func.return %o : tensor<4x4x4x4xf32>
}

// CHECK-LABEL: func.func @logits_normalised
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @logits_normalised: {{.*}}remark: not fused: stablehlo.reduce between the dots is no function of one logit

// The logits come from outside of the loop that has the softmax and the second dot.
func.func @logits_outside_the_loop(%q: tensor<4x4x4x4xf32>, %k: tensor<4x4x4x4xf32>, %v: tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32> {
  %s = func.call @qk(%q, %k) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %start = "stablehlo.constant"() <{value = dense<0> : tensor<i32>}> : () -> tensor<i32>
  %n, %o = "stablehlo.while"(%start, %v) ({
  ^bb0(%n0: tensor<i32>, %x0: tensor<4x4x4x4xf32>):
    %two = "stablehlo.constant"() <{value = dense<2> : tensor<i32>}> : () -> tensor<i32>
    %c = "stablehlo.compare"(%n0, %two) <{comparison_direction = #stablehlo<comparison_direction LT>}> : (tensor<i32>, tensor<i32>) -> tensor<i1>
    "stablehlo.return"(%c) : (tensor<i1>) -> ()
  }, {
  ^bb0(%n1: tensor<i32>, %x1: tensor<4x4x4x4xf32>):
    %p = func.call @softmax(%s) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
    %y = func.call @pv(%p, %x1) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
    %one = "stablehlo.constant"() <{value = dense<1> : tensor<i32>}> : () -> tensor<i32>
    %n2 = "stablehlo.add"(%n1, %one) : (tensor<i32>, tensor<i32>) -> tensor<i32>
    "stablehlo.return"(%n2, %y) : (tensor<i32>, tensor<4x4x4x4xf32>) -> ()
  }) : (tensor<i32>, tensor<4x4x4x4xf32>) -> (tensor<i32>, tensor<4x4x4x4xf32>)
  func.return %o : tensor<4x4x4x4xf32>
}

// CHECK-LABEL: func.func @logits_outside_the_loop
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @logits_outside_the_loop: {{.*}}remark: not fused: no dot of queries and keys was found below the softmax, whose scores come from stablehlo.dot_general in another block

// The row maximum is a value that a loop carries (an online softmax): it is that of other rows.
func.func @maximum_carried_by_a_loop(%q: tensor<4x4x4x4xf32>, %k: tensor<4x4x4x4xf32>, %v: tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32> {
  %s = func.call @qk(%q, %k) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %start = "stablehlo.constant"() <{value = dense<0> : tensor<i32>}> : () -> tensor<i32>
  %low = "stablehlo.constant"() <{value = dense<-1.0e+30> : tensor<4x4x4x4xf32>}> : () -> tensor<4x4x4x4xf32>
  %n, %m, %o = "stablehlo.while"(%start, %low, %v) ({
  ^bb0(%n0: tensor<i32>, %m0: tensor<4x4x4x4xf32>, %x0: tensor<4x4x4x4xf32>):
    %two = "stablehlo.constant"() <{value = dense<2> : tensor<i32>}> : () -> tensor<i32>
    %c = "stablehlo.compare"(%n0, %two) <{comparison_direction = #stablehlo<comparison_direction LT>}> : (tensor<i32>, tensor<i32>) -> tensor<i1>
    "stablehlo.return"(%c) : (tensor<i1>) -> ()
  }, {
  ^bb0(%n1: tensor<i32>, %m1: tensor<4x4x4x4xf32>, %x1: tensor<4x4x4x4xf32>):
    %t = func.call @qk(%q, %x1) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
    %r = func.call @row_max(%t) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
    %top = "stablehlo.maximum"(%m1, %r) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
    %d = "stablehlo.subtract"(%t, %top) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
    %e = "stablehlo.exponential"(%d) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
    %sum = func.call @row_sum(%e) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
    %p = "stablehlo.divide"(%e, %sum) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
    %y = func.call @pv(%p, %x1) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
    %one = "stablehlo.constant"() <{value = dense<1> : tensor<i32>}> : () -> tensor<i32>
    %n2 = "stablehlo.add"(%n1, %one) : (tensor<i32>, tensor<i32>) -> tensor<i32>
    "stablehlo.return"(%n2, %top, %y) : (tensor<i32>, tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> ()
  }) : (tensor<i32>, tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> (tensor<i32>, tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>)
  func.return %o : tensor<4x4x4x4xf32>
}

// CHECK-LABEL: func.func @maximum_carried_by_a_loop
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @maximum_carried_by_a_loop: {{.*}}remark: not fused: stablehlo.reduce between the dots is no function of one logit

// The softmax is taken in one branch only.
func.func @softmax_in_a_branch(%q: tensor<4x4x4x4xf32>, %k: tensor<4x4x4x4xf32>, %v: tensor<4x4x4x4xf32>, %c: tensor<i1>) -> tensor<4x4x4x4xf32> {
  %s = func.call @qk(%q, %k) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %p = "stablehlo.if"(%c) ({
    %p1 = func.call @softmax(%s) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
    "stablehlo.return"(%p1) : (tensor<4x4x4x4xf32>) -> ()
  }, {
    "stablehlo.return"(%s) : (tensor<4x4x4x4xf32>) -> ()
  }) : (tensor<i1>) -> tensor<4x4x4x4xf32>
  %o = func.call @pv(%p, %v) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  func.return %o : tensor<4x4x4x4xf32>
}

// CHECK-LABEL: func.func @softmax_in_a_branch
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @softmax_in_a_branch: {{.*}}remark: not fused: the softmax is not followed by a dot in the same block; it goes to stablehlo.return

// The dot asks for sums in f64.
func.func @accumulated_in_f64(%q: tensor<4x4x4x4xf32>, %k: tensor<4x4x4x4xf32>, %v: tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32> {
  %s = "stablehlo.dot_general"(%q, %k) <{algorithm = #stablehlo.dot_algorithm<lhs_precision_type = f64, rhs_precision_type = f64, accumulation_type = f64, lhs_component_count = 1, rhs_component_count = 1, num_primitive_operations = 1, allow_imprecise_accumulation = false>, dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [3]>}> : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %p = func.call @softmax(%s) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %o = func.call @pv(%p, %v) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  func.return %o : tensor<4x4x4x4xf32>
}

// CHECK-LABEL: func.func @accumulated_in_f64
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @accumulated_in_f64: {{.*}}remark: not fused: a dot asks for sums in f64, which attention has only for operands in f64

// No dot below the softmax: weights of an input.
func.func @softmax_of_no_dot(%s: tensor<4x4x4x4xf32>, %v: tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32> {
  %p = func.call @softmax(%s) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %o = func.call @pv(%p, %v) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  func.return %o : tensor<4x4x4x4xf32>
}

// CHECK-LABEL: func.func @softmax_of_no_dot
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @softmax_of_no_dot: {{.*}}remark: not fused: no dot of queries and keys was found below the softmax, whose scores come from an argument

// No dot after the softmax, as in a classifier.
func.func @no_dot_after(%q: tensor<4x4x4x4xf32>, %k: tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32> {
  %s = func.call @qk(%q, %k) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %o = func.call @softmax(%s) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  func.return %o : tensor<4x4x4x4xf32>
}

// CHECK-LABEL: func.func @no_dot_after
// CHECK-NOT: attention.sdpa
// CHECK: func.return
// REMARK: @no_dot_after: {{.*}}remark: not fused: the softmax is not followed by a dot in the same block; it goes to func.return

// The parts of a plain attention, which are inlined.

func.func private @qk(%q: tensor<4x4x4x4xf32>, %k: tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32> {
  %s = "stablehlo.dot_general"(%q, %k) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [3]>}> : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  func.return %s : tensor<4x4x4x4xf32>
}
func.func private @pv(%p: tensor<4x4x4x4xf32>, %v: tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32> {
  %o = "stablehlo.dot_general"(%p, %v) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [2]>}> : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  func.return %o : tensor<4x4x4x4xf32>
}
func.func private @row_max(%s: tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32> {
  %lowest = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%s, %lowest) <{dimensions = array<i64: 3>}> ({
  ^bb0(%a: tensor<f32>, %b: tensor<f32>):
    %c = "stablehlo.maximum"(%a, %b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%c) : (tensor<f32>) -> ()
  }) : (tensor<4x4x4x4xf32>, tensor<f32>) -> tensor<4x4x4xf32>
  %r = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<4x4x4xf32>) -> tensor<4x4x4x4xf32>
  func.return %r : tensor<4x4x4x4xf32>
}
func.func private @row_sum(%s: tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32> {
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%s, %zero) <{dimensions = array<i64: 3>}> ({
  ^bb0(%a: tensor<f32>, %b: tensor<f32>):
    %c = "stablehlo.add"(%a, %b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%c) : (tensor<f32>) -> ()
  }) : (tensor<4x4x4x4xf32>, tensor<f32>) -> tensor<4x4x4xf32>
  %r = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<4x4x4xf32>) -> tensor<4x4x4x4xf32>
  func.return %r : tensor<4x4x4x4xf32>
}
func.func private @softmax(%s: tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32> {
  %top = func.call @row_max(%s) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %x = "stablehlo.subtract"(%s, %top) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %sum = func.call @row_sum(%e) : (tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  %p = "stablehlo.divide"(%e, %sum) : (tensor<4x4x4x4xf32>, tensor<4x4x4x4xf32>) -> tensor<4x4x4x4xf32>
  func.return %p : tensor<4x4x4x4xf32>
}
