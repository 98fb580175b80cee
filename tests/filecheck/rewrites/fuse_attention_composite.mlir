// RUN: xdsl-opt %s -p 'fuse-attention{explain=true}' --split-input-file >%t.mlir 2>%t.txt
// RUN: filecheck %s --input-file %t.mlir
// RUN: filecheck %s --input-file %t.txt --check-prefix REMARK

// stablehlo.composite, as jax.lax.composite writes it. One that is named attention is its decomposition, if that holds
// attention; any other stays what it is.

// Twice the same composite, once inside a loop; the name says attention in any case. The decomposition goes with them.
// CHECK-LABEL: func.func @composites
// CHECK: %first = attention.sdpa
// CHECK: "stablehlo.while"
// CHECK: attention.sdpa
// CHECK: func.return
// CHECK-NOT: func.func
// CHECK-NOT: stablehlo.composite
// REMARK: @composites: {{.*}}remark: fused: KV heads 4, group 1, queries 8, keys 16, head sizes 32 and 32; {{.*}}; no mask
// REMARK-NEXT: @composites: {{.*}}remark: fused
func.func @composites(%q: tensor<4x8x32xf32>, %k: tensor<4x16x32xf32>, %v: tensor<4x16x32xf32>) -> tensor<4x8x32xf32> {
  %first = "stablehlo.composite"(%q, %k, %v) <{composite_attributes = {causal = false}, decomposition = @impl, name = "my.Flash_Attention", version = 1 : i32}> : (tensor<4x8x32xf32>, tensor<4x16x32xf32>, tensor<4x16x32xf32>) -> tensor<4x8x32xf32>
  %true = "stablehlo.constant"() <{value = dense<true> : tensor<i1>}> : () -> tensor<i1>
  %more, %o = "stablehlo.while"(%true, %first) ({
  ^bb0(%more0: tensor<i1>, %x0: tensor<4x8x32xf32>):
    "stablehlo.return"(%more0) : (tensor<i1>) -> ()
  }, {
  ^bb0(%more1: tensor<i1>, %x1: tensor<4x8x32xf32>):
    %y = "stablehlo.composite"(%x1, %k, %v) <{decomposition = @impl, name = "my.SDPA"}> : (tensor<4x8x32xf32>, tensor<4x16x32xf32>, tensor<4x16x32xf32>) -> tensor<4x8x32xf32>
    %no = "stablehlo.not"(%more1) : (tensor<i1>) -> tensor<i1>
    "stablehlo.return"(%no, %y) : (tensor<i1>, tensor<4x8x32xf32>) -> ()
  }) : (tensor<i1>, tensor<4x8x32xf32>) -> (tensor<i1>, tensor<4x8x32xf32>)
  func.return %o : tensor<4x8x32xf32>
}
// A composite that is nested in the decomposition of another: both are attention.
func.func private @impl(%q: tensor<4x8x32xf32>, %k: tensor<4x16x32xf32>, %v: tensor<4x16x32xf32>) -> tensor<4x8x32xf32> {
  %o = "stablehlo.composite"(%q, %k, %v) <{decomposition = @inner, name = "my.attention"}> : (tensor<4x8x32xf32>, tensor<4x16x32xf32>, tensor<4x16x32xf32>) -> tensor<4x8x32xf32>
  func.return %o : tensor<4x8x32xf32>
}
func.func private @inner(%q: tensor<4x8x32xf32>, %k: tensor<4x16x32xf32>, %v: tensor<4x16x32xf32>) -> tensor<4x8x32xf32> {
  %s = "stablehlo.dot_general"(%q, %k) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0], rhs_batching_dimensions = [0], lhs_contracting_dimensions = [2], rhs_contracting_dimensions = [2]>}> : (tensor<4x8x32xf32>, tensor<4x16x32xf32>) -> tensor<4x8x16xf32>
  %e = "stablehlo.exponential"(%s) : (tensor<4x8x16xf32>) -> tensor<4x8x16xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %zero) <{dimensions = array<i64: 2>}> ({
  ^bb0(%a: tensor<f32>, %b: tensor<f32>):
    %c = "stablehlo.add"(%a, %b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%c) : (tensor<f32>) -> ()
  }) : (tensor<4x8x16xf32>, tensor<f32>) -> tensor<4x8xf32>
  %sums = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1>}> : (tensor<4x8xf32>) -> tensor<4x8x16xf32>
  %p = "stablehlo.divide"(%e, %sums) : (tensor<4x8x16xf32>, tensor<4x8x16xf32>) -> tensor<4x8x16xf32>
  %o = "stablehlo.dot_general"(%p, %v) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0], rhs_batching_dimensions = [0], lhs_contracting_dimensions = [2], rhs_contracting_dimensions = [1]>}> : (tensor<4x8x16xf32>, tensor<4x16x32xf32>) -> tensor<4x8x32xf32>
  func.return %o : tensor<4x8x32xf32>
}

// -----

// Named attention, but it is the projection after it; and a composite of another name, whatever it holds.
// CHECK-LABEL: func.func @others
// CHECK-NEXT: %y = "stablehlo.composite"(%x, %w) <{decomposition = @project, name = "my.attention_output"}>
// CHECK-NEXT: %z = "stablehlo.composite"(%y) <{decomposition = @negate, name = "my.softmax"}>
// CHECK: func.func private @project
// CHECK: func.func private @negate
// REMARK-NEXT: @others: %y = stablehlo.composite : tensor<8x16xf32>: remark: not fused: no attention is found in @project, the decomposition of this composite; it stays
func.func @others(%x: tensor<8x16xf32>, %w: tensor<16x16xf32>) -> tensor<8x16xf32> {
  %y = "stablehlo.composite"(%x, %w) <{decomposition = @project, name = "my.attention_output"}> : (tensor<8x16xf32>, tensor<16x16xf32>) -> tensor<8x16xf32>
  %z = "stablehlo.composite"(%y) <{decomposition = @negate, name = "my.softmax"}> : (tensor<8x16xf32>) -> tensor<8x16xf32>
  func.return %z : tensor<8x16xf32>
}
func.func private @project(%x: tensor<8x16xf32>, %w: tensor<16x16xf32>) -> tensor<8x16xf32> {
  %0 = "stablehlo.dot_general"(%x, %w) <{dot_dimension_numbers = #stablehlo.dot<lhs_contracting_dimensions = [1], rhs_contracting_dimensions = [0]>}> : (tensor<8x16xf32>, tensor<16x16xf32>) -> tensor<8x16xf32>
  func.return %0 : tensor<8x16xf32>
}
func.func private @negate(%x: tensor<8x16xf32>) -> tensor<8x16xf32> {
  %0 = "stablehlo.negate"(%x) : (tensor<8x16xf32>) -> tensor<8x16xf32>
  func.return %0 : tensor<8x16xf32>
}

// -----

// A composite that decomposes into itself.
// CHECK-LABEL: func.func @recursive
// CHECK-NEXT: "stablehlo.composite"(%x) <{decomposition = @again, name = "my.attention"}>
// REMARK-NEXT: @recursive: %y = stablehlo.composite : tensor<8xf32>: remark: not fused: no attention is found in @again
func.func @recursive(%x: tensor<8xf32>) -> tensor<8xf32> {
  %y = "stablehlo.composite"(%x) <{decomposition = @again, name = "my.attention"}> : (tensor<8xf32>) -> tensor<8xf32>
  func.return %y : tensor<8xf32>
}
func.func private @again(%x: tensor<8xf32>) -> tensor<8xf32> {
  %y = "stablehlo.composite"(%x) <{decomposition = @again, name = "my.attention"}> : (tensor<8xf32>) -> tensor<8xf32>
  func.return %y : tensor<8xf32>
}
