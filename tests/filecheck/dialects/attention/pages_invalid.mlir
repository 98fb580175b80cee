// RUN: xdsl-opt %s --verify-diagnostics --parsing-diagnostics --split-input-file | filecheck %s

// The rules for keys in pages: each message says both values, and where they come from.

// Pages need a block table, and the other way round.
func.func @no_table(%q: tensor<4x8xf32>, %k: tensor<9x2x8xf32>) {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>)
      k(%k[page, slot, k] : tensor<9x2x8xf32>) v(%k[page, slot, d] : tensor<9x2x8xf32>)
      scale(1.0) -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: the layout of k uses page, but there is no block_table

// -----

func.func @no_pages(%q: tensor<4x8xf32>, %t: tensor<3xi32>) {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>)
      k(%q[n, k] : tensor<4x8xf32>) v(%q[n, d] : tensor<4x8xf32>)
      block_table(%t[p] : tensor<3xi32>)
      scale(1.0) -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: block_table is given, but the layouts of k and v do not use page

// -----

func.func @no_entry(%q: tensor<4x8xf32>, %k: tensor<9x2x8xf32>, %t: tensor<3xi32>) {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>)
      k(%k[page, slot, k] : tensor<9x2x8xf32>) v(%k[page, slot, d] : tensor<9x2x8xf32>)
      block_table(%t[b] : tensor<3xi32>)
      scale(1.0) -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: the layout of block_table lacks p, the number of a page of a sequence

// -----

// Rows need a table that uses them, and the other way round.
func.func @rows_alone(%q: tensor<4x8xf32>, %r: tensor<3xi32>) {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>)
      k(%q[n, k] : tensor<4x8xf32>) v(%q[n, d] : tensor<4x8xf32>) rows(%r[b] : tensor<3xi32>)
      scale(1.0) -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: rows are given, but there is no block_table of which they could be rows

// -----

func.func @unused_rows(%q: tensor<4x8xf32>, %k: tensor<9x2x8xf32>, %t: tensor<5x3xi32>, %r: tensor<5xi32>) {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>)
      k(%k[page, slot, k] : tensor<9x2x8xf32>) v(%k[page, slot, d] : tensor<9x2x8xf32>)
      block_table(%t[b, p] : tensor<5x3xi32>) rows(%r[b] : tensor<5xi32>)
      scale(1.0) -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: the layout of block_table does not use row, but rows are given

// -----

func.func @no_rows(%q: tensor<4x8xf32>, %k: tensor<9x2x8xf32>, %t: tensor<5x3xi32>) {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>)
      k(%k[page, slot, k] : tensor<9x2x8xf32>) v(%k[page, slot, d] : tensor<9x2x8xf32>)
      block_table(%t[row, p] : tensor<5x3xi32>)
      scale(1.0) -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: the layout of block_table uses row, but rows are not given

// -----

// Slots of pages are what n counts, so n is not beside them.
func.func @both(%q: tensor<4x8xf32>, %k: tensor<9x2x6x8xf32>, %v: tensor<9x2x8xf32>, %t: tensor<3xi32>) {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>)
      k(%k[page, slot, n, k] : tensor<9x2x6x8xf32>) v(%v[page, slot, d] : tensor<9x2x8xf32>)
      block_table(%t[p] : tensor<3xi32>)
      scale(1.0) -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: the layout of k uses n and page: n is p * page_size + slot

// -----

// Sizes: of pages and slots in both pools, and of keys where one of them is contiguous.
func.func @page_size(%q: tensor<4x8xf32>, %k: tensor<9x2x8xf32>, %v: tensor<9x4x8xf32>, %t: tensor<3xi32>) {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>)
      k(%k[page, slot, k] : tensor<9x2x8xf32>) v(%v[page, slot, d] : tensor<9x4x8xf32>)
      block_table(%t[p] : tensor<3xi32>)
      scale(1.0) -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: size of slot is 2 by dimension 1 of k but 4 by dimension 1 of v

// -----

func.func @pages(%q: tensor<4x8xf32>, %k: tensor<9x2x8xf32>, %v: tensor<8x2x8xf32>, %t: tensor<3xi32>) {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>)
      k(%k[page, slot, k] : tensor<9x2x8xf32>) v(%v[page, slot, d] : tensor<8x2x8xf32>)
      block_table(%t[p] : tensor<3xi32>)
      scale(1.0) -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: size of page is 9 by dimension 0 of k but 8 by dimension 0 of v

// -----

func.func @keys(%q: tensor<4x8xf32>, %k: tensor<9x2x8xf32>, %v: tensor<5x8xf32>, %t: tensor<3xi32>) {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>)
      k(%k[page, slot, k] : tensor<9x2x8xf32>) v(%v[n, d] : tensor<5x8xf32>)
      block_table(%t[p] : tensor<3xi32>)
      scale(1.0) -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: size of n is 5 by dimension 0 of v but 6 by p * 2 + slot with p from dimension 0 of block_table

// -----

func.func @dynamic(%q: tensor<4x8xf32>, %k: tensor<9x?x8xf32>, %t: tensor<3xi32>) {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>)
      k(%k[page, slot, k] : tensor<9x?x8xf32>) v(%k[page, slot, d] : tensor<9x?x8xf32>)
      block_table(%t[p] : tensor<3xi32>)
      scale(1.0) -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: the page size (slot) is dynamic by dimension 1 of k, but must be static

// -----

// Who may use what, and element types.
func.func @query(%q: tensor<4x8xf32>, %k: tensor<9x2x8xf32>, %t: tensor<3xi32>) {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>)
      k(%k[page, slot, k] : tensor<9x2x8xf32>) v(%k[page, slot, d] : tensor<9x2x8xf32>)
      block_table(%t[p] : tensor<3xi32>) kv_lens(%t[p] : tensor<3xi32>)
      scale(1.0) -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: the layout of kv_lens depends on p, which kv_lens has not

// -----

func.func @table_of_slots(%q: tensor<4x8xf32>, %k: tensor<9x2x8xf32>, %t: tensor<3x2xi32>) {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>)
      k(%k[page, slot, k] : tensor<9x2x8xf32>) v(%k[page, slot, d] : tensor<9x2x8xf32>)
      block_table(%t[p, slot] : tensor<3x2xi32>)
      scale(1.0) -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: the layout of block_table depends on slot, which block_table has not

// -----

func.func @element(%q: tensor<4x8xf32>, %k: tensor<9x2x8xf32>, %t: tensor<3xi16>) {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>)
      k(%k[page, slot, k] : tensor<9x2x8xf32>) v(%k[page, slot, d] : tensor<9x2x8xf32>)
      block_table(%t[p] : tensor<3xi16>)
      scale(1.0) -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: block_table has element type i16, expected i32 or i64

// -----

func.func @row_element(%q: tensor<4x8xf32>, %k: tensor<9x2x8xf32>, %t: tensor<5x3xi32>, %r: tensor<5xf32>) {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>)
      k(%k[page, slot, k] : tensor<9x2x8xf32>) v(%k[page, slot, d] : tensor<9x2x8xf32>)
      block_table(%t[row, p] : tensor<5x3xi32>) rows(%r[b] : tensor<5xf32>)
      scale(1.0) -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: rows has element type f32, expected i32 or i64

// -----

func.func @unknown(%q: tensor<4x8xf32>, %k: tensor<9x2x8xf32>) {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>)
      k(%k[pages, slot, k] : tensor<9x2x8xf32>) v(%k[page, slot, d] : tensor<9x2x8xf32>)
      scale(1.0) -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: 'pages' is no dimension of attention; use b (b0, b1, ...), h, g, m, n, k or d, or for pages row, p, page or slot
