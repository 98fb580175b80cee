// RUN: xdsl-opt %s -p canonicalize --split-input-file | filecheck %s

// Rows 0, 1, ... of a table that has no others are the sequences: row is b, also where the table is flat.

func.func @identity(%q: tensor<3x16xf32>, %kv: tensor<99x16xf32>, %t: tensor<3x8xi32>, %flat: tensor<24xi32>)
    -> (tensor<3x16xf32>, tensor<3x16xf32>) {
  %r = arith.constant dense<[0, 1, 2]> : tensor<3xi32>
  %o = attention.sdpa
      q(%q[b, k] : tensor<3x16xf32>) k(%kv[page, k] : tensor<99x16xf32>) v(%kv[page, d] : tensor<99x16xf32>)
      block_table(%t[row, p] : tensor<3x8xi32>) rows(%r[b] : tensor<3xi32>) scale(1.0) -> out[b, d] : tensor<3x16xf32>
  %o2 = attention.sdpa
      q(%q[b, k] : tensor<3x16xf32>) k(%kv[page, k] : tensor<99x16xf32>) v(%kv[page, d] : tensor<99x16xf32>)
      block_table(%flat[row * 8 + p] : tensor<24xi32>) rows(%r[b] : tensor<3xi32>)
      scale(1.0) score(soft_cap(3.0)) -> out[b, d] : tensor<3x16xf32>
  func.return %o, %o2 : tensor<3x16xf32>, tensor<3x16xf32>
}

// CHECK-LABEL: func.func @identity
// CHECK:           block_table(%t[b, p] : tensor<3x8xi32>)
// CHECK-NEXT:      scale
// CHECK:           block_table(%flat[b * 8 + p] : tensor<24xi32>)
// CHECK-NEXT:      scale
// CHECK-NEXT:      score(soft_cap(3.000000e+00))

// -----

// Rows in another order, and those of a table with more rows, stay.

func.func @others(%q: tensor<3x16xf32>, %kv: tensor<99x16xf32>, %t: tensor<3x8xi32>, %t2: tensor<4x8xi32>)
    -> (tensor<3x16xf32>, tensor<3x16xf32>) {
  %swapped = arith.constant dense<[0, 2, 1]> : tensor<3xi32>
  %r = arith.constant dense<[0, 1, 2]> : tensor<3xi32>
  %o = attention.sdpa
      q(%q[b, k] : tensor<3x16xf32>) k(%kv[page, k] : tensor<99x16xf32>) v(%kv[page, d] : tensor<99x16xf32>)
      block_table(%t[row, p] : tensor<3x8xi32>) rows(%swapped[b] : tensor<3xi32>)
      scale(1.0) -> out[b, d] : tensor<3x16xf32>
  %o2 = attention.sdpa
      q(%q[b, k] : tensor<3x16xf32>) k(%kv[page, k] : tensor<99x16xf32>) v(%kv[page, d] : tensor<99x16xf32>)
      block_table(%t2[row, p] : tensor<4x8xi32>) rows(%r[b] : tensor<3xi32>)
      scale(1.0) -> out[b, d] : tensor<3x16xf32>
  func.return %o, %o2 : tensor<3x16xf32>, tensor<3x16xf32>
}

// CHECK-LABEL: func.func @others
// CHECK:           rows(%swapped[b] : tensor<3xi32>)
// CHECK:           rows(%r[b] : tensor<3xi32>)

// -----

// Lengths of all slots of all pages say nothing, an LSE without a reader goes, and a single split is one operation:
// pages stay through all of it.

func.func @rebuilt(%q: tensor<2x16xf32>, %kv: tensor<9x4x16xf32>, %t: tensor<5x8xi32>, %r: tensor<2xi32>)
    -> (tensor<2x16xf32>, tensor<2x16xf32>) {
  %full = arith.constant dense<32> : tensor<2xi32>
  %o, %lse = attention.sdpa
      q(%q[b, k] : tensor<2x16xf32>) k(%kv[page, slot, k] : tensor<9x4x16xf32>) v(%kv[page, slot, d] : tensor<9x4x16xf32>)
      block_table(%t[row, p] : tensor<5x8xi32>) rows(%r[b] : tensor<2xi32>) kv_lens(%full[b] : tensor<2xi32>)
      scale(1.0) -> out[b, d] : tensor<2x16xf32>, lse[b] : tensor<2xf32>
  %p, %l = attention.partial
      q(%q[b, k] : tensor<2x16xf32>) k(%kv[page, slot, k] : tensor<9x4x16xf32>) v(%kv[page, slot, d] : tensor<9x4x16xf32>)
      block_table(%t[row, p] : tensor<5x8xi32>) rows(%r[b] : tensor<2xi32>) splits(1) tile(16) scale(1.0)
      -> out : tensor<2x1x1x1x1x16xf32>, lse : tensor<2x1x1x1x1xf32>
  %o2 = attention.combine
      partial(%p : tensor<2x1x1x1x1x16xf32>) lse(%l : tensor<2x1x1x1x1xf32>) -> out[b, d] : tensor<2x16xf32>
  func.return %o, %o2 : tensor<2x16xf32>, tensor<2x16xf32>
}

// CHECK-LABEL: func.func @rebuilt
// CHECK:         %o = attention.sdpa
// CHECK:             block_table(%t[row, p] : tensor<5x8xi32>)
// CHECK-NEXT:        rows(%r[b] : tensor<2xi32>)
// CHECK-NEXT:        scale
// CHECK-NEXT:        -> out[b, d] : tensor<2x16xf32>{{$}}
// CHECK-NEXT:    %o2 = attention.sdpa
// CHECK:             block_table(%t[row, p] : tensor<5x8xi32>)
// CHECK-NEXT:        rows(%r[b] : tensor<2xi32>)
// CHECK-NEXT:        scale
