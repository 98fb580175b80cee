// RUN: xdsl-opt %s | filecheck %s
// RUN: xdsl-opt %s | xdsl-opt | filecheck %s

// Upstream's notation of dimension numbers, in which every dimension says its role, is read and printed as it is.

%x, %w, %i = "test.op"() : () -> (tensor<2x5x6x4xf32>, tensor<3x2x2x6xf32>, tensor<3xui8>)

// CHECK: "stablehlo.convolution"(%{{.*}}) <{batch_group_count = 1 : i64, dimension_numbers = #stablehlo.conv<[b, 0, 1, f]x[0, 1, i, o]->[b, 1, 0, f]>, feature_group_count = 2 : i64, lhs_dilation = array<i64: 2, 1>, padding = dense<{{\[\[}}1, 2], [0, 1]]> : tensor<2x2xi64>, rhs_dilation = array<i64: 1, 2>, window_reversal = array<i1: false, true>, window_strides = array<i64: 2, 1>}> : (tensor<2x5x6x4xf32>, tensor<3x2x2x6xf32>) -> tensor<2x5x5x6xf32>
%0 = "stablehlo.convolution"(%x, %w) <{batch_group_count = 1 : i64, dimension_numbers = #stablehlo.conv<[b, 0, 1, f]x[0, 1, i, o]->[b, 1, 0, f]>, feature_group_count = 2 : i64, lhs_dilation = array<i64: 2, 1>, padding = dense<[[1, 2], [0, 1]]> : tensor<2x2xi64>, rhs_dilation = array<i64: 1, 2>, window_reversal = array<i1: false, true>, window_strides = array<i64: 2, 1>}> : (tensor<2x5x6x4xf32>, tensor<3x2x2x6xf32>) -> tensor<2x5x5x6xf32>
// CHECK-NEXT: "stablehlo.popcnt"(%{{.*}}) : (tensor<3xui8>) -> tensor<3xui8>
%1 = "stablehlo.popcnt"(%i) : (tensor<3xui8>) -> tensor<3xui8>
// CHECK-NEXT: "stablehlo.reduce_precision"(%{{.*}}) <{exponent_bits = 5 : i32, mantissa_bits = 10 : i32}> : (tensor<3x2x2x6xf32>) -> tensor<3x2x2x6xf32>
%2 = "stablehlo.reduce_precision"(%w) <{exponent_bits = 5 : i32, mantissa_bits = 10 : i32}> : (tensor<3x2x2x6xf32>) -> tensor<3x2x2x6xf32>
