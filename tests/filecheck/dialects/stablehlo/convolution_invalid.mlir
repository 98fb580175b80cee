// RUN: xdsl-opt %s --verify-diagnostics --parsing-diagnostics --split-input-file | filecheck %s

// What the StableHLO specification demands of convolution, popcnt and reduce_precision.

%x, %w = "test.op"() : () -> (tensor<2x3x6xf32>, tensor<4x2x3xf32>)
// CHECK: lhs has 3 features, but expected 1 groups of 2
"stablehlo.convolution"(%x, %w) <{batch_group_count = 1 : i64, dimension_numbers = #stablehlo.conv<[b, f, 0]x[o, i, 0]->[b, f, 0]>, feature_group_count = 1 : i64}> : (tensor<2x3x6xf32>, tensor<4x2x3xf32>) -> tensor<2x4x4xf32>

// -----

%x, %w = "test.op"() : () -> (tensor<2x4x6xf32>, tensor<4x2x3xf32>)
// CHECK: result has shape [2, 4, 6], but expected [2, 4, 4]
"stablehlo.convolution"(%x, %w) <{batch_group_count = 1 : i64, dimension_numbers = #stablehlo.conv<[b, f, 0]x[o, i, 0]->[b, f, 0]>, feature_group_count = 2 : i64}> : (tensor<2x4x6xf32>, tensor<4x2x3xf32>) -> tensor<2x4x6xf32>

// -----

%x, %w = "test.op"() : () -> (tensor<2x4x6xf32>, tensor<4x2x3xf32>)
// CHECK: one of feature_group_count and batch_group_count must be 1, and the other at least 1, but got 2 and 2
"stablehlo.convolution"(%x, %w) <{batch_group_count = 2 : i64, dimension_numbers = #stablehlo.conv<[b, f, 0]x[o, i, 0]->[b, f, 0]>, feature_group_count = 2 : i64}> : (tensor<2x4x6xf32>, tensor<4x2x3xf32>) -> tensor<1x4x4xf32>

// -----

%x, %w = "test.op"() : () -> (tensor<3x2x6xf32>, tensor<4x2x3xf32>)
// CHECK: batch of lhs of size 3 cannot be divided into 2 groups
"stablehlo.convolution"(%x, %w) <{batch_group_count = 2 : i64, dimension_numbers = #stablehlo.conv<[b, f, 0]x[o, i, 0]->[b, f, 0]>, feature_group_count = 1 : i64}> : (tensor<3x2x6xf32>, tensor<4x2x3xf32>) -> tensor<1x4x4xf32>

// -----

%x, %w = "test.op"() : () -> (tensor<2x2x6xf32>, tensor<4x2x3xf32>)
// CHECK: window_strides must be at least 1, but got [0]
"stablehlo.convolution"(%x, %w) <{batch_group_count = 1 : i64, dimension_numbers = #stablehlo.conv<[b, f, 0]x[o, i, 0]->[b, f, 0]>, feature_group_count = 1 : i64, window_strides = array<i64: 0>}> : (tensor<2x2x6xf32>, tensor<4x2x3xf32>) -> tensor<2x4x4xf32>

// -----

%x, %w = "test.op"() : () -> (tensor<2x2x6xf32>, tensor<4x2xf32>)
// CHECK: expected 3 dimensions of rhs, but got 2
"stablehlo.convolution"(%x, %w) <{batch_group_count = 1 : i64, dimension_numbers = #stablehlo.conv<[b, f, 0]x[o, i, 0]->[b, f, 0]>, feature_group_count = 1 : i64}> : (tensor<2x2x6xf32>, tensor<4x2xf32>) -> tensor<2x4x4xf32>

// -----

// CHECK: expected the roles b, f, 0, 1 once each
"test.op"() {numbers = #stablehlo.conv<[b, f, 0, 0]x[o, i, 0, 1]->[b, f, 0, 1]>} : () -> ()

// -----

%x = "test.op"() : () -> tensor<2xf32>
// CHECK: element type f32 is not one of the supported kinds: integer
"stablehlo.popcnt"(%x) : (tensor<2xf32>) -> tensor<2xf32>

// -----

%x = "test.op"() : () -> tensor<2xf32>
// CHECK: exponent_bits must be at least 1, but got 0
"stablehlo.reduce_precision"(%x) <{exponent_bits = 0 : i32, mantissa_bits = 3 : i32}> : (tensor<2xf32>) -> tensor<2xf32>
