// RUN: xdsl-opt %s -p convert-attention-to-nki --split-input-file | filecheck %s
// RUN: xdsl-opt %s -p 'convert-attention-to-nki{cores=2}' --split-input-file | filecheck %s --check-prefix=CORES

// Sequences side by side in a tile of logits, [128 keys, sequence, query head, query, tile of keys], where the keys of one do
// not fill it: one maximum, one exponential, one reciprocal and one store for all of them.

// Eight sequences of one KV head, 32 rows. The schedule that comes out says how many there are.
// CHECK-LABEL: nki.kernel @eight
// CHECK-SAME:    nki.schedule = #attention.schedule<{{.*}}cores = 1, keys_on_partitions = 1, sequences = 8>
// CHECK-NOT:     nki.for %b
// CHECK:         %scores = nki.ndarray : !nki.tile<128x8x4x1x1xf32, sbuf>
// A product for each, all in one bank of PSUM, and copied as one.
// CHECK:         %products = nki.ndarray {{.*}} : !nki.tile<100x8x4x1x1xf32, psum>
// CHECK:         nki.for %sequence =
// CHECK:           nki.dma_transpose %k_t
// CHECK:           nki.nc_matmul
// CHECK:         nki.activation "copy"
// CHECK-COUNT-2: nki.tensor_reduce "maximum"
// CHECK:         nki.activation "exp" %weights, %scores
// CHECK:         nki.for %sequence
// CHECK:           nki.dma_copy %v_rows
// CHECK:           nki.nc_matmul
// CHECK:         nki.reciprocal %inverse_sum, {{.*}} : !nki.tile<32x1xf32, sbuf>
// CHECK:         nki.dma_copy {{.*}}, %out_rows : !nki.tile<32x64xbf16, shared_hbm>
// CHECK-NOT:     nki.reciprocal
// Two cores have four each.
// CORES-LABEL: nki.kernel @eight
// CORES-SAME:    sequences = 4>
// CORES:         nki.for %b_block = %core
// CORES:           %scores = nki.ndarray : !nki.tile<128x4x4x1x1xf32, sbuf>

func.func @eight(%q: tensor<8x4x1x64xbf16>, %k: tensor<8x1x100x64xbf16>, %v: tensor<8x1x100x64xbf16>) -> tensor<8x4x1x64xbf16> {
  %0 = attention.sdpa
      q(%q[b, h * 4 + g, m, k] : tensor<8x4x1x64xbf16>)
      k(%k[b, h, n, k] : tensor<8x1x100x64xbf16>)
      v(%v[b, h, n, d] : tensor<8x1x100x64xbf16>)
      scale(0.125) -> out[b, h * 4 + g, m, d] : tensor<8x4x1x64xbf16>
  func.return %0 : tensor<8x4x1x64xbf16>
}

// -----

// Five sequences of eight KV heads: four fill the 128 rows of a tile, so three and the two that are left.
// CHECK-LABEL: nki.kernel @five
// CHECK-SAME:    sequences = 3>
// CHECK:         nki.for %b_block =
// CHECK:           %scores = nki.ndarray : !nki.tile<128x3x32x1x1xf32, sbuf>
// CHECK:         nki.for %b_block
// CHECK:           nki.ndarray : !nki.tile<128x2x32x1x1xf32, sbuf>

func.func @five(%q: tensor<5x32x1x64xbf16>, %k: tensor<5x8x100x64xbf16>, %v: tensor<5x8x100x64xbf16>) -> tensor<5x32x1x64xbf16> {
  %0 = attention.sdpa
      q(%q[b, h * 4 + g, m, k] : tensor<5x32x1x64xbf16>)
      k(%k[b, h, n, k] : tensor<5x8x100x64xbf16>)
      v(%v[b, h, n, d] : tensor<5x8x100x64xbf16>)
      scale(0.125) -> out[b, h * 4 + g, m, d] : tensor<5x32x1x64xbf16>
  func.return %0 : tensor<5x32x1x64xbf16>
}

// -----

// A schedule says how many at most.
// CHECK-LABEL: nki.kernel @scheduled
// CHECK-SAME:    sequences = 2>
// CHECK:         nki.for %b_block =
// CHECK:           %scores = nki.ndarray : !nki.tile<128x2x4x1x1xf32, sbuf>

func.func @scheduled(%q: tensor<4x4x1x64xbf16>, %k: tensor<4x1x100x64xbf16>, %v: tensor<4x1x100x64xbf16>) -> tensor<4x4x1x64xbf16> {
  %0 = attention.sdpa
      q(%q[b, h * 4 + g, m, k] : tensor<4x4x1x64xbf16>)
      k(%k[b, h, n, k] : tensor<4x1x100x64xbf16>)
      v(%v[b, h, n, d] : tensor<4x1x100x64xbf16>)
      scale(0.125) schedule<block_m = 128, block_n = 512, warps = 1, stages = 1, keys_on_partitions = 1, sequences = 2>
      -> out[b, h * 4 + g, m, d] : tensor<4x4x1x64xbf16>
  func.return %0 : tensor<4x4x1x64xbf16>
}

// -----

// Pages are those of one sequence: numbers of their rows are computed for it.
// CHECK-LABEL: nki.kernel @pages
// CHECK-NOT:     sequences =
// CHECK:         nki.for %b =
// CHECK:           %scores = nki.ndarray : !nki.tile<128x4x1x1xf32, sbuf>

func.func @pages(%q: tensor<2x4x1x64xbf16>, %pool: tensor<12x16x1x64xbf16>, %table: tensor<2x6xi32>) -> tensor<2x4x1x64xbf16> {
  %0 = attention.sdpa
      q(%q[b, h * 4 + g, m, k] : tensor<2x4x1x64xbf16>)
      k(%pool[page, slot, h, k] : tensor<12x16x1x64xbf16>)
      v(%pool[page, slot, h, d] : tensor<12x16x1x64xbf16>)
      block_table(%table[b, p] : tensor<2x6xi32>)
      scale(0.125) schedule<block_m = 128, block_n = 512, warps = 1, stages = 1, keys_on_partitions = 1>
      -> out[b, h * 4 + g, m, d] : tensor<2x4x1x64xbf16>
  func.return %0 : tensor<2x4x1x64xbf16>
}
