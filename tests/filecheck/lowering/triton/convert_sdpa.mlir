// RUN: xdsl-opt %s -p convert-attention-to-triton --split-input-file | filecheck %s

// The online softmax over tiles of keys, and how operands are addressed from their layouts.

// One query of four heads a KV head: the rows of a tile are the heads of the group. Lengths bound the loop.
func.func @decode(%q: tensor<2x8x1x64xbf16>, %k: tensor<2x512x2x64xbf16>, %v: tensor<2x512x2x64xbf16>, %lens: tensor<2xi32>) -> tensor<2x8x1x64xbf16> {
  %out = attention.sdpa
      q(%q[b, h * 4 + g, m, k] : tensor<2x8x1x64xbf16>)
      k(%k[b, n, h, k] : tensor<2x512x2x64xbf16>)
      v(%v[b, n, h, d] : tensor<2x512x2x64xbf16>)
      kv_lens(%lens[b] : tensor<2xi32>)
      scale(0.125)
      schedule<block_m = 16, block_n = 64, warps = 4, stages = 3>
      -> out[b, h * 4 + g, m, d] : tensor<2x8x1x64xbf16>
  func.return %out : tensor<2x8x1x64xbf16>
}

// Parameters: pointers, then a stride for every iteration dimension of a size above 1.
// CHECK-LABEL: tl.jit @decode_kernel(
// CHECK-SAME:    %q_ptr: !tl.ptr<bf16>, %k_ptr: !tl.ptr<bf16>, %v_ptr: !tl.ptr<bf16>, %kv_lens_ptr: !tl.ptr<i32>, %out_ptr: !tl.ptr<bf16>,
// CHECK-SAME:    %stride_qb: i64, %stride_qh: i64, %stride_qg: i64, %stride_qk: i64,
// CHECK-SAME:    %stride_kb: i64, %stride_kh: i64, %stride_kn: i64, %stride_kk: i64,
// CHECK-SAME:    %stride_vb: i64, %stride_vh: i64, %stride_vn: i64, %stride_vd: i64,
// CHECK-SAME:    %stride_kv_lens_b: i64,
// CHECK-SAME:    %stride_ob: i64, %stride_oh: i64, %stride_og: i64, %stride_od: i64)

// scale * log2(e)
// CHECK:         %QK_SCALE = tl.constexpr 0.180336878 : f32

// b = bh // H, h = bh % H; every offset that meets a stride is 64 bits wide.
// CHECK:         %bh = tl.program_id 0
// CHECK-NEXT:    [[H:%.+]] = tl.mod %bh, %H
// CHECK-NEXT:    [[B:%.+]] = tl.floordiv %bh, %H
// CHECK-NEXT:    %off_b = tl.cast [[B]] : i32 -> i64
// CHECK-NEXT:    %off_h = tl.cast [[H]] : i32 -> i64

// Of 16 rows, four exist.
// CHECK:         %offs_g = tl.arange {{%.+}}, %BLOCK_M
// CHECK-NEXT:    %mask_r = tl.lt %offs_g, %G

// len = clamp(kv_lens[b], 0, N)
// CHECK:         [[LEN:%.+]] = tl.load
// CHECK:         [[MAX:%.+]] = tl.maximum [[LEN]]
// CHECK-NEXT:    %kv_len = tl.minimum [[MAX]], %N

// CHECK:         %q = tl.load %q_ptrs mask
// K transposed, V as it is, at key 0.
// CHECK:         %k_ptrs = tl.add {{.*}} -> tensor<64x64x!tl.ptr<bf16>>
// CHECK:         %v_ptrs = tl.add {{.*}} -> tensor<64x64x!tl.ptr<bf16>>
// m = -inf, l = 0, O = 0
// CHECK:         %m_i = tl.full
// CHECK-NEXT:    %l_i = tl.zeros[%BLOCK_M]
// CHECK-NEXT:    %acc = tl.zeros[%BLOCK_M, %BLOCK_D]

// for n in range(0, len, BLOCK_N):
// CHECK-NEXT:    [[M:%.+]], [[L:%.+]], [[ACC:%.+]] = tl.range %start_n = {{%.+}} to %kv_len step %BLOCK_N iter_args({{.*}}) {{.*}} num_stages 3 {
// CHECK:           %mask_n = tl.lt %offs_n, %kv_len
// CHECK-NEXT:      %start = tl.cast %start_n : i32 -> i64
//   S = Q K^T, -inf beyond the length; K and V are not read there.
// CHECK:           [[STEP:%.+]] = tl.mul %start, %stride_kn
// CHECK-NEXT:      [[TILE:%.+]] = tl.add %k_ptrs, [[STEP]]
// CHECK:           %k = tl.load [[TILE]] mask
// CHECK:           [[DOT:%.+]] = tl.dot %q, %k
// CHECK:           [[S:%.+]] = tl.where {{%.+}}, [[DOT]],
//   m' = max(m, scale log2(e) max S)
// CHECK:           [[TOP:%.+]] = tl.max [[S]] 1
// CHECK-NEXT:      [[SCALED:%.+]] = tl.mul [[TOP]], %QK_SCALE
// CHECK-NEXT:      %m_new = tl.maximum {{%.+}}, [[SCALED]]
// CHECK:           %m_safe = tl.where
//   P = exp2(scale log2(e) S - m'), one FMA a logit; alpha = exp2(m - m')
// CHECK:           [[LOGITS:%.+]] = tl.mul [[S]], %QK_SCALE
// CHECK:           [[D:%.+]] = tl.sub [[LOGITS]],
// CHECK-NEXT:      %p = tl.exp2 [[D]]
// CHECK:           %alpha = tl.exp2
//   l' = alpha l + sum P
// CHECK:           [[OLD:%.+]] = tl.mul {{%.+}}, %alpha
// CHECK-NEXT:      [[SUM:%.+]] = tl.sum %p 1
// CHECK-NEXT:      [[LNEW:%.+]] = tl.add [[OLD]], [[SUM]]
//   O' = alpha O + P V
// CHECK:           %v = tl.load {{%.+}} mask
// CHECK:           [[P:%.+]] = tl.cast %p : tensor<16x64xf32> -> tensor<16x64xbf16>
// CHECK-NEXT:      [[ANEW:%.+]] = tl.dot [[P]], %v acc
// CHECK-NEXT:      tl.yield %m_new, [[LNEW]], [[ANEW]]
// CHECK-NEXT:    }
// out = O / l, 0 where l is 0
// CHECK:         %l_safe = tl.where
// CHECK:         %out = tl.truediv [[ACC]]
// CHECK:         tl.store %out_ptrs, {{%.+}} mask

// The stride of h in the index h * 4 + g is four times that of the dimension.
// CHECK-LABEL: func.func @decode
// CHECK-NEXT:    %out = launch.empty() : tensor<2x8x1x64xbf16>
// CHECK:         [[QH1:%.+]] = launch.stride %q, 1
// CHECK-NEXT:    [[QH:%.+]] = arith.muli [[QH1]], [[FOUR:%.+]] : index
// CHECK-NEXT:    [[QG:%.+]] = launch.stride %q, 1
// CHECK:         launch.kernel @decode_kernel[[[FOUR]]] (%q, %k, %v, %lens, %out, {{%.+}}, [[QH]], [[QG]], {{.*}}) {num_warps = 4 : i64}
// CHECK-NEXT:    func.return %out

// -----

// Rows of several tiles: row r is query r // G of head r % G. No mask at all, since 64 divides 512 and 1024.
func.func @prefill(%q: tensor<512x6x64xf32>, %k: tensor<1024x3x64xf32>, %v: tensor<1024x3x64xf32>) -> (tensor<512x6x64xf32>, tensor<6x512xf32>) {
  %out, %lse = attention.sdpa
      q(%q[m, h * 2 + g, k] : tensor<512x6x64xf32>)
      k(%k[n, h, k] : tensor<1024x3x64xf32>)
      v(%v[n, h, d] : tensor<1024x3x64xf32>)
      scale(0.125)
      schedule<block_m = 64, block_n = 64, warps = 4, stages = 2>
      -> out[m, h * 2 + g, d] : tensor<512x6x64xf32>, lse[h * 2 + g, m] : tensor<6x512xf32>
  func.return %out, %lse : tensor<512x6x64xf32>, tensor<6x512xf32>
}

// CHECK-LABEL: tl.jit @prefill_kernel(
// CHECK-NOT:     %mask
// CHECK:         %num_tiles_m = tl.cdiv {{%.+}}, %BLOCK_M
// CHECK-NEXT:    %pid_m = tl.mod %pid, %num_tiles_m
// CHECK-NEXT:    %bh = tl.floordiv %pid, %num_tiles_m
// CHECK:         %offs_r = tl.add
// CHECK-NEXT:    %offs_m = tl.floordiv %offs_r, %G
// CHECK-NEXT:    %offs_g = tl.mod %offs_r, %G
// CHECK-NOT:     %mask
// f32 is multiplied in f32, not in tf32.
// CHECK:         tl.dot %q, %k precision "ieee"
// CHECK-NOT:     %mask
// CHECK:         tl.dot {{%.+}}, %v acc {{.*}} precision "ieee"
// LSE in natural units: (m + log2(l)) ln(2)
// CHECK:         [[LOG:%.+]] = tl.log2 %l_safe
// CHECK-NEXT:    [[SUM:%.+]] = tl.add {{%.+}}, [[LOG]]
// CHECK-NEXT:    %lse = tl.mul [[SUM]], %LN
// CHECK-NEXT:    tl.store {{%.+}}, %lse :
// 512 * 2 rows are 16 tiles, of 3 heads.
// CHECK-LABEL: func.func @prefill
// CHECK:         [[GRID:%.+]] = arith.constant 48 : index
// CHECK:         launch.kernel @prefill_kernel[[[GRID]]]

// -----

// The head size 576 of Q and K is two blocks, the 24 of V one with a mask. A sink starts the sums: m = sink, l = 1.
func.func @sinks(%q: tensor<576xf16>, %k: tensor<100x576xf16>, %v: tensor<100x24xf16>, %sink: tensor<f32>) -> tensor<24xf16> {
  %out = attention.sdpa
      q(%q[k] : tensor<576xf16>) k(%k[n, k] : tensor<100x576xf16>) v(%v[n, d] : tensor<100x24xf16>)
      sinks(%sink[] : tensor<f32>) scale(1.0)
      schedule<block_m = 16, block_n = 32, warps = 4, stages = 2> -> out[d] : tensor<24xf16>
  func.return %out : tensor<24xf16>
}

// CHECK-LABEL: tl.jit @sinks_kernel(
// CHECK-SAME:    %stride_qk: i64, %stride_kn: i64, %stride_kk: i64, %stride_vn: i64, %stride_vd: i64, %stride_od: i64)
// CHECK:         %BLOCK_K0 = tl.constexpr 512 : i32
// CHECK-NEXT:    %BLOCK_K1 = tl.constexpr 64 : i32
// CHECK-NEXT:    %BLOCK_D = tl.constexpr 32 : i32
// CHECK:         %mask_d = tl.lt %offs_d
// CHECK:         %sink = tl.load
// CHECK:         %m_i = tl.mul %sink, %LOG2E
// CHECK:         %l_i = tl.where
// CHECK:         tl.range
// CHECK:           [[S:%.+]] = tl.dot %q0, %k0
// CHECK:           tl.dot %q1, %k1 acc [[S]]
