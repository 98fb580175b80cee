// RUN: xdsl-opt %s -p 'convert-attention-to-nki{arrangement=keys}' | filecheck %s --check-prefix=ROWS
// RUN: xdsl-opt %s -p 'convert-attention-to-nki{arrangement=keys target=trn1}' | filecheck %s --check-prefix=PAGES

// Locks in that pages are read for the keys that there are, and for no more.

// 241 keys in pages of one: the last tile has 113, which are gathered as so many, entries and rows. A DMA transposes a
// multiple of 16, so the Tensor engine transposes these.
// ROWS-LABEL: nki.kernel @odd
// ROWS:         %k_psum = nki.ndarray : !nki.tile<64x512xbf16, psum>
// ROWS:         [[LAST:%.+]] = nki.slice %entry[0 for 128, 1 for 1] : !nki.tile<128x2xi32, sbuf>
// ROWS-NEXT:    nki.memset [[LAST]], 0.000000e+00 : f32 on "gpsimd"
// ROWS:         nki.ap %table_flat at 0 by {{\[\[}}1, 128], [1, 1]]
// ROWS:         nki.ap %table_flat at 0 by {{\[\[}}1, 113], [1, 1]]
// ROWS:         nki.dma_transpose {{.*}} : !nki.tile<64x128xbf16, sbuf>
// ROWS:         %k_rows = nki.ndarray : !nki.tile<113x1x64xbf16, sbuf>
// ROWS:         nki.ap %k_flat at 0 by {{\[\[}}64, 113], [1, 64]]
// ROWS:         nki.nc_transpose {{.*}} : !nki.tile<64x113xbf16, psum>
// trn1: entries as they are in the table, as all pages have a key.
// PAGES-LABEL: nki.kernel @odd
// PAGES-NOT:     %existing_pages
// PAGES:         nki.ap %table at {{.*}} by {{\[\[}}1, 1], [1, 128]] : !nki.tile<241xi32, shared_hbm>

func.func @odd(%q: tensor<4x1x64xbf16>, %k: tensor<300x1x64xbf16>, %v: tensor<300x1x64xbf16>, %table: tensor<241xi32>) -> tensor<4x1x64xbf16> {
  %out = attention.sdpa
      q(%q[h * 4 + g, m, k] : tensor<4x1x64xbf16>)
      k(%k[page, slot, k] : tensor<300x1x64xbf16>)
      v(%v[page, slot, d] : tensor<300x1x64xbf16>)
      block_table(%table[p] : tensor<241xi32>)
      scale(0.125)
      -> out[h * 4 + g, m, d] : tensor<4x1x64xbf16>
  func.return %out : tensor<4x1x64xbf16>
}
