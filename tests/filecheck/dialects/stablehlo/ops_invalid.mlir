// RUN: xdsl-opt %s --verify-diagnostics --split-input-file | filecheck %s

// What the StableHLO specification demands of types and shapes, and the messages that say what is wrong.

// CHECK: value has type tensor<2xf32>, but expected tensor<3xf32>
"stablehlo.constant"() <{value = dense<0.0> : tensor<2xf32>}> : () -> tensor<3xf32>

// -----

%a, %b = "test.op"() : () -> (tensor<2xf32>, tensor<2xf16>)
// CHECK: rhs has type tensor<2xf16>, but expected tensor<2xf32>
"stablehlo.add"(%a, %b) : (tensor<2xf32>, tensor<2xf16>) -> tensor<2xf32>

// -----

%a = "test.op"() : () -> tensor<2xi32>
// CHECK: element type i32 is not one of the supported kinds: float, complex
"stablehlo.exponential"(%a) : (tensor<2xi32>) -> tensor<2xi32>

// -----

%a = "test.op"() : () -> tensor<2x?xf32>
// CHECK: result has shape [3, 4], but expected [2, ?]
"stablehlo.convert"(%a) : (tensor<2x?xf32>) -> tensor<3x4xf16>

// -----

%a = "test.op"() : () -> tensor<2xf32>
// CHECK: result has element type i8, but expected i1
"stablehlo.compare"(%a, %a) <{comparison_direction = #stablehlo<comparison_direction LT>}> : (tensor<2xf32>, tensor<2xf32>) -> tensor<2xi8>

// -----

%a = "test.op"() : () -> tensor<2xf32>
// CHECK: compare_type SIGNED does not fit element type f32
"stablehlo.compare"(%a, %a) <{comparison_direction = #stablehlo<comparison_direction LT>, compare_type = #stablehlo<comparison_type SIGNED>}> : (tensor<2xf32>, tensor<2xf32>) -> tensor<2xi1>

// -----

%p, %a = "test.op"() : () -> (tensor<3xi1>, tensor<2xf32>)
// CHECK: pred has shape [3], but expected [2]
"stablehlo.select"(%p, %a, %a) : (tensor<3xi1>, tensor<2xf32>, tensor<2xf32>) -> tensor<2xf32>

// -----

// CHECK: iota_dimension 1 is out of range for rank 1
"stablehlo.iota"() <{iota_dimension = 1 : i64}> : () -> tensor<4xi32>

// -----

%a = "test.op"() : () -> tensor<2x3xf32>
// CHECK: operand dimension 0 of size 2 cannot be broadcast to result dimension 1 of size 4
"stablehlo.broadcast_in_dim"(%a) <{broadcast_dimensions = array<i64: 1, 2>}> : (tensor<2x3xf32>) -> tensor<5x4x3xf32>

// -----

%a = "test.op"() : () -> tensor<2x3xf32>
// CHECK: expected 2 broadcast dimensions, but got 1
"stablehlo.broadcast_in_dim"(%a) <{broadcast_dimensions = array<i64: 1>}> : (tensor<2x3xf32>) -> tensor<2x3xf32>

// -----

%a = "test.op"() : () -> tensor<2x3xf32>
// CHECK: result of shape [7] has 7 elements, but operand of shape [2, 3] has 6
"stablehlo.reshape"(%a) : (tensor<2x3xf32>) -> tensor<7xf32>

// -----

%a = "test.op"() : () -> tensor<2x3xf32>
// CHECK: permutation [0, 0] does not list each dimension of rank 2 once
"stablehlo.transpose"(%a) <{permutation = array<i64: 0, 0>}> : (tensor<2x3xf32>) -> tensor<2x2xf32>

// -----

%a = "test.op"() : () -> tensor<2x3xf32>
// CHECK: result has shape [2, 3], but expected [3, 2]
"stablehlo.transpose"(%a) <{permutation = array<i64: 1, 0>}> : (tensor<2x3xf32>) -> tensor<2x3xf32>

// -----

%a, %b = "test.op"() : () -> (tensor<2x3xf32>, tensor<2x4xf32>)
// CHECK: input 1 has shape [2, 4], but expected [2, 3]
"stablehlo.concatenate"(%a, %b) <{dimension = 0 : i64}> : (tensor<2x3xf32>, tensor<2x4xf32>) -> tensor<4x3xf32>

// -----

%a, %b = "test.op"() : () -> (tensor<2x3xf32>, tensor<2x4xf32>)
// CHECK: result has shape [2, 8], but expected [2, 7]
"stablehlo.concatenate"(%a, %b) <{dimension = 1 : i64}> : (tensor<2x3xf32>, tensor<2x4xf32>) -> tensor<2x8xf32>

// -----

%a = "test.op"() : () -> tensor<2x3xf32>
// CHECK: slice 1 to 4 of dimension 1 is out of range for shape [2, 3]
"stablehlo.slice"(%a) <{start_indices = array<i64: 0, 1>, limit_indices = array<i64: 2, 4>, strides = array<i64: 1, 1>}> : (tensor<2x3xf32>) -> tensor<2x3xf32>

// -----

%a = "test.op"() : () -> tensor<2x3xf32>
// CHECK: result has shape [2, 3], but expected [2, 2]
"stablehlo.slice"(%a) <{start_indices = array<i64: 0, 0>, limit_indices = array<i64: 2, 3>, strides = array<i64: 1, 2>}> : (tensor<2x3xf32>) -> tensor<2x3xf32>

// -----

%a, %s = "test.op"() : () -> (tensor<2x3xf32>, tensor<f32>)
// CHECK: result has shape [2, 3], but expected [3, 3]
"stablehlo.pad"(%a, %s) <{edge_padding_low = array<i64: 1, 0>, edge_padding_high = array<i64: 0, 0>, interior_padding = array<i64: 0, 0>}> : (tensor<2x3xf32>, tensor<f32>) -> tensor<2x3xf32>

// -----

%a, %b = "test.op"() : () -> (tensor<2x3xf32>, tensor<4x5xf32>)
// CHECK: contracting dimension 0 of rhs has size 4, but dimension 1 of lhs has size 3
"stablehlo.dot_general"(%a, %b) <{dot_dimension_numbers = #stablehlo.dot<lhs_contracting_dimensions = [1], rhs_contracting_dimensions = [0]>}> : (tensor<2x3xf32>, tensor<4x5xf32>) -> tensor<2x5xf32>

// -----

%a, %b = "test.op"() : () -> (tensor<2x3xf32>, tensor<2x3xf32>)
// CHECK: result has shape [3, 3], but expected [2, 3, 3]
"stablehlo.dot_general"(%a, %b) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0], rhs_batching_dimensions = [0]>}> : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<3x3xf32>

// -----

%a, %b = "test.op"() : () -> (tensor<2x3xf32>, tensor<2x3xf32>)
// CHECK: lhs dimension must be unique, but got [1, 1]
"stablehlo.dot_general"(%a, %b) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [1], rhs_batching_dimensions = [1], lhs_contracting_dimensions = [1], rhs_contracting_dimensions = [0]>}> : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<3x2xf32>

// -----

%a, %i = "test.op"() : () -> (tensor<2x3xf32>, tensor<i64>)
// CHECK: expected 2 start indices, but got 1
"stablehlo.dynamic_slice"(%a, %i) <{slice_sizes = array<i64: 1, 1>}> : (tensor<2x3xf32>, tensor<i64>) -> tensor<1x1xf32>

// -----

%a, %u, %i = "test.op"() : () -> (tensor<2x3xf32>, tensor<3x3xf32>, tensor<i64>)
// CHECK: update [3, 3] is larger than shape [2, 3]
"stablehlo.dynamic_update_slice"(%a, %u, %i, %i) : (tensor<2x3xf32>, tensor<3x3xf32>, tensor<i64>, tensor<i64>) -> tensor<2x3xf32>

// -----

%a, %i = "test.op"() : () -> (tensor<2x3xf32>, tensor<4x2xi64>)
// CHECK: index vectors have 2 entries, but 1 dimensions are indexed
"stablehlo.gather"(%a, %i) <{dimension_numbers = #stablehlo.gather<offset_dims = [1], collapsed_slice_dims = [0], start_index_map = [0], index_vector_dim = 1>, slice_sizes = array<i64: 1, 3>}> : (tensor<2x3xf32>, tensor<4x2xi64>) -> tensor<4x3xf32>

// -----

%a, %i = "test.op"() : () -> (tensor<2x3xf32>, tensor<4xi64>)
// CHECK: result has shape [4, 2], but expected [4, 3]
"stablehlo.gather"(%a, %i) <{dimension_numbers = #stablehlo.gather<offset_dims = [1], collapsed_slice_dims = [0], start_index_map = [0], index_vector_dim = 1>, slice_sizes = array<i64: 1, 3>}> : (tensor<2x3xf32>, tensor<4xi64>) -> tensor<4x2xf32>

// -----

%a, %s = "test.op"() : () -> (tensor<2x3xf32>, tensor<f32>)
// CHECK: result 0 has shape [3], but expected [2]
"stablehlo.reduce"(%a, %s) <{dimensions = array<i64: 1>}> ({
^bb0(%lhs: tensor<f32>, %rhs: tensor<f32>):
  "stablehlo.return"(%lhs) : (tensor<f32>) -> ()
}) : (tensor<2x3xf32>, tensor<f32>) -> tensor<3xf32>

// -----

%a, %s = "test.op"() : () -> (tensor<2x3xf32>, tensor<f32>)
// CHECK: argument 1 of the body has shape [2], but expected []
"stablehlo.reduce"(%a, %s) <{dimensions = array<i64: 1>}> ({
^bb0(%lhs: tensor<f32>, %rhs: tensor<2xf32>):
  "stablehlo.return"(%lhs) : (tensor<f32>) -> ()
}) : (tensor<2x3xf32>, tensor<f32>) -> tensor<2xf32>

// -----

%a, %s = "test.op"() : () -> (tensor<2x3xf32>, tensor<f32>)
// CHECK: result 0 has shape [2, 3], but expected [2, 2]
"stablehlo.reduce_window"(%a, %s) <{window_dimensions = array<i64: 1, 2>}> ({
^bb0(%lhs: tensor<f32>, %rhs: tensor<f32>):
  "stablehlo.return"(%lhs) : (tensor<f32>) -> ()
}) : (tensor<2x3xf32>, tensor<f32>) -> tensor<2x3xf32>

// -----

%a = "test.op"() : () -> tensor<2xf32>
// CHECK: result of cond 0 has type tensor<2xf32>, but expected tensor<i1>
"stablehlo.while"(%a) ({
^bb0(%x: tensor<2xf32>):
  "stablehlo.return"(%x) : (tensor<2xf32>) -> ()
}, {
^bb0(%x: tensor<2xf32>):
  "stablehlo.return"(%x) : (tensor<2xf32>) -> ()
}) : (tensor<2xf32>) -> tensor<2xf32>

// -----

func.func private @impl(tensor<2xf32>) -> tensor<2xf32>
%a = "test.op"() : () -> tensor<2xf32>
// CHECK: name "attention" must have a namespace: "my.attention"
"stablehlo.composite"(%a) <{decomposition = @impl, name = "attention"}> : (tensor<2xf32>) -> tensor<2xf32>

// -----

%a = "test.op"() : () -> tensor<2xf32>
// CHECK: decomposition @impl must be a function, but got no symbol of that name
"stablehlo.composite"(%a) <{decomposition = @impl, name = "my.op"}> : (tensor<2xf32>) -> tensor<2xf32>

// -----

func.func private @impl(tensor<3xf32>) -> tensor<2xf32>
%a = "test.op"() : () -> tensor<2xf32>
// CHECK: input 0 has type tensor<2xf32>, but expected tensor<3xf32>
"stablehlo.composite"(%a) <{decomposition = @impl, name = "my.op"}> : (tensor<2xf32>) -> tensor<2xf32>

// -----

func.func private @impl(tensor<2xf32>) -> tensor<2xf32>
%a = "test.op"() : () -> tensor<2xf32>
// CHECK: expected 1 results, but got 2
"stablehlo.composite"(%a) <{decomposition = @impl, name = "my.op"}> : (tensor<2xf32>) -> (tensor<2xf32>, tensor<2xf32>)
