// RUN: xdsl-opt %s --split-input-file | filecheck %s
// RUN: xdsl-opt %s --split-input-file | xdsl-opt --split-input-file | filecheck %s

// Every op and attribute of the dialect is read in the generic form, with upstream's property names, and printed
// in the same form, so that other MLIR tools can read what a pass leaves behind.

// A constant is the first op on purpose: its literal is read right although nothing of the dialect was loaded before.
// CHECK: "stablehlo.constant"() <{value = dense<0xff800000> : tensor<f32>}> : () -> tensor<f32>
%inf = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>

// -----

%x, %y, %b, %n, %p = "test.op"() : () -> (tensor<2x3xf32>, tensor<2x3xf32>, tensor<2x3xi1>, tensor<2x3xi32>, tensor<i1>)

// Functions of one operand.
// CHECK: "stablehlo.abs"(%{{.*}}) : (tensor<2x3xf32>) -> tensor<2x3xf32>
"stablehlo.abs"(%x) : (tensor<2x3xf32>) -> tensor<2x3xf32>
// CHECK-NEXT: "stablehlo.cbrt"
"stablehlo.cbrt"(%x) : (tensor<2x3xf32>) -> tensor<2x3xf32>
// CHECK-NEXT: "stablehlo.ceil"
"stablehlo.ceil"(%x) : (tensor<2x3xf32>) -> tensor<2x3xf32>
// CHECK-NEXT: "stablehlo.cosine"
"stablehlo.cosine"(%x) : (tensor<2x3xf32>) -> tensor<2x3xf32>
// CHECK-NEXT: "stablehlo.exponential"(%{{.*}}) <{result_accuracy = #stablehlo.result_accuracy<atol = 1.000000e-05, ulps = 1, mode = #stablehlo.result_accuracy_mode<TOLERANCE>>}>
"stablehlo.exponential"(%x) <{result_accuracy = #stablehlo.result_accuracy<atol = 1.000000e-05, ulps = 1, mode = #stablehlo.result_accuracy_mode<TOLERANCE>>}> : (tensor<2x3xf32>) -> tensor<2x3xf32>
// CHECK-NEXT: "stablehlo.exponential_minus_one"
"stablehlo.exponential_minus_one"(%x) : (tensor<2x3xf32>) -> tensor<2x3xf32>
// CHECK-NEXT: "stablehlo.floor"
"stablehlo.floor"(%x) : (tensor<2x3xf32>) -> tensor<2x3xf32>
// CHECK-NEXT: "stablehlo.is_finite"(%{{.*}}) : (tensor<2x3xf32>) -> tensor<2x3xi1>
"stablehlo.is_finite"(%x) : (tensor<2x3xf32>) -> tensor<2x3xi1>
// CHECK-NEXT: "stablehlo.log"
"stablehlo.log"(%x) : (tensor<2x3xf32>) -> tensor<2x3xf32>
// CHECK-NEXT: "stablehlo.log_plus_one"
"stablehlo.log_plus_one"(%x) : (tensor<2x3xf32>) -> tensor<2x3xf32>
// CHECK-NEXT: "stablehlo.logistic"
"stablehlo.logistic"(%x) : (tensor<2x3xf32>) -> tensor<2x3xf32>
// CHECK-NEXT: "stablehlo.negate"
"stablehlo.negate"(%x) : (tensor<2x3xf32>) -> tensor<2x3xf32>
// CHECK-NEXT: "stablehlo.not"
"stablehlo.not"(%b) : (tensor<2x3xi1>) -> tensor<2x3xi1>
// CHECK-NEXT: "stablehlo.round_nearest_afz"
"stablehlo.round_nearest_afz"(%x) : (tensor<2x3xf32>) -> tensor<2x3xf32>
// CHECK-NEXT: "stablehlo.round_nearest_even"
"stablehlo.round_nearest_even"(%x) : (tensor<2x3xf32>) -> tensor<2x3xf32>
// CHECK-NEXT: "stablehlo.rsqrt"
"stablehlo.rsqrt"(%x) : (tensor<2x3xf32>) -> tensor<2x3xf32>
// CHECK-NEXT: "stablehlo.sign"
"stablehlo.sign"(%x) : (tensor<2x3xf32>) -> tensor<2x3xf32>
// CHECK-NEXT: "stablehlo.sine"
"stablehlo.sine"(%x) : (tensor<2x3xf32>) -> tensor<2x3xf32>
// CHECK-NEXT: "stablehlo.sqrt"
"stablehlo.sqrt"(%x) : (tensor<2x3xf32>) -> tensor<2x3xf32>
// CHECK-NEXT: "stablehlo.tan"
"stablehlo.tan"(%x) : (tensor<2x3xf32>) -> tensor<2x3xf32>
// CHECK-NEXT: "stablehlo.tanh"
"stablehlo.tanh"(%x) : (tensor<2x3xf32>) -> tensor<2x3xf32>

// Functions of two operands.
// CHECK-NEXT: "stablehlo.add"(%{{.*}}, %{{.*}}) : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x3xf32>
"stablehlo.add"(%x, %y) : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x3xf32>
// CHECK-NEXT: "stablehlo.and"
"stablehlo.and"(%b, %b) : (tensor<2x3xi1>, tensor<2x3xi1>) -> tensor<2x3xi1>
// CHECK-NEXT: "stablehlo.atan2"
"stablehlo.atan2"(%x, %y) : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x3xf32>
// CHECK-NEXT: "stablehlo.divide"
"stablehlo.divide"(%x, %y) : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x3xf32>
// CHECK-NEXT: "stablehlo.maximum"
"stablehlo.maximum"(%x, %y) : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x3xf32>
// CHECK-NEXT: "stablehlo.minimum"
"stablehlo.minimum"(%x, %y) : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x3xf32>
// CHECK-NEXT: "stablehlo.multiply"
"stablehlo.multiply"(%x, %y) : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x3xf32>
// CHECK-NEXT: "stablehlo.or"
"stablehlo.or"(%b, %b) : (tensor<2x3xi1>, tensor<2x3xi1>) -> tensor<2x3xi1>
// CHECK-NEXT: "stablehlo.power"
"stablehlo.power"(%x, %y) : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x3xf32>
// CHECK-NEXT: "stablehlo.remainder"
"stablehlo.remainder"(%x, %y) : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x3xf32>
// CHECK-NEXT: "stablehlo.shift_left"
"stablehlo.shift_left"(%n, %n) : (tensor<2x3xi32>, tensor<2x3xi32>) -> tensor<2x3xi32>
// CHECK-NEXT: "stablehlo.shift_right_arithmetic"
"stablehlo.shift_right_arithmetic"(%n, %n) : (tensor<2x3xi32>, tensor<2x3xi32>) -> tensor<2x3xi32>
// CHECK-NEXT: "stablehlo.shift_right_logical"
"stablehlo.shift_right_logical"(%n, %n) : (tensor<2x3xi32>, tensor<2x3xi32>) -> tensor<2x3xi32>
// CHECK-NEXT: "stablehlo.subtract"
"stablehlo.subtract"(%x, %y) : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x3xf32>
// CHECK-NEXT: "stablehlo.xor"
"stablehlo.xor"(%b, %b) : (tensor<2x3xi1>, tensor<2x3xi1>) -> tensor<2x3xi1>

// Conversions, comparisons, selections.
// CHECK-NEXT: "stablehlo.convert"(%{{.*}}) : (tensor<2x3xf32>) -> tensor<2x3xbf16>
"stablehlo.convert"(%x) : (tensor<2x3xf32>) -> tensor<2x3xbf16>
// CHECK-NEXT: "stablehlo.bitcast_convert"(%{{.*}}) : (tensor<2x3xf32>) -> tensor<2x3x2xi16>
"stablehlo.bitcast_convert"(%x) : (tensor<2x3xf32>) -> tensor<2x3x2xi16>
// CHECK-NEXT: "stablehlo.compare"(%{{.*}}) <{compare_type = #stablehlo<comparison_type FLOAT>, comparison_direction = #stablehlo<comparison_direction GE>}>
"stablehlo.compare"(%x, %y) <{compare_type = #stablehlo<comparison_type FLOAT>, comparison_direction = #stablehlo<comparison_direction GE>}> : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x3xi1>
// CHECK-NEXT: "stablehlo.compare"(%{{.*}}) <{comparison_direction = #stablehlo<comparison_direction EQ>}>
"stablehlo.compare"(%n, %n) <{comparison_direction = #stablehlo<comparison_direction EQ>}> : (tensor<2x3xi32>, tensor<2x3xi32>) -> tensor<2x3xi1>
// CHECK-NEXT: "stablehlo.select"(%{{.*}}) : (tensor<i1>, tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x3xf32>
"stablehlo.select"(%p, %x, %y) : (tensor<i1>, tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x3xf32>
// CHECK-NEXT: "stablehlo.clamp"
"stablehlo.clamp"(%x, %y, %x) : (tensor<2x3xf32>, tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x3xf32>

// -----

%x, %s, %i, %shape, %d = "test.op"() : () -> (tensor<2x3xf32>, tensor<f32>, tensor<i64>, tensor<2xi64>, tensor<?x3xf32>)

// Shapes. Dynamic dimensions fit any size.
// CHECK: "stablehlo.iota"() <{iota_dimension = 1 : i64}> : () -> tensor<2x3xi32>
"stablehlo.iota"() <{iota_dimension = 1 : i64}> : () -> tensor<2x3xi32>
// CHECK-NEXT: "stablehlo.dynamic_iota"(%{{.*}}) <{iota_dimension = 0 : i64}> : (tensor<2xi64>) -> tensor<?x3xi32>
"stablehlo.dynamic_iota"(%shape) <{iota_dimension = 0 : i64}> : (tensor<2xi64>) -> tensor<?x3xi32>
// CHECK-NEXT: "stablehlo.get_dimension_size"(%{{.*}}) <{dimension = 0 : i64}> : (tensor<?x3xf32>) -> tensor<i32>
"stablehlo.get_dimension_size"(%d) <{dimension = 0 : i64}> : (tensor<?x3xf32>) -> tensor<i32>
// CHECK-NEXT: "stablehlo.broadcast_in_dim"(%{{.*}}) <{broadcast_dimensions = array<i64: 0, 2>}> : (tensor<2x3xf32>) -> tensor<2x4x3xf32>
"stablehlo.broadcast_in_dim"(%x) <{broadcast_dimensions = array<i64: 0, 2>}> : (tensor<2x3xf32>) -> tensor<2x4x3xf32>
// CHECK-NEXT: "stablehlo.broadcast_in_dim"(%{{.*}}) <{broadcast_dimensions = array<i64>}> : (tensor<f32>) -> tensor<2x3xf32>
"stablehlo.broadcast_in_dim"(%s) <{broadcast_dimensions = array<i64>}> : (tensor<f32>) -> tensor<2x3xf32>
// CHECK-NEXT: "stablehlo.dynamic_broadcast_in_dim"(%{{.*}}) <{broadcast_dimensions = array<i64: 0, 1>}> : (tensor<?x3xf32>, tensor<2xi64>) -> tensor<?x3xf32>
"stablehlo.dynamic_broadcast_in_dim"(%d, %shape) <{broadcast_dimensions = array<i64: 0, 1>}> : (tensor<?x3xf32>, tensor<2xi64>) -> tensor<?x3xf32>
// CHECK-NEXT: "stablehlo.reshape"(%{{.*}}) : (tensor<2x3xf32>) -> tensor<6x1xf32>
"stablehlo.reshape"(%x) : (tensor<2x3xf32>) -> tensor<6x1xf32>
// CHECK-NEXT: "stablehlo.dynamic_reshape"(%{{.*}}) : (tensor<?x3xf32>, tensor<2xi64>) -> tensor<3x?xf32>
"stablehlo.dynamic_reshape"(%d, %shape) : (tensor<?x3xf32>, tensor<2xi64>) -> tensor<3x?xf32>
// CHECK-NEXT: "stablehlo.transpose"(%{{.*}}) <{permutation = array<i64: 1, 0>}> : (tensor<?x3xf32>) -> tensor<3x?xf32>
"stablehlo.transpose"(%d) <{permutation = array<i64: 1, 0>}> : (tensor<?x3xf32>) -> tensor<3x?xf32>
// CHECK-NEXT: "stablehlo.reverse"(%{{.*}}) <{dimensions = array<i64: 1>}> : (tensor<2x3xf32>) -> tensor<2x3xf32>
"stablehlo.reverse"(%x) <{dimensions = array<i64: 1>}> : (tensor<2x3xf32>) -> tensor<2x3xf32>
// CHECK-NEXT: "stablehlo.concatenate"(%{{.*}}) <{dimension = 0 : i64}> : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<4x3xf32>
"stablehlo.concatenate"(%x, %x) <{dimension = 0 : i64}> : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<4x3xf32>
// CHECK-NEXT: "stablehlo.pad"(%{{.*}}) <{edge_padding_high = array<i64: 0, -1>, edge_padding_low = array<i64: 1, 0>, interior_padding = array<i64: 0, 2>}> : (tensor<2x3xf32>, tensor<f32>) -> tensor<3x6xf32>
"stablehlo.pad"(%x, %s) <{edge_padding_high = array<i64: 0, -1>, edge_padding_low = array<i64: 1, 0>, interior_padding = array<i64: 0, 2>}> : (tensor<2x3xf32>, tensor<f32>) -> tensor<3x6xf32>

// Products. Fields of the dimension numbers that are empty are left out.
// CHECK-NEXT: "stablehlo.dot_general"(%{{.*}}) <{dot_dimension_numbers = #stablehlo.dot<lhs_contracting_dimensions = [1], rhs_contracting_dimensions = [1]>, precision_config = [#stablehlo<precision DEFAULT>, #stablehlo<precision HIGHEST>]}>
"stablehlo.dot_general"(%x, %x) <{dot_dimension_numbers = #stablehlo.dot<lhs_contracting_dimensions = [1], rhs_contracting_dimensions = [1]>, precision_config = [#stablehlo<precision DEFAULT>, #stablehlo<precision HIGHEST>]}> : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x2xf32>
// CHECK-NEXT: "stablehlo.dot_general"(%{{.*}}) <{algorithm = #stablehlo.dot_algorithm<lhs_precision_type = bf16, rhs_precision_type = bf16, accumulation_type = f32, lhs_component_count = 1, rhs_component_count = 1, num_primitive_operations = 1, allow_imprecise_accumulation = false>, dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0], rhs_batching_dimensions = [0], lhs_contracting_dimensions = [1], rhs_contracting_dimensions = [1]>}>
"stablehlo.dot_general"(%x, %x) <{algorithm = #stablehlo.dot_algorithm<lhs_precision_type = bf16, rhs_precision_type = bf16, accumulation_type = f32, lhs_component_count = 1, rhs_component_count = 1, num_primitive_operations = 1, allow_imprecise_accumulation = false>, dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0], rhs_batching_dimensions = [0], lhs_contracting_dimensions = [1], rhs_contracting_dimensions = [1]>}> : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2xf32>

// Parts of tensors.
// CHECK-NEXT: "stablehlo.slice"(%{{.*}}) <{limit_indices = array<i64: 2, 3>, start_indices = array<i64: 0, 0>, strides = array<i64: 1, 2>}> : (tensor<2x3xf32>) -> tensor<2x2xf32>
"stablehlo.slice"(%x) <{limit_indices = array<i64: 2, 3>, start_indices = array<i64: 0, 0>, strides = array<i64: 1, 2>}> : (tensor<2x3xf32>) -> tensor<2x2xf32>
// CHECK-NEXT: "stablehlo.dynamic_slice"(%{{.*}}) <{slice_sizes = array<i64: 1, 2>}> : (tensor<2x3xf32>, tensor<i64>, tensor<i64>) -> tensor<1x2xf32>
%u = "stablehlo.dynamic_slice"(%x, %i, %i) <{slice_sizes = array<i64: 1, 2>}> : (tensor<2x3xf32>, tensor<i64>, tensor<i64>) -> tensor<1x2xf32>
// CHECK-NEXT: "stablehlo.dynamic_update_slice"(%{{.*}}) : (tensor<2x3xf32>, tensor<1x2xf32>, tensor<i64>, tensor<i64>) -> tensor<2x3xf32>
"stablehlo.dynamic_update_slice"(%x, %u, %i, %i) : (tensor<2x3xf32>, tensor<1x2xf32>, tensor<i64>, tensor<i64>) -> tensor<2x3xf32>
// CHECK-NEXT: "stablehlo.gather"(%{{.*}}) <{dimension_numbers = #stablehlo.gather<offset_dims = [1], collapsed_slice_dims = [0], start_index_map = [0], index_vector_dim = 1>, indices_are_sorted = false, slice_sizes = array<i64: 1, 3>}> : (tensor<2x3xf32>, tensor<2xi64>) -> tensor<2x3xf32>
"stablehlo.gather"(%x, %shape) <{dimension_numbers = #stablehlo.gather<offset_dims = [1], collapsed_slice_dims = [0], start_index_map = [0], index_vector_dim = 1>, indices_are_sorted = false, slice_sizes = array<i64: 1, 3>}> : (tensor<2x3xf32>, tensor<2xi64>) -> tensor<2x3xf32>
// CHECK-NEXT: "stablehlo.scatter"(%{{.*}}) <{scatter_dimension_numbers = #stablehlo.scatter<update_window_dims = [1], inserted_window_dims = [0], scatter_dims_to_operand_dims = [0], index_vector_dim = 1>, unique_indices = true}> ({
"stablehlo.scatter"(%x, %shape, %x) <{scatter_dimension_numbers = #stablehlo.scatter<update_window_dims = [1], inserted_window_dims = [0], scatter_dims_to_operand_dims = [0], index_vector_dim = 1>, unique_indices = true}> ({
^bb0(%old: tensor<f32>, %new: tensor<f32>):
  "stablehlo.return"(%new) : (tensor<f32>) -> ()
}) : (tensor<2x3xf32>, tensor<2xi64>, tensor<2x3xf32>) -> tensor<2x3xf32>

// -----

%x, %s, %b, %i, %c = "test.op"() : () -> (tensor<2x3xf32>, tensor<f32>, tensor<i1>, tensor<i32>, tensor<2xi1>)

// Regions.
// CHECK: "stablehlo.reduce"(%{{.*}}, %{{.*}}) <{dimensions = array<i64: 1>}> ({
// CHECK-NEXT: ^bb0(%{{.*}}: tensor<f32>, %{{.*}}: tensor<f32>):
// CHECK-NEXT:   "stablehlo.add"
// CHECK-NEXT:   "stablehlo.return"(%{{.*}}) : (tensor<f32>) -> ()
// CHECK-NEXT: }) : (tensor<2x3xf32>, tensor<f32>) -> tensor<2xf32>
"stablehlo.reduce"(%x, %s) <{dimensions = array<i64: 1>}> ({
^bb0(%lhs: tensor<f32>, %rhs: tensor<f32>):
  %sum = "stablehlo.add"(%lhs, %rhs) : (tensor<f32>, tensor<f32>) -> tensor<f32>
  "stablehlo.return"(%sum) : (tensor<f32>) -> ()
}) : (tensor<2x3xf32>, tensor<f32>) -> tensor<2xf32>
// CHECK: "stablehlo.reduce_window"(%{{.*}}) <{padding = dense<{{\[\[}}0, 0], [2, 0{{\]\]}}> : tensor<2x2xi64>, window_dilations = array<i64: 1, 1>, window_dimensions = array<i64: 1, 3>, window_strides = array<i64: 1, 1>}> ({
"stablehlo.reduce_window"(%x, %s) <{padding = dense<[[0, 0], [2, 0]]> : tensor<2x2xi64>, window_dilations = array<i64: 1, 1>, window_dimensions = array<i64: 1, 3>, window_strides = array<i64: 1, 1>}> ({
^bb0(%lhs: tensor<f32>, %rhs: tensor<f32>):
  %sum = "stablehlo.add"(%lhs, %rhs) : (tensor<f32>, tensor<f32>) -> tensor<f32>
  "stablehlo.return"(%sum) : (tensor<f32>) -> ()
}) : (tensor<2x3xf32>, tensor<f32>) -> tensor<2x3xf32>
// CHECK: "stablehlo.sort"(%{{.*}}) <{dimension = 1 : i64, is_stable = true}> ({
"stablehlo.sort"(%x) <{dimension = 1 : i64, is_stable = true}> ({
^bb0(%lhs: tensor<f32>, %rhs: tensor<f32>):
  %less = "stablehlo.compare"(%lhs, %rhs) <{comparison_direction = #stablehlo<comparison_direction LT>}> : (tensor<f32>, tensor<f32>) -> tensor<i1>
  "stablehlo.return"(%less) : (tensor<i1>) -> ()
}) : (tensor<2x3xf32>) -> tensor<2x3xf32>
// CHECK: "stablehlo.while"(%{{.*}}) ({
// CHECK: }, {
// CHECK: }) : (tensor<i1>) -> tensor<i1>
"stablehlo.while"(%b) ({
^bb0(%go: tensor<i1>):
  "stablehlo.return"(%go) : (tensor<i1>) -> ()
}, {
^bb0(%go: tensor<i1>):
  "stablehlo.return"(%go) : (tensor<i1>) -> ()
}) : (tensor<i1>) -> tensor<i1>
// CHECK: "stablehlo.if"(%{{.*}}) ({
"stablehlo.if"(%b) ({
  "stablehlo.return"(%x) : (tensor<2x3xf32>) -> ()
}, {
  "stablehlo.return"(%x) : (tensor<2x3xf32>) -> ()
}) : (tensor<i1>) -> tensor<2x3xf32>
// CHECK: "stablehlo.case"(%{{.*}}) ({
"stablehlo.case"(%i) ({
  "stablehlo.return"(%x) : (tensor<2x3xf32>) -> ()
}, {
  "stablehlo.return"(%x) : (tensor<2x3xf32>) -> ()
}, {
  "stablehlo.return"(%x) : (tensor<2x3xf32>) -> ()
}) : (tensor<i32>) -> tensor<2x3xf32>

// Ops that stand for something else.
// CHECK: "stablehlo.optimization_barrier"(%{{.*}}, %{{.*}}) : (tensor<2x3xf32>, tensor<f32>) -> (tensor<2x3xf32>, tensor<f32>)
"stablehlo.optimization_barrier"(%x, %s) : (tensor<2x3xf32>, tensor<f32>) -> (tensor<2x3xf32>, tensor<f32>)
// CHECK-NEXT: "stablehlo.composite"(%{{.*}}) <{composite_attributes = {n = 1 : i64}, decomposition = @impl, name = "my.op", version = 1 : i32}> : (tensor<2x3xf32>) -> tensor<2x3xf32>
"stablehlo.composite"(%x) <{composite_attributes = {n = 1 : i64}, decomposition = @impl, name = "my.op", version = 1 : i32}> : (tensor<2x3xf32>) -> tensor<2x3xf32>
// CHECK-NEXT: "stablehlo.custom_call"(%{{.*}}) <{api_version = 4 : i32, backend_config = {k = "v"}, call_target_name = "target", has_side_effect = true}> : (tensor<2x3xf32>) -> tensor<f32>
"stablehlo.custom_call"(%x) <{api_version = 4 : i32, backend_config = {k = "v"}, call_target_name = "target", has_side_effect = true}> : (tensor<2x3xf32>) -> tensor<f32>

// The decomposition of the composite above.
func.func private @impl(tensor<2x3xf32>) -> tensor<2x3xf32>
