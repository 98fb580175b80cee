// RUN: xdsl-opt %s --verify-diagnostics --parsing-diagnostics --split-input-file | filecheck %s

// One broken update for every rule of `attention.update_cache`.

// What tokens and caches must be.

func.func @no_place(%x: tensor<2x4x8xf32>, %p: tensor<9x4x8xf32>) {
  %c = attention.update_cache new(%x[m, h, k] : tensor<2x4x8xf32>) cache(%p[n, h, k] : tensor<9x4x8xf32>)
  func.return
}
// CHECK: expected positions or slots, but neither is given

// -----

func.func @two_places(%x: tensor<2x4x8xf32>, %p: tensor<9x4x8xf32>, %at: tensor<2xi32>) {
  %c = attention.update_cache new(%x[m, h, k] : tensor<2x4x8xf32>) cache(%p[page, h, k] : tensor<9x4x8xf32>) positions(%at[m] : tensor<2xi32>) slots(%at[m] : tensor<2xi32>)
  func.return
}
// CHECK: expected positions or slots, but both are given

// -----

func.func @slots_without_pages(%x: tensor<2x4x8xf32>, %p: tensor<9x4x8xf32>, %at: tensor<2xi32>) {
  %c = attention.update_cache new(%x[m, h, k] : tensor<2x4x8xf32>) cache(%p[n, h, k] : tensor<9x4x8xf32>) slots(%at[m] : tensor<2xi32>)
  func.return
}
// CHECK: slots are numbers in a pool, but the layout of cache uses n; give positions

// -----

func.func @no_table(%x: tensor<2x4x8xf32>, %p: tensor<9x4x8xf32>, %at: tensor<2xi32>) {
  %c = attention.update_cache new(%x[m, h, k] : tensor<2x4x8xf32>) cache(%p[page, h, k] : tensor<9x4x8xf32>) positions(%at[m] : tensor<2xi32>)
  func.return
}
// CHECK: the layout of cache uses page, but there is neither a block_table nor slots

// -----

func.func @table_of_nothing(%x: tensor<2x4x8xf32>, %p: tensor<9x4x8xf32>, %at: tensor<2xi32>) {
  %c = attention.update_cache new(%x[m, h, k] : tensor<2x4x8xf32>) cache(%p[n, h, k] : tensor<9x4x8xf32>) block_table(%at[p] : tensor<2xi32>) positions(%at[m] : tensor<2xi32>)
  func.return
}
// CHECK: block_table is given, but the layout of cache uses n

// -----

func.func @table_and_slots(%x: tensor<2x4x8xf32>, %p: tensor<9x4x8xf32>, %at: tensor<2xi32>) {
  %c = attention.update_cache new(%x[m, h, k] : tensor<2x4x8xf32>) cache(%p[page, h, k] : tensor<9x4x8xf32>) block_table(%at[p] : tensor<2xi32>) slots(%at[m] : tensor<2xi32>)
  func.return
}
// CHECK: block_table is given, but slots say where tokens go

// -----

func.func @nowhere(%x: tensor<2x4x8xf32>, %p: tensor<4x8xf32>, %at: tensor<2xi32>) {
  %c = attention.update_cache new(%x[m, h, k] : tensor<2x4x8xf32>) cache(%p[h, k] : tensor<4x8xf32>) positions(%at[m] : tensor<2xi32>)
  func.return
}
// CHECK: the layout of cache uses neither n nor page, so tokens have no place in it

// -----

func.func @slot_alone(%x: tensor<2x4x8xf32>, %p: tensor<9x4x8xf32>, %at: tensor<2xi32>) {
  %c = attention.update_cache new(%x[m, h, k] : tensor<2x4x8xf32>) cache(%p[slot, h, k] : tensor<9x4x8xf32>) slots(%at[m] : tensor<2xi32>)
  func.return
}
// CHECK: the layout of cache uses slot, but not page

// -----

func.func @rows_alone(%x: tensor<2x4x8xf32>, %p: tensor<9x4x8xf32>, %at: tensor<2xi32>) {
  %c = attention.update_cache new(%x[m, h, k] : tensor<2x4x8xf32>) cache(%p[page, h, k] : tensor<9x4x8xf32>) block_table(%at[p] : tensor<2xi32>) rows(%at[b] : tensor<2xi32>) positions(%at[m] : tensor<2xi32>)
  func.return
}
// CHECK: the layout of block_table does not use row, but rows are given

// -----

func.func @shared_head(%x: tensor<2x4x8xf32>, %p: tensor<9x8xf32>, %at: tensor<2xi32>) {
  %c = attention.update_cache new(%x[m, h, k] : tensor<2x4x8xf32>) cache(%p[n, k] : tensor<9x8xf32>) positions(%at[m] : tensor<2xi32>)
  func.return
}
// CHECK: the layout of cache lacks h, which has size 4

// -----

func.func @shared_batch(%x: tensor<3x2x8xf32>, %p: tensor<9x8xf32>, %at: tensor<2xi32>) {
  %c = attention.update_cache new(%x[b, m, k] : tensor<3x2x8xf32>) cache(%p[n, k] : tensor<9x8xf32>) positions(%at[m] : tensor<2xi32>)
  func.return
}
// CHECK: the layout of cache lacks b, which has size 3

// -----

func.func @one_slot_for_all(%x: tensor<2x4x8xf32>, %p: tensor<9x4x8xf32>, %at: tensor<i32>) {
  %c = attention.update_cache new(%x[m, h, k] : tensor<2x4x8xf32>) cache(%p[page, h, k] : tensor<9x4x8xf32>) slots(%at[] : tensor<i32>)
  func.return
}
// CHECK: the layout of slots lacks m, which has size 2

// -----

func.func @keys_in_new(%x: tensor<2x4x8xf32>, %p: tensor<2x4x8xf32>, %at: tensor<2xi32>) {
  %c = attention.update_cache new(%x[n, h, k] : tensor<2x4x8xf32>) cache(%p[n, h, k] : tensor<2x4x8xf32>) positions(%at[m] : tensor<2xi32>)
  func.return
}
// CHECK: the layout of new depends on n, which new has not

// -----

func.func @positions_of_heads(%x: tensor<2x4x8xf32>, %p: tensor<9x4x8xf32>, %at: tensor<4xi32>) {
  %c = attention.update_cache new(%x[m, h, k] : tensor<2x4x8xf32>) cache(%p[n, h, k] : tensor<9x4x8xf32>) positions(%at[h] : tensor<4xi32>)
  func.return
}
// CHECK: the layout of positions depends on h, which positions has not

// -----

func.func @sizes(%x: tensor<2x4x8xf32>, %p: tensor<9x4x16xf32>, %at: tensor<2xi32>) {
  %c = attention.update_cache new(%x[m, h, k] : tensor<2x4x8xf32>) cache(%p[n, h, k] : tensor<9x4x16xf32>) positions(%at[m] : tensor<2xi32>)
  func.return
}
// CHECK: size of k is 8 by dimension 2 of new but 16 by dimension 2 of cache

// -----

func.func @integers(%x: tensor<2x4x8xi32>, %p: tensor<9x4x8xf32>, %at: tensor<2xi32>) {
  %c = attention.update_cache new(%x[m, h, k] : tensor<2x4x8xi32>) cache(%p[n, h, k] : tensor<9x4x8xf32>) positions(%at[m] : tensor<2xi32>)
  func.return
}
// CHECK: new has element type i32, expected a float

// -----

func.func @float_positions(%x: tensor<2x4x8xf32>, %p: tensor<9x4x8xf32>, %at: tensor<2xf32>) {
  %c = attention.update_cache new(%x[m, h, k] : tensor<2x4x8xf32>) cache(%p[n, h, k] : tensor<9x4x8xf32>) positions(%at[m] : tensor<2xf32>)
  func.return
}
// CHECK: positions has element type f32, expected i32 or i64

// -----

func.func @codes_of_nothing(%x: tensor<2x4x8xf32>, %p: tensor<9x4x8xi8>, %at: tensor<2xi32>) {
  %c = attention.update_cache new(%x[m, h, k] : tensor<2x4x8xf32>) cache(%p[n, h, k] : tensor<9x4x8xi8>) positions(%at[m] : tensor<2xi32>)
  func.return
}
// CHECK: cache has element type i8, but is not quantized; expected a float

// -----

func.func @plain_float8(%x: tensor<2x4x8xf32>, %p: tensor<9x4x8xf8E5M2>, %at: tensor<2xi32>) {
  %c = attention.update_cache new(%x[m, h, k] : tensor<2x4x8xf32>) cache(%p[n, h, k] : tensor<9x4x8xf8E5M2>) positions(%at[m] : tensor<2xi32>)
  func.return
}
// CHECK: cache has element type f8E5M2, but is not quantized; expected quantized codes

// -----

func.func @scale_of_nothing(%x: tensor<2x4x8xf32>, %p: tensor<9x4x8xf32>, %s: tensor<9x4xf32>, %at: tensor<2xi32>) {
  %c = attention.update_cache new(%x[m, h, k] : tensor<2x4x8xf32>) cache(%p[page, h, k] : tensor<9x4x8xf32>) cache_scale(%s[page, h] : tensor<9x4xf32>) slots(%at[m] : tensor<2xi32>)
  func.return
}
// CHECK: cache_scale is given, but cache is not quantized

// -----

func.func @no_quantizer(%x: tensor<2x4x8xf32>, %p: tensor<9x4x8xi8>, %s: tensor<9x4xf32>, %at: tensor<2xi32>) {
  %c = attention.update_cache new(%x[m, h, k] : tensor<2x4x8xf32>) cache(%p[page, h, k] : tensor<9x4x8xi8>) quantized(i8) cache_scale(%s[page, h] : tensor<9x4xf32>) slots(%at[m] : tensor<2xi32>)
  func.return
}
// CHECK: quantized is given without a quantizer

// -----

func.func @no_quantized(%x: tensor<2x4x8xf32>, %p: tensor<9x4x8xf32>, %at: tensor<2xi32>) {
  %c = attention.update_cache new(%x[m, h, k] : tensor<2x4x8xf32>) cache(%p[n, h, k] : tensor<9x4x8xf32>) positions(%at[m] : tensor<2xi32>) quantizer(symmetric, to_nearest_even)
  func.return
}
// CHECK: a quantizer is given without quantized

// -----

func.func @f64(%x: tensor<2x4x8xf64>, %p: tensor<9x4x8xi8>, %s: tensor<9x4xf32>, %at: tensor<2xi32>) {
  %c, %d = attention.update_cache new(%x[m, h, k] : tensor<2x4x8xf64>) cache(%p[page, h, k] : tensor<9x4x8xi8>) quantized(i8) cache_scale(%s[page, h] : tensor<9x4xf32>) slots(%at[m] : tensor<2xi32>) quantizer(symmetric, to_nearest_even)
  func.return
}
// CHECK: new has element type f64, expected f16, bf16 or f32 to quantize


// -----

// How scales are made.

func.func @no_scale(%x: tensor<2x4x8xf32>, %p: tensor<9x4x8xi8>, %at: tensor<2xi32>) {
  %c = attention.update_cache new(%x[m, h, k] : tensor<2x4x8xf32>) cache(%p[page, h, k] : tensor<9x4x8xi8>) quantized(i8) slots(%at[m] : tensor<2xi32>) quantizer(symmetric, to_nearest_even)
  func.return
}
// CHECK: symmetric makes scales, but there is no cache_scale; expected given

// -----

func.func @one_sided(%x: tensor<2x4x8xf32>, %p: tensor<9x4x8xi8>, %s: tensor<9x4xf32>, %at: tensor<2xi32>) {
  %c, %d = attention.update_cache new(%x[m, h, k] : tensor<2x4x8xf32>) cache(%p[page, h, k] : tensor<9x4x8xi8>) quantized(u8) cache_scale(%s[page, h] : tensor<9x4xf32>) slots(%at[m] : tensor<2xi32>) quantizer(symmetric, to_nearest_even)
  func.return
}
// CHECK: symmetric codes lie on both sides of zero, but u8 has none below zero = 0

// -----

func.func @symmetric_offset(%x: tensor<2x4x8xf32>, %p: tensor<9x4x8xi8>, %s: tensor<9x4xf32>, %at: tensor<2xi32>) {
  %c, %d, %e = attention.update_cache new(%x[m, h, k] : tensor<2x4x8xf32>) cache(%p[page, h, k] : tensor<9x4x8xi8>) quantized(i8) cache_scale(%s[page, h] : tensor<9x4xf32>) cache_offset(%s[page, h] : tensor<9x4xf32>) slots(%at[m] : tensor<2xi32>) quantizer(symmetric, to_nearest_even)
  func.return
}
// CHECK: symmetric makes no cache_offset; expected asymmetric or given

// -----

func.func @asymmetric_alone(%x: tensor<2x4x8xf32>, %p: tensor<9x4x8xi8>, %s: tensor<9x4xf32>, %at: tensor<2xi32>) {
  %c, %d = attention.update_cache new(%x[m, h, k] : tensor<2x4x8xf32>) cache(%p[page, h, k] : tensor<9x4x8xi8>) quantized(i8) cache_scale(%s[page, h] : tensor<9x4xf32>) slots(%at[m] : tensor<2xi32>) quantizer(asymmetric, to_nearest_even)
  func.return
}
// CHECK: asymmetric needs cache_zero or cache_offset, and no constant zero

// -----

func.func @asymmetric_floats(%x: tensor<2x4x8xf32>, %p: tensor<9x4x8xi8>, %s: tensor<9x4xf32>, %at: tensor<2xi32>) {
  %c, %d = attention.update_cache new(%x[m, h, k] : tensor<2x4x8xf32>) cache(%p[page, h, k] : tensor<9x4x8xi8>) quantized(f8E4M3FN) cache_scale(%s[page, h] : tensor<9x4xf32>) slots(%at[m] : tensor<2xi32>) quantizer(asymmetric, to_nearest_even)
  func.return
}
// CHECK: asymmetric makes integer codes, not f8E4M3FN

// -----

func.func @signed_offset(%x: tensor<2x4x8xf32>, %p: tensor<9x4x8xi8>, %s: tensor<9x4xf32>, %at: tensor<2xi32>) {
  %c, %d, %e = attention.update_cache new(%x[m, h, k] : tensor<2x4x8xf32>) cache(%p[page, h, k] : tensor<9x4x8xi8>) quantized(i8) cache_scale(%s[page, h] : tensor<9x4xf32>) cache_offset(%s[page, h] : tensor<9x4xf32>) slots(%at[m] : tensor<2xi32>) quantizer(asymmetric, to_nearest_even)
  func.return
}
// CHECK: cache_offset is that of unsigned codes, not i8; give cache_zero

// -----

func.func @truncated_floats(%x: tensor<2x4x8xf32>, %p: tensor<9x4x8xi8>, %s: tensor<9x4xf32>, %at: tensor<2xi32>) {
  %c, %d = attention.update_cache new(%x[m, h, k] : tensor<2x4x8xf32>) cache(%p[page, h, k] : tensor<9x4x8xi8>) quantized(f8E4M3FN) cache_scale(%s[page, h] : tensor<9x4xf32>) slots(%at[m] : tensor<2xi32>) quantizer(symmetric, toward_zero)
  func.return
}
// CHECK: codes of type f8E4M3FN are rounded to_nearest_even, not toward_zero

// -----

func.func @narrow_zero(%x: tensor<2x4x8xf32>, %p: tensor<9x4x8xi8>, %s: tensor<9x4xf32>, %z: tensor<9x4xi8>, %at: tensor<2xi32>) {
  %c, %d, %e = attention.update_cache new(%x[m, h, k] : tensor<2x4x8xf32>) cache(%p[page, h, k] : tensor<9x4x8xi8>) quantized(u8) cache_scale(%s[page, h] : tensor<9x4xf32>) cache_zero(%z[page, h] : tensor<9x4xi8>) slots(%at[m] : tensor<2xi32>) quantizer(asymmetric, to_nearest_even)
  func.return
}
// CHECK: cache_zero has element type i8, which does not hold 0 to 255

// -----

func.func @f64_scale(%x: tensor<2x4x8xf32>, %p: tensor<9x4x8xi8>, %s: tensor<9x4xf64>, %at: tensor<2xi32>) {
  %c, %d = attention.update_cache new(%x[m, h, k] : tensor<2x4x8xf32>) cache(%p[page, h, k] : tensor<9x4x8xi8>) quantized(i8) cache_scale(%s[page, h] : tensor<9x4xf64>) slots(%at[m] : tensor<2xi32>) quantizer(symmetric, to_nearest_even)
  func.return
}
// CHECK: cache_scale has element type f64, expected f16, bf16 or f32 to make it

// -----

func.func @other_groups(%x: tensor<2x4x8xf32>, %p: tensor<9x4x8xi8>, %s: tensor<9x4xf32>, %z: tensor<9x4x2xf32>, %at: tensor<2xi32>) {
  %c, %d, %e = attention.update_cache new(%x[m, h, k] : tensor<2x4x8xf32>) cache(%p[page, h, k] : tensor<9x4x8xi8>) quantized(u8) cache_scale(%s[page, h] : tensor<9x4xf32>) cache_offset(%z[page, h, k floordiv 4] : tensor<9x4x2xf32>) slots(%at[m] : tensor<2xi32>) quantizer(asymmetric, to_nearest_even)
  func.return
}
// CHECK: cache_offset has other groups than cache_scale

// -----

func.func @of_all_heads(%x: tensor<2x4x8xf32>, %p: tensor<9x4x8xi8>, %s: tensor<9xf32>, %at: tensor<2xi32>) {
  %c, %d = attention.update_cache new(%x[m, h, k] : tensor<2x4x8xf32>) cache(%p[page, h, k] : tensor<9x4x8xi8>) quantized(i8) cache_scale(%s[page] : tensor<9xf32>) slots(%at[m] : tensor<2xi32>) quantizer(symmetric, to_nearest_even)
  func.return
}
// CHECK: cache_scale is shared by all heads, so it cannot be made for new tokens: give it

// -----

func.func @of_all_tokens(%x: tensor<2x4x8xf32>, %p: tensor<9x4x8xi8>, %s: tensor<4xf32>, %at: tensor<2xi32>) {
  %c, %d = attention.update_cache new(%x[m, h, k] : tensor<2x4x8xf32>) cache(%p[page, h, k] : tensor<9x4x8xi8>) quantized(i8) cache_scale(%s[h] : tensor<4xf32>) slots(%at[m] : tensor<2xi32>) quantizer(symmetric, to_nearest_even)
  func.return
}
// CHECK: cache_scale is shared by tokens that are stored already, so it cannot be made for new ones: give it

// -----

func.func @keys_by_slots(%x: tensor<2x4x8xf32>, %p: tensor<9x4x8xi8>, %s: tensor<9x4xf32>, %at: tensor<2xi32>) {
  %c, %d = attention.update_cache new(%x[m, h, k] : tensor<2x4x8xf32>) cache(%p[page, h, k] : tensor<9x4x8xi8>) quantized(i8) cache_scale(%s[n, h] : tensor<9x4xf32>) slots(%at[m] : tensor<2xi32>) quantizer(symmetric, to_nearest_even)
  func.return
}
// CHECK: the layout of cache_scale uses n, which is not known by slots

// -----

func.func @pages_of_rows(%x: tensor<2x4x8xf32>, %p: tensor<9x4x8xi8>, %s: tensor<9x4xf32>, %at: tensor<2xi32>) {
  %c, %d = attention.update_cache new(%x[m, h, k] : tensor<2x4x8xf32>) cache(%p[n, h, k] : tensor<9x4x8xi8>) quantized(i8) cache_scale(%s[page, h] : tensor<9x4xf32>) positions(%at[m] : tensor<2xi32>) quantizer(symmetric, to_nearest_even)
  func.return
}
// CHECK: the layout of cache_scale uses page, but cache lies in no pages

// -----

func.func @part_of_a_group(%x: tensor<2x6x8xf32>, %p: tensor<2x16x8xi8>, %s: tensor<2x4x8xf32>, %at: tensor<2xi32>) {
  %c, %d = attention.update_cache new(%x[b, m, k] : tensor<2x6x8xf32>) cache(%p[b, n, k] : tensor<2x16x8xi8>) quantized(i8) cache_scale(%s[b, n floordiv 4, k] : tensor<2x4x8xf32>) positions(%at[b] : tensor<2xi32>) quantizer(symmetric, to_nearest_even)
  func.return
}
// CHECK: cache_scale is made for groups of 4 tokens, but there are 6 new tokens; expected whole groups

// -----

func.func @scattered_group(%x: tensor<2x8x8xf32>, %p: tensor<2x16x8xi8>, %s: tensor<2x4x8xf32>, %at: tensor<2x8xi32>) {
  %c, %d = attention.update_cache new(%x[b, m, k] : tensor<2x8x8xf32>) cache(%p[b, n, k] : tensor<2x16x8xi8>) quantized(i8) cache_scale(%s[b, n floordiv 4, k] : tensor<2x4x8xf32>) positions(%at[b, m] : tensor<2x8xi32>) quantizer(symmetric, to_nearest_even)
  func.return
}
// CHECK: groups of 4 tokens need the positions of first tokens: positions without m

// -----

func.func @unknown() {
  "test.op"() {quantizer = #attention.quantizer<affine, toward_zero>} : () -> ()
  func.return
}
// CHECK: Expected `symmetric`, `asymmetric`, or `given`.
