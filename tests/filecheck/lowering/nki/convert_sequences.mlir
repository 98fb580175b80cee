// RUN: xdsl-opt %s -p convert-attention-to-nki --split-input-file | filecheck %s
// RUN: xdsl-opt %s -p 'convert-attention-to-nki{cores=2}' --split-input-file | filecheck %s --check-prefix=CORES

// Sequences side by side in a tile of logits, [keys, sequence, query head, query, tile of keys], where the keys of one do
// not fill it: one maximum, one exponential, one reciprocal and one store for all of them. 100 keys are one tile, of 100
// partitions.

// Eight sequences of one KV head, 32 rows. The schedule that comes out says how many there are.
// CHECK-LABEL: nki.kernel @eight
// CHECK-SAME:    nki.schedule = #attention.schedule<{{.*}}cores = 1, keys_on_partitions = 1, sequences = 8>
// CHECK-NOT:     nki.for %b
// CHECK:         %scores = nki.ndarray : !nki.tile<100x8x4x1x1xf32, sbuf>
// A product for each, all in one bank of PSUM, and copied as one.
// CHECK:         %products = nki.ndarray {{.*}} : !nki.tile<100x8x4x1x1xf32, psum>
// CHECK:         nki.for %sequence =
// CHECK:           nki.dma_transpose %k_t
// CHECK:           nki.nc_matmul
// CHECK:         nki.activation "copy"
// One tile of keys is no reduction over tiles: the maximum and the sum are taken over partitions alone.
// CHECK:         nki.nc_transpose {{.*}}, %scores
// CHECK-NEXT:    %negated_max = nki.ndarray
// CHECK-NEXT:    nki.tensor_reduce "maximum" %negated_max, {{.*}} axes 1 negate
// CHECK:         nki.activation "exp" %weights, %scores
// CHECK-NOT:     nki.tensor_reduce
// CHECK:         nki.nc_matmul {{.*}}, %weights, {{.*}} : !nki.tile<32x1xf32, psum>, !nki.tile<100x8x4x1x1xbf16, sbuf>, !nki.tile<100x1xbf16, sbuf>
// CHECK:         nki.for %sequence
// CHECK:           nki.dma_copy %v_rows
// CHECK:           nki.nc_matmul
// CHECK:         nki.reciprocal %inverse_sum, {{.*}} : !nki.tile<32x1xf32, sbuf>
// CHECK:         nki.dma_copy {{.*}}, %out_rows : !nki.tile<32x64xbf16, shared_hbm>
// CHECK-NOT:     nki.reciprocal
// Two cores have four each, core 1 from the fourth on: 16 rows of 64 further on.
// CORES-LABEL: nki.kernel @eight
// CORES-SAME:    sequences = 4>
// CORES-NOT:     nki.for
// CORES:         %scores = nki.ndarray : !nki.tile<100x4x4x1x1xf32, sbuf>
// CORES:         [[START:%.+]] = affine.apply affine_map<(d0) -> ((d0 * 1024))> (%core)
// CORES-NEXT:    nki.ap %q at [[START]] by

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
// CHECK:           %scores = nki.ndarray : !nki.tile<100x3x32x1x1xf32, sbuf>
// CHECK:         nki.for %b_block
// CHECK:           nki.ndarray : !nki.tile<100x2x32x1x1xf32, sbuf>
// Two cores have four heads each, of all sequences.
// CORES-LABEL: nki.kernel @five
// CORES-SAME:    sequences = 5>
// CORES-NOT:     nki.for
// CORES:         %scores = nki.ndarray : !nki.tile<100x5x16x1x1xf32, sbuf>

func.func @five(%q: tensor<5x32x1x64xbf16>, %k: tensor<5x8x100x64xbf16>, %v: tensor<5x8x100x64xbf16>) -> tensor<5x32x1x64xbf16> {
  %0 = attention.sdpa
      q(%q[b, h * 4 + g, m, k] : tensor<5x32x1x64xbf16>)
      k(%k[b, h, n, k] : tensor<5x8x100x64xbf16>)
      v(%v[b, h, n, d] : tensor<5x8x100x64xbf16>)
      scale(0.125) -> out[b, h * 4 + g, m, d] : tensor<5x32x1x64xbf16>
  func.return %0 : tensor<5x32x1x64xbf16>
}

// -----

// Nine sequences of one head: core 0 has five and core 1 four, in a tile each, and neither runs the other's loop.
// CORES-LABEL: nki.kernel @nine
// CORES-SAME:    sequences = 5>
// CORES:         [[ONE:%.+]] = arith.constant 1 : index
// CORES-NEXT:    nki.for %b_block = %core to [[ONE]] step 1
// CORES:           nki.ndarray : !nki.tile<100x5x4x1x1xf32, sbuf>
// CORES:         [[OTHER:%.+]] = affine.apply affine_map<(d0) -> (((d0 * -1) + 1))> (%core)
// CORES:         nki.for {{.*}} = [[OTHER]] to
// CORES:           nki.ndarray : !nki.tile<100x4x4x1x1xf32, sbuf>

func.func @nine(%q: tensor<9x4x1x64xbf16>, %k: tensor<9x1x100x64xbf16>, %v: tensor<9x1x100x64xbf16>) -> tensor<9x4x1x64xbf16> {
  %0 = attention.sdpa
      q(%q[b, h * 4 + g, m, k] : tensor<9x4x1x64xbf16>)
      k(%k[b, h, n, k] : tensor<9x1x100x64xbf16>)
      v(%v[b, h, n, d] : tensor<9x1x100x64xbf16>)
      scale(0.125) -> out[b, h * 4 + g, m, d] : tensor<9x4x1x64xbf16>
  func.return %0 : tensor<9x4x1x64xbf16>
}

// -----

// A schedule says how many at most.
// CHECK-LABEL: nki.kernel @scheduled
// CHECK-SAME:    sequences = 2>
// CHECK:         nki.for %b_block =
// CHECK:           %scores = nki.ndarray : !nki.tile<100x2x4x1x1xf32, sbuf>

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

// In pages, too: each sequence has entries of the table of its own, the second 6 further on, and numbers of rows, of
// each 96 on so many partitions.
// CHECK-LABEL: nki.kernel @pages
// CHECK-SAME:    sequences = 2
// CHECK:         %scores = nki.ndarray : !nki.tile<96x2x4x1x1xf32, sbuf>
// CHECK:         %entry = nki.ndarray : !nki.tile<96x2x1xi32, sbuf>
// CHECK:         nki.for %sequence =
// CHECK:           affine_map<(d0) -> ((d0 * 6))> (%sequence)
// CHECK:         nki.for %sequence
// CHECK:           [[NUMBERS:%.+]] = nki.slice %rows[0 for 96, %sequence{{.*}}, 0 for 1]
// CHECK:           nki.ap %pool_flat at 0 by {{.*}} rows [[NUMBERS]]

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
