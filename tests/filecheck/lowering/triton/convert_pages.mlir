// RUN: xdsl-opt %s -p convert-attention-to-triton --split-input-file | filecheck %s
// RUN: xdsl-opt %s -p convert-attention-to-triton --split-input-file -t triton | filecheck %s --check-prefix=TEXT

// How tiles of keys are found in pages. The page numbers of a tile are loaded one iteration ahead, and no entry of the
// table beyond the last key is.

// Tiles of 64 lie inside of pages of 128: one number a tile, and the slot of its first key.
func.func @inside(%q: tensor<2x8x64xbf16>, %k: tensor<99x128x2x64xbf16>, %v: tensor<99x128x2x64xbf16>, %t: tensor<2x4xi32>, %lens: tensor<2xi32>) -> tensor<2x8x64xbf16> {
  %out = attention.sdpa
      q(%q[b, h * 4 + g, k] : tensor<2x8x64xbf16>)
      k(%k[page, slot, h, k] : tensor<99x128x2x64xbf16>)
      v(%v[page, slot, h, d] : tensor<99x128x2x64xbf16>)
      block_table(%t[b, p] : tensor<2x4xi32>) kv_lens(%lens[b] : tensor<2xi32>)
      scale(0.125) schedule<block_m = 16, block_n = 64, warps = 4, stages = 3>
      -> out[b, h * 4 + g, d] : tensor<2x8x64xbf16>
  func.return %out : tensor<2x8x64xbf16>
}

// Strides of pages and slots, those of the table, and no stride of n.
// CHECK-LABEL: tl.jit @inside_kernel(
// CHECK-SAME:    %block_table_ptr: !tl.ptr<i32>
// CHECK-SAME:    %stride_kh: i64, %stride_kk: i64, %stride_kpage: i64, %stride_kslot: i64
// CHECK-SAME:    %stride_block_table_b: i64, %stride_block_table_p: i64
// The first page, if there is a key.
// CHECK:         [[ANY:%.+]] = tl.lt {{%.+}}, %kv_len
// CHECK:         %page = tl.load %page_ptr mask [[ANY]]
// CHECK:         tl.range %start_n = {{.*}} iter_args([[PAGE:%.+]] = %page,
//   next = table[min(n + 64, last) // 128]
// CHECK:           [[AHEAD:%.+]] = tl.add %start_n, %BLOCK_N
// CHECK-NEXT:      [[LAST:%.+]] = tl.minimum [[AHEAD]], %last
// CHECK-NEXT:      tl.floordiv [[LAST]], %PAGE_SIZE
// CHECK:           %next_page = tl.load
//   K at page * stride + (n % 128) * stride
// CHECK:           [[SLOT:%.+]] = tl.mod %start_n, %PAGE_SIZE
// CHECK:           %off_page = tl.cast [[PAGE]] : i32 -> i64
// CHECK-NEXT:      %off_slot = tl.cast [[SLOT]] : i32 -> i64
// CHECK-NEXT:      [[BYPAGE:%.+]] = tl.mul %off_page, %stride_kpage
// CHECK-NEXT:      [[ATPAGE:%.+]] = tl.add %k_ptrs, [[BYPAGE]]
// CHECK-NEXT:      [[BYSLOT:%.+]] = tl.mul %off_slot, %stride_kslot
// CHECK-NEXT:      [[TILE:%.+]] = tl.add [[ATPAGE]], [[BYSLOT]]
// CHECK:           %k = tl.load [[TILE]] mask
// CHECK:           tl.yield %next_page,

// TEXT-LABEL: def inside_kernel(
// TEXT:           page_ptr = block_table_base + {{.*}}
// TEXT:           page = tl.load({{.*}}, mask=0 < kv_len, other=0)
// TEXT:           for start_n in tl.range(0, kv_len, BLOCK_N, num_stages=3):
// TEXT:               # Loaded one iteration ahead, so that K and V need not wait for it
// TEXT-NEXT:          next_page = tl.load(next_page_ptr)
// TEXT:               k_tile_ptrs = k_ptrs + off_page * stride_kpage + off_slot * stride_kslot
// TEXT:               v_tile_ptrs = v_ptrs + off_page * stride_vpage + off_slot * stride_vslot
// TEXT:               page = next_page

// -----

// Tiles of 32 in pages of 32: every tile starts at slot 0.
func.func @whole(%q: tensor<64xf32>, %kv: tensor<99x32x64xf32>, %t: tensor<?xi64>) -> tensor<64xf32> {
  %out = attention.sdpa
      q(%q[k] : tensor<64xf32>) k(%kv[page, slot, k] : tensor<99x32x64xf32>) v(%kv[page, slot, d] : tensor<99x32x64xf32>)
      block_table(%t[p] : tensor<?xi64>)
      scale(0.125) schedule<block_m = 16, block_n = 32, warps = 4, stages = 3> -> out[d] : tensor<64xf32>
  func.return %out : tensor<64xf32>
}

// TEXT-LABEL: def whole_kernel(
// TEXT:               k_tile_ptrs = k_ptrs + page * stride_kpage
// TEXT-NOT:           slot
// TEXT:               page = next_page
// N is the number of pages, which the host finds, times their size.
// TEXT-LABEL: def whole(
// TEXT:           t.shape[0] * 32

// -----

// Tiles of 64 over pages of 16 (or of 48, or any other size): a number for every key.
func.func @several(%q: tensor<64xbf16>, %kv: tensor<99x16x64xbf16>, %t: tensor<32xi32>, %len: tensor<i32>) -> tensor<64xbf16> {
  %out = attention.sdpa
      q(%q[k] : tensor<64xbf16>) k(%kv[page, slot, k] : tensor<99x16x64xbf16>) v(%kv[page, slot, d] : tensor<99x16x64xbf16>)
      block_table(%t[p] : tensor<32xi32>) kv_lens(%len[] : tensor<i32>)
      scale(0.125) schedule<block_m = 16, block_n = 64, warps = 4, stages = 3> -> out[d] : tensor<64xbf16>
  func.return %out : tensor<64xbf16>
}

// TEXT-LABEL: def several_kernel(
// TEXT:           first_n = tl.arange(0, BLOCK_N)
// TEXT:           pages = tl.load(page_ptrs, mask=first_n < kv_len, other=0)
// TEXT:               offs = (tl.minimum(offs_n + BLOCK_N, last) // PAGE_SIZE).to(tl.int64)
// TEXT:               offs_page = pages.to(tl.int64)
// TEXT:               offs_slot = (offs_n % PAGE_SIZE).to(tl.int64)
// TEXT:               k_offs = offs_page[None, :] * stride_kpage + offs_slot[None, :] * stride_kslot
// TEXT:               v_offs = offs_page[:, None] * stride_vpage + offs_slot[:, None] * stride_vslot
// TEXT:               pages = next_pages

// -----

// A token table with rows: a number for every key, which is its place.
func.func @tokens(%q: tensor<3x64xbf16>, %kv: tensor<9999x64xbf16>, %t: tensor<64x512xi32>, %r: tensor<3xi32>, %len: tensor<3xi32>) -> tensor<3x64xbf16> {
  %out = attention.sdpa
      q(%q[b, k] : tensor<3x64xbf16>) k(%kv[page, k] : tensor<9999x64xbf16>) v(%kv[page, d] : tensor<9999x64xbf16>)
      block_table(%t[row, p] : tensor<64x512xi32>) rows(%r[b] : tensor<3xi32>) kv_lens(%len[b] : tensor<3xi32>)
      scale(0.125) schedule<block_m = 16, block_n = 64, warps = 4, stages = 3> -> out[b, d] : tensor<3x64xbf16>
  func.return %out : tensor<3x64xbf16>
}

// TEXT:       # Key n is page block_table[row, n], row = rows[b].
// TEXT-LABEL: def tokens_kernel(
// TEXT:           row = tl.load({{.*}}).to(tl.int64)
// TEXT-NEXT:      block_table_base = block_table_ptr + row * stride_block_table_row
// TEXT-NOT:       PAGE_SIZE
// TEXT:               pages = next_pages
