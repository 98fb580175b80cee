// RUN: xdsl-opt %s -p convert-attention-to-triton --split-input-file | filecheck %s

// A program of a partial walks over the tiles of one split; the rest is the kernel of attention.sdpa.

func.func @decode(%q: tensor<2x4x64xf16>, %k: tensor<2x500x64xf16>, %v: tensor<2x500x64xf16>) -> (tensor<2x1x4x3x1x64xf32>, tensor<2x1x4x3x1xf32>) {
  %out, %lse = attention.partial
      q(%q[b, g, k] : tensor<2x4x64xf16>) k(%k[b, n, k] : tensor<2x500x64xf16>) v(%v[b, n, d] : tensor<2x500x64xf16>)
      splits(3) tile(128) scale(0.125)
      schedule<block_m = 16, block_n = 64, warps = 2, stages = 3>
      -> out : tensor<2x1x4x3x1x64xf32>, lse : tensor<2x1x4x3x1xf32>
  func.return %out, %lse : tensor<2x1x4x3x1x64xf32>, tensor<2x1x4x3x1xf32>
}

// The results are buffers of our own, and contiguous: no strides.
// CHECK-LABEL: tl.jit @decode_partial_kernel(
// CHECK-SAME:    %out_ptr: !tl.ptr<f32>, %lse_ptr: !tl.ptr<f32>,
// CHECK-NOT:     %stride_o
// CHECK:         %split = tl.program_id 1

// T = ceil(len / TILE); lo = T split // SPLITS TILE, hi = min(T (split + 1) // SPLITS TILE, len)
// CHECK-NEXT:    %num_tiles = tl.cdiv %N, %TILE
// CHECK-NEXT:    [[FROM:%.+]] = tl.mul %num_tiles, %split
// CHECK-NEXT:    [[FIRST:%.+]] = tl.floordiv [[FROM]], %SPLITS
// CHECK:         [[NEXT:%.+]] = tl.add %split, {{%.+}}
// CHECK-NEXT:    [[TO:%.+]] = tl.mul %num_tiles, [[NEXT]]
// CHECK-NEXT:    [[LAST:%.+]] = tl.floordiv [[TO]], %SPLITS
// CHECK-NEXT:    %lo = tl.mul [[FIRST]], %TILE
// CHECK-NEXT:    [[END:%.+]] = tl.mul [[LAST]], %TILE
// CHECK-NEXT:    %hi = tl.minimum [[END]], %N
// CHECK:         tl.range %start_n = %lo to %hi step %BLOCK_N
// CHECK:           %mask_n = tl.lt %offs_n, %hi

// row = (b G + g) SPLITS + split, in 64 bits
// CHECK:         %row = tl.add {{.*}} -> tensor<16xi64>
// CHECK:         tl.store %out_ptrs, %out mask
// CHECK:         tl.store {{%.+}}, %lse mask %mask_r

// CHECK-LABEL: func.func @decode
// CHECK-NEXT:    %out = launch.empty() : tensor<2x1x4x3x1x64xf32>
// CHECK-NEXT:    %lse = launch.empty() : tensor<2x1x4x3x1xf32>
// CHECK:         [[TWO:%.+]] = arith.constant 2 : index
// CHECK:         [[THREE:%.+]] = arith.constant 3 : index
// CHECK:         launch.kernel @decode_partial_kernel[[[TWO]], [[THREE]]] (%q, %k, %v, %out, %lse,
// CHECK-SAME:    {num_warps = 2 : i64}

// -----

// T splits may not fit in 32 bits where the length is dynamic and there are more splits than keys in a tile.
func.func @wide(%q: tensor<64xf16>, %k: tensor<?x64xf16>, %v: tensor<?x64xf16>) -> (tensor<1x1x200x1x64xf32>, tensor<1x1x200x1xf32>) {
  %out, %lse = attention.partial
      q(%q[k] : tensor<64xf16>) k(%k[n, k] : tensor<?x64xf16>) v(%v[n, d] : tensor<?x64xf16>)
      splits(200) tile(64) scale(0.125)
      -> out : tensor<1x1x200x1x64xf32>, lse : tensor<1x1x200x1xf32>
  func.return %out, %lse : tensor<1x1x200x1x64xf32>, tensor<1x1x200x1xf32>
}

// CHECK-LABEL: tl.jit @wide_partial_kernel(
// CHECK-SAME:    %N: i32)
// CHECK:         tl.cdiv %N, %TILE
// CHECK-NEXT:    %num_tiles = tl.cast {{%.+}} : i32 -> i64
// CHECK:         tl.mul %num_tiles, {{%.+}} : (i64, i64) -> i64
// CHECK:         %lo = tl.mul {{.*}} -> i32

// The length comes from K; V must agree.
// CHECK-LABEL: func.func @wide
// CHECK-NEXT:    [[N:%.+]] = launch.size %k, 0
// CHECK-NEXT:    [[NV:%.+]] = launch.size %v, 0
// CHECK-NEXT:    launch.require [[NV]], [[N]], "dimension 0 of v must be the size of n"
// CHECK:         launch.kernel @wide_partial_kernel
// CHECK-SAME:    [[N]])

// -----

// The sum that a program carries anyway is the third buffer, where it is asked for; l_i is 0 for a split without keys.
func.func @sums(%q: tensor<2x4x64xf16>, %k: tensor<2x500x64xf16>, %v: tensor<2x500x64xf16>)
    -> (tensor<2x1x4x3x1x64xf32>, tensor<2x1x4x3x1xf32>, tensor<2x1x4x3x1xf32>) {
  %out, %lse, %sum = attention.partial
      q(%q[b, g, k] : tensor<2x4x64xf16>) k(%k[b, n, k] : tensor<2x500x64xf16>) v(%v[b, n, d] : tensor<2x500x64xf16>)
      splits(3) tile(128) scale(0.125)
      schedule<block_m = 16, block_n = 64, warps = 2, stages = 3>
      -> out : tensor<2x1x4x3x1x64xf32>, lse : tensor<2x1x4x3x1xf32>, sum : tensor<2x1x4x3x1xf32>
  func.return %out, %lse, %sum : tensor<2x1x4x3x1x64xf32>, tensor<2x1x4x3x1xf32>, tensor<2x1x4x3x1xf32>
}

// CHECK-LABEL: tl.jit @sums_partial_kernel(
// CHECK-SAME:    %out_ptr: !tl.ptr<f32>, %lse_ptr: !tl.ptr<f32>, %sum_ptr: !tl.ptr<f32>, %stride_q
// CHECK:         %m_i_1, [[L:%.+]], %acc_1 = tl.range %start_n
// CHECK:         [[LSE:%.+]] = tl.add %lse_ptr, %row
// CHECK-NEXT:    [[SUM:%.+]] = tl.add %sum_ptr, %row
// CHECK:         tl.store [[LSE]], %lse mask %mask_r
// CHECK-NEXT:    tl.store [[SUM]], [[L]] mask %mask_r

// CHECK-LABEL: func.func @sums
// CHECK:         %sum = launch.empty() : tensor<2x1x4x3x1xf32>
// CHECK:         launch.kernel @sums_partial_kernel{{.*}} (%q, %k, %v, %out, %lse, %sum,
// CHECK:         func.return %out, %lse, %sum
