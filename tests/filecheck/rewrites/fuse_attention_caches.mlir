// RUN: xdsl-opt %s -p fuse-attention | filecheck %s

// What stands before a group is no part of it: the cache that was updated and the pages that were gathered are the
// operands, and views between them and the group become layouts.

// CHECK-LABEL: builtin.module

// A scatter puts a key into the cache of each sequence.
func.func @cache_by_scatter(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %new: tensor<2x4x32xf32>, %pos: tensor<2xi32>) -> tensor<2x4x8x32xf32> {
  %places = "stablehlo.reshape"(%pos) : (tensor<2xi32>) -> tensor<2x1xi32>
  %kc = "stablehlo.scatter"(%k, %places, %new) <{scatter_dimension_numbers = #stablehlo.scatter<update_window_dims = [1, 2], inserted_window_dims = [2], input_batching_dims = [0], scatter_indices_batching_dims = [0], scatter_dims_to_operand_dims = [2], index_vector_dim = 1>, indices_are_sorted = false, unique_indices = true}> ({
  ^bb0(%kc_old: tensor<f32>, %kc_new: tensor<f32>):
    "stablehlo.return"(%kc_new) : (tensor<f32>) -> ()
  }) : (tensor<2x4x16x32xf32>, tensor<2x1xi32>, tensor<2x4x32xf32>) -> tensor<2x4x16x32xf32>
  %s = func.call @qk(%q, %kc) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %top_start = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%s, %top_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%top_a: tensor<f32>, %top_b: tensor<f32>):
    %top_c = "stablehlo.maximum"(%top_a, %top_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%top_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %top_keys = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %e_x = "stablehlo.subtract"(%s, %top_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
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

// CHECK-LABEL: func.func @cache_by_scatter
// CHECK-NEXT: %places = "stablehlo.reshape"(%pos) : (tensor<2xi32>) -> tensor<2x1xi32>
// CHECK-NEXT: %kc = "stablehlo.scatter"(%k, %places, %new) <{scatter_dimension_numbers = #stablehlo.scatter<update_window_dims = [1, 2], inserted_window_dims = [2], input_batching_dims = [0], scatter_indices_batching_dims = [0], scatter_dims_to_operand_dims = [2], index_vector_dim = 1>, indices_are_sorted = false, unique_indices = true}> ({
// CHECK-NEXT: ^bb0(%kc_old: tensor<f32>, %kc_new: tensor<f32>):
// CHECK-NEXT: "stablehlo.return"(%kc_new) : (tensor<f32>) -> ()
// CHECK-NEXT: }) : (tensor<2x4x16x32xf32>, tensor<2x1xi32>, tensor<2x4x32xf32>) -> tensor<2x4x16x32xf32>
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%kc[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%v[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

// dynamic_update_slice puts a key and a value into the caches, which are results as well.
func.func @cache_by_update(%q: tensor<2x4x8x32xf32>, %k: tensor<2x4x16x32xf32>, %v: tensor<2x4x16x32xf32>, %new2: tensor<2x4x1x32xf32>, %at: tensor<i32>) -> (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>, tensor<2x4x16x32xf32>) {
  %zero_ = "stablehlo.constant"() <{value = dense<0> : tensor<i32>}> : () -> tensor<i32>
  %kc = "stablehlo.dynamic_update_slice"(%k, %new2, %zero_, %zero_, %at, %zero_) : (tensor<2x4x16x32xf32>, tensor<2x4x1x32xf32>, tensor<i32>, tensor<i32>, tensor<i32>, tensor<i32>) -> tensor<2x4x16x32xf32>
  %vc = "stablehlo.dynamic_update_slice"(%v, %new2, %zero_, %zero_, %at, %zero_) : (tensor<2x4x16x32xf32>, tensor<2x4x1x32xf32>, tensor<i32>, tensor<i32>, tensor<i32>, tensor<i32>) -> tensor<2x4x16x32xf32>
  %s = func.call @qk(%q, %kc) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %top_start = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%s, %top_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%top_a: tensor<f32>, %top_b: tensor<f32>):
    %top_c = "stablehlo.maximum"(%top_a, %top_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%top_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %top_keys = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %e_x = "stablehlo.subtract"(%s, %top_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%e_x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sum_start = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %sum_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%sum_a: tensor<f32>, %sum_b: tensor<f32>):
    %sum_c = "stablehlo.add"(%sum_a, %sum_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%sum_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %sum_keys = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%e, %sum_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %vc) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o, %kc, %vc : tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>, tensor<2x4x16x32xf32>
}

// CHECK-LABEL: func.func @cache_by_update
// CHECK-NEXT: %zero_ = "stablehlo.constant"() <{value = dense<0> : tensor<i32>}> : () -> tensor<i32>
// CHECK-NEXT: %kc = "stablehlo.dynamic_update_slice"(%k, %new2, %zero_, %zero_, %at, %zero_) : (tensor<2x4x16x32xf32>, tensor<2x4x1x32xf32>, tensor<i32>, tensor<i32>, tensor<i32>, tensor<i32>) -> tensor<2x4x16x32xf32>
// CHECK-NEXT: %vc = "stablehlo.dynamic_update_slice"(%v, %new2, %zero_, %zero_, %at, %zero_) : (tensor<2x4x16x32xf32>, tensor<2x4x1x32xf32>, tensor<i32>, tensor<i32>, tensor<i32>, tensor<i32>) -> tensor<2x4x16x32xf32>
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%kc[b, h, n, k] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: v(%vc[b, h, n, d] : tensor<2x4x16x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o, %kc, %vc : tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>, tensor<2x4x16x32xf32>

// Pages of a pool are gathered by a block table: page, slot, head. They are laid one after the other, and read in place.
func.func @paged_gather(%q: tensor<2x4x8x32xf32>, %pool: tensor<6x4x4x32xf32>, %vpool: tensor<6x4x4x32xf32>, %table: tensor<2x4xi32>) -> tensor<2x4x8x32xf32> {
  %kp_pages = "stablehlo.gather"(%pool, %table) <{dimension_numbers = #stablehlo.gather<offset_dims = [2, 3, 4], collapsed_slice_dims = [0], start_index_map = [0], index_vector_dim = 2>, indices_are_sorted = false, slice_sizes = array<i64: 1, 4, 4, 32>}> : (tensor<6x4x4x32xf32>, tensor<2x4xi32>) -> tensor<2x4x4x4x32xf32>
  %kp_flat = "stablehlo.reshape"(%kp_pages) : (tensor<2x4x4x4x32xf32>) -> tensor<2x16x4x32xf32>
  %kp = "stablehlo.transpose"(%kp_flat) <{permutation = array<i64: 0, 2, 1, 3>}> : (tensor<2x16x4x32xf32>) -> tensor<2x4x16x32xf32>
  %vp_pages = "stablehlo.gather"(%vpool, %table) <{dimension_numbers = #stablehlo.gather<offset_dims = [2, 3, 4], collapsed_slice_dims = [0], start_index_map = [0], index_vector_dim = 2>, indices_are_sorted = false, slice_sizes = array<i64: 1, 4, 4, 32>}> : (tensor<6x4x4x32xf32>, tensor<2x4xi32>) -> tensor<2x4x4x4x32xf32>
  %vp_flat = "stablehlo.reshape"(%vp_pages) : (tensor<2x4x4x4x32xf32>) -> tensor<2x16x4x32xf32>
  %vp = "stablehlo.transpose"(%vp_flat) <{permutation = array<i64: 0, 2, 1, 3>}> : (tensor<2x16x4x32xf32>) -> tensor<2x4x16x32xf32>
  %s = func.call @qk(%q, %kp) : (tensor<2x4x8x32xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x16xf32>
  %top_start = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %top = "stablehlo.reduce"(%s, %top_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%top_a: tensor<f32>, %top_b: tensor<f32>):
    %top_c = "stablehlo.maximum"(%top_a, %top_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%top_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %top_keys = "stablehlo.broadcast_in_dim"(%top) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %e_x = "stablehlo.subtract"(%s, %top_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %e = "stablehlo.exponential"(%e_x) : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %sum_start = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %sum = "stablehlo.reduce"(%e, %sum_start) <{dimensions = array<i64: 3>}> ({
  ^bb0(%sum_a: tensor<f32>, %sum_b: tensor<f32>):
    %sum_c = "stablehlo.add"(%sum_a, %sum_b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%sum_c) : (tensor<f32>) -> ()
  }) : (tensor<2x4x8x16xf32>, tensor<f32>) -> tensor<2x4x8xf32>
  %sum_keys = "stablehlo.broadcast_in_dim"(%sum) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x4x8xf32>) -> tensor<2x4x8x16xf32>
  %p = "stablehlo.divide"(%e, %sum_keys) : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  %o = func.call @pv(%p, %vp) : (tensor<2x4x8x16xf32>, tensor<2x4x16x32xf32>) -> tensor<2x4x8x32xf32>
  func.return %o : tensor<2x4x8x32xf32>
}

// CHECK-LABEL: func.func @paged_gather
// CHECK-NEXT: %kp_pages = "stablehlo.gather"(%pool, %table) <{dimension_numbers = #stablehlo.gather<offset_dims = [2, 3, 4], collapsed_slice_dims = [0], start_index_map = [0], index_vector_dim = 2>, indices_are_sorted = false, slice_sizes = array<i64: 1, 4, 4, 32>}> : (tensor<6x4x4x32xf32>, tensor<2x4xi32>) -> tensor<2x4x4x4x32xf32>
// CHECK-NEXT: %kp_flat = "stablehlo.reshape"(%kp_pages) : (tensor<2x4x4x4x32xf32>) -> tensor<2x16x4x32xf32>
// CHECK-NEXT: %vp_pages = "stablehlo.gather"(%vpool, %table) <{dimension_numbers = #stablehlo.gather<offset_dims = [2, 3, 4], collapsed_slice_dims = [0], start_index_map = [0], index_vector_dim = 2>, indices_are_sorted = false, slice_sizes = array<i64: 1, 4, 4, 32>}> : (tensor<6x4x4x32xf32>, tensor<2x4xi32>) -> tensor<2x4x4x4x32xf32>
// CHECK-NEXT: %vp_flat = "stablehlo.reshape"(%vp_pages) : (tensor<2x4x4x4x32xf32>) -> tensor<2x16x4x32xf32>
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[b, h, m, k] : tensor<2x4x8x32xf32>)
// CHECK-NEXT: k(%kp_flat[b, n, h, k] : tensor<2x16x4x32xf32>)
// CHECK-NEXT: v(%vp_flat[b, n, h, d] : tensor<2x16x4x32xf32>)
// CHECK-NEXT: scale(1.000000e+00)
// CHECK-NEXT: -> out[b, h, m, d] : tensor<2x4x8x32xf32>
// CHECK-NEXT: func.return %o : tensor<2x4x8x32xf32>

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
