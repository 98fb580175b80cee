// RUN: xdsl-opt %s | filecheck %s
// RUN: xdsl-opt %s | xdsl-opt | filecheck %s

// Floats written as the hexadecimal of their bits, inside dense literals. The first stands in an op of another dialect,
// before anything of StableHLO is loaded: plugins repair the parser at the start of xdsl-opt.

// CHECK: arith.constant dense<0xfff0000000000000> : tensor<1xf64>
%0 = "arith.constant"() <{value = dense<0xFFF0000000000000> : tensor<1xf64>}> : () -> tensor<1xf64>
// CHECK-NEXT: dense<0xff800000> : tensor<2xf32>
%1 = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<2xf32>}> : () -> tensor<2xf32>
// CHECK-NEXT: dense<[0.000000e+00, 0xff800000]> : tensor<2xf32>
%2 = "stablehlo.constant"() <{value = dense<[0.0, 0xFF800000]> : tensor<2xf32>}> : () -> tensor<2xf32>
// CHECK-NEXT: dense<0xff80> : tensor<bf16>
%3 = "stablehlo.constant"() <{value = dense<0xFF80> : tensor<bf16>}> : () -> tensor<bf16>
// CHECK-NEXT: dense<0xfc00> : tensor<f16>
%4 = "stablehlo.constant"() <{value = dense<0xFC00> : tensor<f16>}> : () -> tensor<f16>
// Hexadecimal integers stay integers.
// CHECK-NEXT: dense<255> : tensor<i32>
%5 = "stablehlo.constant"() <{value = dense<0xFF> : tensor<i32>}> : () -> tensor<i32>
