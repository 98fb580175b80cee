// RUN: xdsl-opt %s -p fuse-attention | filecheck %s

// V is read in the type that it is stored in, and kernels round weights to that type. That must not show: a widening
// conversion of V goes only where the result is as narrow.

// O = softmax(Q K^T) V in f32, of a V stored in bf16: V stays converted

// CHECK-LABEL: func.func @wide_result
// CHECK: %v = "stablehlo.convert"(%stored)
// CHECK: v(%v[n, d] : tensor<40x16xf32>)
// CHECK: -> out[m, d] : tensor<24x16xf32>

"func.func"() <{function_type = (tensor<24x16xf32>, tensor<40x16xf32>, tensor<40x16xbf16>) -> tensor<24x16xf32>, sym_name = "wide_result"}> ({
^bb0(%q: tensor<24x16xf32>, %k: tensor<40x16xf32>, %stored: tensor<40x16xbf16>):
  %v = "stablehlo.convert"(%stored) : (tensor<40x16xbf16>) -> tensor<40x16xf32>
  %s = "stablehlo.dot_general"(%q, %k) <{dot_dimension_numbers = #stablehlo.dot<lhs_contracting_dimensions = [1], rhs_contracting_dimensions = [1]>}> : (tensor<24x16xf32>, tensor<40x16xf32>) -> tensor<24x40xf32>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %m = "stablehlo.reduce"(%s, %low) <{dimensions = array<i64: 1>}> ({
  ^bb0(%a: tensor<f32>, %b: tensor<f32>):
    %c = "stablehlo.maximum"(%a, %b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%c) : (tensor<f32>) -> ()
  }) : (tensor<24x40xf32>, tensor<f32>) -> tensor<24xf32>
  %mb = "stablehlo.broadcast_in_dim"(%m) <{broadcast_dimensions = array<i64: 0>}> : (tensor<24xf32>) -> tensor<24x40xf32>
  %x = "stablehlo.subtract"(%s, %mb) : (tensor<24x40xf32>, tensor<24x40xf32>) -> tensor<24x40xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<24x40xf32>) -> tensor<24x40xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %l = "stablehlo.reduce"(%e, %zero) <{dimensions = array<i64: 1>}> ({
  ^bb0(%a: tensor<f32>, %b: tensor<f32>):
    %c = "stablehlo.add"(%a, %b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%c) : (tensor<f32>) -> ()
  }) : (tensor<24x40xf32>, tensor<f32>) -> tensor<24xf32>
  %lb = "stablehlo.broadcast_in_dim"(%l) <{broadcast_dimensions = array<i64: 0>}> : (tensor<24xf32>) -> tensor<24x40xf32>
  %p = "stablehlo.divide"(%e, %lb) : (tensor<24x40xf32>, tensor<24x40xf32>) -> tensor<24x40xf32>
  %o = "stablehlo.dot_general"(%p, %v) <{dot_dimension_numbers = #stablehlo.dot<lhs_contracting_dimensions = [1], rhs_contracting_dimensions = [0]>}> : (tensor<24x40xf32>, tensor<40x16xf32>) -> tensor<24x16xf32>
  "func.return"(%o) : (tensor<24x16xf32>) -> ()
}) : () -> ()

// The same, rounded to bf16 in the end: V is read in bf16

// CHECK-LABEL: func.func @narrow_result
// CHECK-NOT: stablehlo.convert
// CHECK: v(%stored[n, d] : tensor<40x16xbf16>)
// CHECK: -> out[m, d] : tensor<24x16xbf16>

"func.func"() <{function_type = (tensor<24x16xf32>, tensor<40x16xf32>, tensor<40x16xbf16>) -> tensor<24x16xbf16>, sym_name = "narrow_result"}> ({
^bb0(%q: tensor<24x16xf32>, %k: tensor<40x16xf32>, %stored: tensor<40x16xbf16>):
  %v = "stablehlo.convert"(%stored) : (tensor<40x16xbf16>) -> tensor<40x16xf32>
  %s = "stablehlo.dot_general"(%q, %k) <{dot_dimension_numbers = #stablehlo.dot<lhs_contracting_dimensions = [1], rhs_contracting_dimensions = [1]>}> : (tensor<24x16xf32>, tensor<40x16xf32>) -> tensor<24x40xf32>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %m = "stablehlo.reduce"(%s, %low) <{dimensions = array<i64: 1>}> ({
  ^bb0(%a: tensor<f32>, %b: tensor<f32>):
    %c = "stablehlo.maximum"(%a, %b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%c) : (tensor<f32>) -> ()
  }) : (tensor<24x40xf32>, tensor<f32>) -> tensor<24xf32>
  %mb = "stablehlo.broadcast_in_dim"(%m) <{broadcast_dimensions = array<i64: 0>}> : (tensor<24xf32>) -> tensor<24x40xf32>
  %x = "stablehlo.subtract"(%s, %mb) : (tensor<24x40xf32>, tensor<24x40xf32>) -> tensor<24x40xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<24x40xf32>) -> tensor<24x40xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %l = "stablehlo.reduce"(%e, %zero) <{dimensions = array<i64: 1>}> ({
  ^bb0(%a: tensor<f32>, %b: tensor<f32>):
    %c = "stablehlo.add"(%a, %b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%c) : (tensor<f32>) -> ()
  }) : (tensor<24x40xf32>, tensor<f32>) -> tensor<24xf32>
  %lb = "stablehlo.broadcast_in_dim"(%l) <{broadcast_dimensions = array<i64: 0>}> : (tensor<24xf32>) -> tensor<24x40xf32>
  %p = "stablehlo.divide"(%e, %lb) : (tensor<24x40xf32>, tensor<24x40xf32>) -> tensor<24x40xf32>
  %o = "stablehlo.dot_general"(%p, %v) <{dot_dimension_numbers = #stablehlo.dot<lhs_contracting_dimensions = [1], rhs_contracting_dimensions = [0]>}> : (tensor<24x40xf32>, tensor<40x16xf32>) -> tensor<24x16xf32>
  %r = "stablehlo.convert"(%o) : (tensor<24x16xf32>) -> tensor<24x16xbf16>
  "func.return"(%r) : (tensor<24x16xbf16>) -> ()
}) : () -> ()
