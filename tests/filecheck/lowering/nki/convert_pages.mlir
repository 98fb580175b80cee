// RUN: xdsl-opt %s -p 'convert-attention-to-nki{arrangement=keys}' | filecheck %s --check-prefix=ROWS
// RUN: xdsl-opt %s -p 'convert-attention-to-nki{arrangement=keys}' -t nki | filecheck %s --check-prefix=SOURCE
// RUN: xdsl-opt %s -p 'convert-attention-to-nki{arrangement=keys target=trn1}' | filecheck %s --check-prefix=PAGES

// Keys in pages of 16 slots, listed in a table that has a row for each request; two KV heads, 300 pages.

func.func @decode(%q: tensor<2x8x1x64xbf16>, %k: tensor<300x16x2x64xbf16>, %v: tensor<300x16x2x64xbf16>, %table: tensor<9x72xi32>, %request: tensor<2xi32>, %lens: tensor<2xi32>) -> tensor<2x8x1x64xbf16> {
  %out = attention.sdpa
      q(%q[b, h * 4 + g, m, k] : tensor<2x8x1x64xbf16>)
      k(%k[page, slot, h, k] : tensor<300x16x2x64xbf16>)
      v(%v[page, slot, h, d] : tensor<300x16x2x64xbf16>)
      block_table(%table[row, p] : tensor<9x72xi32>)
      rows(%request[b] : tensor<2xi32>)
      kv_lens(%lens[b] : tensor<2xi32>)
      scale(0.125)
      -> out[b, h * 4 + g, m, d] : tensor<2x8x1x64xbf16>
  func.return %out : tensor<2x8x1x64xbf16>
}

// A slot is a row of a pool; of the pools, 2 * 72 * 16 slots are needed, of the table two rows of 72 entries.
// ROWS-LABEL: nki.kernel @decode
// ROWS-SAME:    nki.needed_bytes = array<i64: -1, 589824, 589824, 576, -1, -1>
// ROWS:         %table_flat = nki.reshape %table : {{.*}} -> !nki.tile<648x1xi32, shared_hbm>
// ROWS-NEXT:    %k_flat = nki.reshape %k : {{.*}} -> !nki.tile<4800x128xbf16, shared_hbm>
// ROWS-NEXT:    %v_flat = nki.reshape %v : {{.*}} -> !nki.tile<4800x128xbf16, shared_hbm>

// absent = n >= len, of both sequences;  page = floor(n / 16), slot = n - 16 page, for nine tiles of 128 keys at once
// ROWS:           nki.tensor_tensor "greater_equal" %absent, {{.*}} : !nki.tile<128x2x1x1x9xui8, sbuf>
// ROWS:           nki.tensor_scalar %page, {{.*}} "add" number 5.000000e-01 : f32 then "multiply" number1 6.250000e-02 : f32
// ROWS:           nki.scalar_tensor_tensor %slot, %page "multiply" number -1.600000e+01 : f32 then "add" {{.*}} : !nki.tile<128x9xf32, sbuf>
// The rows of the table, which are none where a sequence has no keys; then entry_at = page + 72 row, and a gather of entries.
// ROWS:           nki.tensor_scalar %no_keys, {{.*}} "less_equal" number 0.000000e+00 : f32 : !nki.tile<128x2xui8, sbuf>
// ROWS:           nki.tensor_copy_predicated %table_row where %no_keys from %first_row : !nki.tile<128x2xi32, sbuf>
// ROWS:           nki.tensor_scalar %table_start, %table_row "multiply" number 7.200000e+01
// ROWS:           [[STARTS:%.+]] = nki.ap %table_start at 0 by {{\[\[}}2, 128], [1, 2], [0, 9]]
// ROWS-NEXT:      nki.scalar_tensor_tensor %entry_at, {{.*}} "multiply" number 1.000000e+00 : f32 then "add" [[STARTS]] : !nki.tile<128x2x9xui32, sbuf>
// ROWS:           nki.for %sequence =
// ROWS:             nki.for %t =
// ROWS:               nki.ap %table_flat at 0 by {{\[\[}}1, 128], [1, 1]] : !nki.tile<648x1xi32, shared_hbm> rows
// row = 16 entry + slot: 0 for keys that do not exist, and for copies, which can skip, one beyond the pool
// ROWS:           nki.scalar_tensor_tensor %row, %entry_f32 "multiply" number 1.600000e+01 : f32 then "add" {{.*}} : !nki.tile<128x2x9xf32, sbuf>
// ROWS:           nki.tensor_copy_predicated %row where {{.*}} value 0.000000e+00
// ROWS:           nki.tensor_copy %rows, %row
// ROWS:           nki.tensor_copy_predicated %row where {{.*}} value 4.800000e+03
// ROWS:           nki.tensor_copy %rows_to_skip, %row

// K^T by a gathering and transposing DMA of four tiles.
// ROWS:           nki.ap %k_flat at {{.*}} by {{\[\[}}128, 512], [1, 64]] : !nki.tile<4800x128xbf16, shared_hbm> rows {{.*}} : !nki.tile<128x4xui32, sbuf>
// ROWS-NEXT:      nki.dma_transpose %k_t,
// V by a gathering DMA a tile, onto zeros.
// ROWS:           nki.memset %v_rows, 0.000000e+00 : f32 on "gpsimd"
// ROWS:           nki.ap %v_flat at {{.*}} by {{\[\[}}128, 128], [1, 64]] : !nki.tile<4800x128xbf16, shared_hbm> rows {{.*}} : !nki.tile<128x1xui32, sbuf>
// ROWS:           nki.dma_copy {{.*}} oob "skip"

// SOURCE:      def decode(q, k, v, table, request, lens):
// SOURCE-NEXT:     table_flat = table.reshape((648, 1))
// SOURCE:          for sequence in range(2):
// SOURCE-NEXT:         for t in range(9):
// SOURCE-NEXT:             nisa.dma_copy(
// SOURCE-NEXT:                 dst=entry[0:128, sequence, t:t + 1],
// SOURCE-NEXT:                 src=table_flat.ap(
// SOURCE-NEXT:                     pattern=[[1, 128], [1, 1]], offset=0,
// SOURCE-NEXT:                     vector_offset=entry_at[0:128, sequence, t:t + 1], indirect_dim=0,
// SOURCE-NEXT:                 ),
// SOURCE-NEXT:             )
// SOURCE:              oob_mode=nisa.oob_mode.skip,

// trn1 has no gathers: runs of 16 slots, each of one page, and K through the Tensor engine.
// PAGES-LABEL: nki.kernel @decode
// PAGES:         %k_flat = nki.reshape %k : {{.*}} -> !nki.tile<300x2048xbf16, shared_hbm>
// A table in HBM in which pages without a key are page 0, made once: a sequence on a partition;
// row = (length > 0) * row, entry = (page start < length) * entry
// PAGES:         %existing_pages = nki.ndarray : !nki.tile<2x72xi32, private_hbm>
// PAGES:         nki.ap %lens at 0 by {{\[\[}}1, 2], [1, 1]]
// PAGES-NEXT:    nki.dma_copy %length_of_sequence_i32,
// PAGES:         nki.scalar_tensor_tensor %table_row, %length_of_row "greater" number 0.000000e+00 : f32 then "multiply" %table_row : !nki.tile<1x2xi32, sbuf>
// PAGES:         nki.for %sequence =
// PAGES-NEXT:      [[ROW:%.+]] = nki.slice %table_row[0 for 1, %sequence for 1]
// PAGES-NEXT:      [[LISTED:%.+]] = nki.ap %table_flat at 0 by {{\[\[}}1, 1], [1, 72]] : !nki.tile<9x72xi32, shared_hbm> row [[ROW]]
// PAGES-NEXT:      [[TARGET:%.+]] = nki.slice %entries[%sequence for 1, 0 for 72]
// PAGES-NEXT:      nki.dma_copy [[TARGET]], [[LISTED]]
// PAGES:         nki.iota %page_start offset 0 channel 0 steps [16] nums [72] : !nki.tile<2x72xf32, sbuf>
// PAGES-NEXT:    nki.scalar_tensor_tensor %entries, %page_start "less" tile %length_of_sequence : {{.*}} then "multiply" %entries
// PAGES-NEXT:    [[COPY:%.+]] = nki.ap %existing_pages at 0 by {{\[\[}}72, 2], [1, 72]]
// PAGES-NEXT:    nki.dma_copy [[COPY]], %entries
// Every slot is loaded, four tiles of keys at a time, of 32 pages; GpSimd clears those without a key.
// PAGES:         [[FOUR:%.+]] = nki.ap %existing_pages at {{.*}} by {{\[\[}}1, 1], [1, 32]]
// PAGES-NEXT:    nki.dma_copy %pages, [[FOUR]]
// PAGES:         nki.for %t =
// PAGES:           nki.for %i =
// PAGES:             [[PAGE:%.+]] = nki.slice %pages[0 for 1, {{.*}} for 1] : !nki.tile<1x32xi32, sbuf>
// PAGES:             nki.ap %k_flat at {{.*}} by {{\[\[}}128, 16], [1, 64]] : !nki.tile<300x2048xbf16, shared_hbm> row [[PAGE]]
// PAGES-NOT:         oob
// PAGES:         nki.tensor_tensor "multiply" {{.*}} on "gpsimd" : !nki.tile<128x4x64xui16, sbuf>
// PAGES:         nki.nc_transpose
