// RUN: xdsl-opt %s -p convert-attention-to-nki | filecheck %s
// RUN: xdsl-opt %s -p 'convert-attention-to-nki{target=trn1}' | filecheck %s --check-prefix=TRN1

// A decoding step: two sequences of two KV heads of four query heads each, 1100 keys, so eight whole tiles of keys and one of 76.

func.func @decode(%q: tensor<2x8x1x64xbf16>, %k: tensor<2x2x1100x64xbf16>, %v: tensor<2x2x1100x64xbf16>, %lens: tensor<2xi64>) -> (tensor<2x8x1x64xbf16>, tensor<2x8x1xf32>) {
  %out, %lse = attention.sdpa
      q(%q[b, h * 4 + g, m, k] : tensor<2x8x1x64xbf16>)
      k(%k[b, h, n, k] : tensor<2x2x1100x64xbf16>)
      v(%v[b, h, n, d] : tensor<2x2x1100x64xbf16>)
      kv_lens(%lens[b] : tensor<2xi64>)
      scale(0.125)
      score(window(m - 500 <= n <= m + 1099))
      -> out[b, h * 4 + g, m, d] : tensor<2x8x1x64xbf16>, lse[b, h * 4 + g, m] : tensor<2x8x1xf32>
  func.return %out, %lse : tensor<2x8x1x64xbf16>, tensor<2x8x1xf32>
}

// The kernel has the function's name, its arguments in order (NKI has no i64), and its results in shared HBM.
// CHECK-LABEL: nki.kernel @decode(%q: !nki.tile<2x8x1x64xbf16, shared_hbm>,
// CHECK-SAME:    %lens: !nki.tile<2xi32, shared_hbm>) target trn2 cores 1
// CHECK-NEXT:    %out = nki.ndarray : !nki.tile<2x8x1x64xbf16, shared_hbm>
// CHECK-NEXT:    %lse = nki.ndarray : !nki.tile<2x8x1xf32, shared_hbm>

// Both heads of both sequences in one tile of logits, [128 keys, sequence, query head, query, tile of keys].
// CHECK-NOT:     nki.for %b =
// CHECK:         %scores = nki.ndarray : !nki.tile<128x2x8x1x9xf32, sbuf>
// absent[p, b, t] = t * 128 + p >= len[b], and the opposite as whole numbers.
// CHECK:           nki.dma_copy %length_i32, {{.*}} : !nki.tile<128x2x1x1x1xi32, sbuf>, !nki.tile<128x2xi32, shared_hbm>
// CHECK:           nki.iota %position offset 0 channel 1 steps [128] nums [9]
// CHECK:           nki.tensor_tensor "greater_equal" %absent, {{.*}} : !nki.tile<128x2x1x1x9xui8, sbuf>
// CHECK:           nki.tensor_scalar %existing, %absent "equal" number 0.000000e+00 : f32 : !nki.tile<128x2x1x1x9xi32, sbuf>

// S^T = K Q^T: K^T by a transposing DMA, four tiles at once; a product for each tile, all into one bank of PSUM.
// CHECK:           %products = nki.ndarray {{.*}} : !nki.tile<128x2x8x1x8xf32, psum>
// CHECK:           nki.for %sequence =
// CHECK:             nki.for %head =
// CHECK:             nki.for %load =
// CHECK:               nki.dma_transpose %k_t, {{.*}} : !nki.tile<64x512xbf16, sbuf>, !nki.tile<512x64xbf16, shared_hbm>
// CHECK:               nki.for %j =
// CHECK:                 nki.nc_matmul {{.*}} : !nki.tile<128x4x1xf32, psum>, !nki.tile<64x128xbf16, sbuf>, !nki.tile<64x4xbf16, sbuf>
// Scaled on the way out of PSUM, all at once.
// CHECK:           nki.activation "copy" {{.*}} factor 1.250000e-01 : f32 : !nki.tile<128x2x8x1x8xf32, sbuf>
// The last tile by exact slices.
// CHECK:             nki.dma_transpose {{.*}} : !nki.tile<64x76xbf16, sbuf>, !nki.tile<76x64xbf16, shared_hbm>
// CHECK:             nki.nc_matmul {{.*}} : !nki.tile<76x4x1xf32, psum>, !nki.tile<64x76xbf16, sbuf>, !nki.tile<64x4xbf16, sbuf>

// n - m + 500 >= 0 and n - m - 1099 <= 0, with n = t * 128 + p and m = 0; then n < 1100 in the last tile; then n < len.
// CHECK:           nki.affine_select "greater_equal" %scores, %scores else 0xff800000 : f32 offset 500 channel 1 steps [0, 0, 128] nums [2, 8, 9]
// CHECK-NEXT:      nki.affine_select "less_equal" %scores, %scores else 0xff800000 : f32 offset -1099 channel 1 steps [0, 0, 128] nums [2, 8, 9]
// CHECK:           nki.affine_select "greater_equal" {{.*}} offset 75 channel -1
// CHECK:           nki.tensor_copy_predicated %scores where {{.*}} value 0xff800000

// max over tiles on every partition; transposed, and its negative over partitions; transposed back, a row's on all of them.
// CHECK:           nki.tensor_reduce "maximum" %partition_max, %scores axes 1
// CHECK:           nki.nc_transpose {{.*}}, %partition_max : !nki.tile<16x128xf32, psum>, !nki.tile<128x16xf32, sbuf>
// CHECK:           nki.tensor_reduce "maximum" %negated_max, {{.*}} axes 1 negate : !nki.tile<16x1xf32, sbuf>, !nki.tile<16x128xf32, psum>
// CHECK:           [[SPREAD:%.+]] = nki.ap %negated_max at 0 by {{\[}}[1, 16], [0, 128]]
// CHECK:           nki.nc_transpose {{.*}}, [[SPREAD]] : !nki.tile<128x16xf32, psum>, !nki.tile<16x128xf32, sbuf>
// p = exp(S^T - max) in the type of V, where max is at least the lowest f32; the sum over partitions is a product with ones.
// CHECK:           nki.scalar_tensor_tensor %scores, {{.*}} "minimum" number 3.40282347e+38 : f32 then "add" %scores
// CHECK-NEXT:      nki.activation "exp" %weights, %scores : !nki.tile<128x2x8x1x9xbf16, sbuf>
// CHECK-NEXT:      nki.tensor_reduce "add" %partition_sum, %weights axes 1
// CHECK:           [[SUM:%.+]] = nki.slice %turned[0 for 16, 128 for 1]
// CHECK:           nki.nc_matmul [[SUM]], %partition_sum, %ones

// O^T = V^T p: summed over all tiles in PSUM. Rows of V that do not exist become 0, as they may hold NaN: two numbers of
// bf16 are a word, times 0 or 1.
// CHECK:               nki.dma_copy %v_rows,
// CHECK:               [[WORDS:%.+]] = nki.ap %v_rows at 0 by {{\[}}[128, 128], [32, 4], [1, 32]] : !nki.tile<128x4x64xbf16, sbuf> as i32
// CHECK-NEXT:          nki.tensor_tensor "multiply" [[WORDS]], [[WORDS]], {{.*}} on "gpsimd" : !nki.tile<128x4x32xi32, sbuf>
// CHECK:                 [[LATER:%.+]] = arith.cmpi sgt
// CHECK-NEXT:            nki.nc_matmul {{.*}} accumulate [[LATER]] : !nki.tile<64x4xf32, psum>, !nki.tile<128x64xbf16, sbuf>, !nki.tile<128x4x1xbf16, sbuf>
// CHECK:             nki.nc_matmul {{.*}} : !nki.tile<64x4xf32, psum>, !nki.tile<76x64xbf16, sbuf>, !nki.tile<76x4x1xbf16, sbuf>

// out = O / sum, with rows on the partitions again; lse = log(sum) - (-max), where the maximum of a row without keys is -inf.
// CHECK:           nki.reciprocal %inverse_sum
// CHECK:           nki.nc_transpose {{.*}}, %out_t_rows
// CHECK-NEXT:      nki.tensor_scalar %out_rows, {{.*}} "multiply" tile %inverse_sum
// CHECK:           nki.activation "log" %lse_rows
// CHECK-NEXT:      nki.tensor_tensor "subtract" %lse_rows, %lse_rows, %negated_max
// CHECK-NOT:       nki.select_reduce
// CHECK:         nki.return %out, %lse

// The Tensor engine of trn1 transposes no infinities: the maximum is at least the lowest f32 before, and lse is chosen.
// TRN1:            nki.tensor_reduce "maximum" %partition_max, %scores axes 1
// TRN1-NEXT:       nki.tensor_scalar %partition_max, %partition_max "maximum" number -3.40282347e+38
// TRN1:            nki.nc_transpose {{.*}}, %partition_max
// It has no product of 32-bit integers on GpSimd: rows of V are cleared as words of 16 bits.
// TRN1:            [[WORDS:%.+]] = nki.ap %v_rows at 0 by {{\[}}[256, 128], [64, 4], [1, 64]] : !nki.tile<128x4x64xbf16, sbuf> as ui16
// TRN1-NEXT:       nki.tensor_tensor "multiply" [[WORDS]], [[WORDS]], {{.*}} on "gpsimd" : !nki.tile<128x4x64xui16, sbuf>, !nki.tile<128x4x64xui16, sbuf>, !nki.tile<128x4x64xui8, sbuf>
// TRN1:            nki.tensor_scalar %has_keys, {{.*}} "greater" number 0.000000e+00
// TRN1-NEXT:       nki.select_reduce %lse_rows where %has_keys, %lse_rows else 0xff800000
