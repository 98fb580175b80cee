// RUN: xdsl-opt %s -p convert-attention-to-triton --split-input-file | filecheck %s
// RUN: xdsl-opt %s -p convert-attention-to-triton --split-input-file -t triton | filecheck %s --check-prefix=TEXT

// Quantised K and V: an element of storage that holds P codes gives P blocks of the head, so a logit is a sum of P dots
// and nothing is interleaved. Scales are applied where that costs least.

// Nibbles in words, a scale for the eight of one word; values are rounded, so they are made before the dots.
func.func @words(%q: tensor<4x128xbf16>, %k: tensor<512x16xi32>, %ks: tensor<512x16xbf16>, %v: tensor<512x16xi32>, %vs: tensor<512x16xbf16>) -> tensor<4x128xbf16> {
  %out = attention.sdpa
      q(%q[g, k] : tensor<4x128xbf16>)
      k(%k[n, k floordiv 8] : tensor<512x16xi32>) quantized(u4, zero = 7, round = bf16)
      k_scale(%ks[n, k floordiv 8] : tensor<512x16xbf16>)
      v(%v[n, d floordiv 8] : tensor<512x16xi32>) quantized(u4, zero = 7, round = bf16)
      v_scale(%vs[n, d floordiv 8] : tensor<512x16xbf16>)
      scale(0.125) schedule<block_m = 16, block_n = 32, warps = 1, stages = 3>
      -> out[g, d] : tensor<4x128xbf16>
  func.return %out : tensor<4x128xbf16>
}

// Channel j + 8 e is lane j of element e: those are the columns of block j of Q.
// CHECK-LABEL: tl.jit @words_kernel(
// CHECK-SAME:    %k_ptr: !tl.ptr<i32>, %k_scale_ptr: !tl.ptr<bf16>
// CHECK:         %offs_kw = tl.cast {{.*}} : tensor<16xi32> -> tensor<16xi64>
// CHECK:         %offs_k1 = tl.add
// CHECK:         %q1 = tl.load %q_ptrs1
// CHECK:         tl.range %start_n =
// One load of words, one of scales; k0 = bf16((words & 15) - 7) * scale; S = q0 k0
// CHECK:           %k_codes = tl.load {{.*}} -> tensor<16x32xi32>
// CHECK:           [[LOW:%.+]] = tl.and %k_codes, {{%.+}}
// CHECK:           [[SHIFTED:%.+]] = tl.sub [[LOW]], {{%.+}}
// CHECK-NEXT:      [[CODE:%.+]] = tl.cast [[SHIFTED]] : tensor<16x32xi32> -> tensor<16x32xbf16>
// CHECK:           %k_scale = tl.load {{.*}} -> tensor<16x32xbf16>
// CHECK-NEXT:      %k0 = tl.mul [[CODE]], %k_scale
// CHECK-NEXT:      %scores = tl.dot %q0, %k0
// S += q1 k1, with k1 from bits 4 to 7, and so on to k7
// CHECK:           %k1 = tl.mul
// CHECK-NEXT:      %scores_1 = tl.dot %q1, %k1 acc %scores
// CHECK:           tl.dot %q7, %k7 acc
// An accumulator for each lane of V.
// CHECK:           [[DECAYED:%.+]] = tl.mul {{%.+}}, {{%.+}} : (tensor<16x16xf32>, tensor<16x1xf32>)
// CHECK:           tl.dot %weights, %v0 acc
// CHECK:           tl.dot %weights, %v7 acc

// TEXT:         # k[n, k floordiv 8]: i32 of 8 u4 codes, value = bf16((code - 7) * k_scale)
// TEXT-LABEL: def words_kernel(
// TEXT:           offs_k1 = offs_kw * LANES_K + 1
// TEXT:           q_ptrs1 = q_row_ptrs + offs_k1[None, :] * stride_qk
// TEXT:               k0 = ((k_codes & 15) - 7).to(tl.bfloat16) * k_scale
// TEXT:               scores = tl.dot(q0, k0)
// TEXT:               k1 = ((k_codes >> 4 & 15) - 7).to(tl.bfloat16) * k_scale
// TEXT-NEXT:          scores = tl.dot(q1, k1, scores)
// TEXT:               k7 = ((k_codes >> 28 & 15) - 7).to(tl.bfloat16) * k_scale
// TEXT:           out_ptrs7 = out_row_ptrs + offs_d7[None, :] * stride_od

// -----

// A scale for each key, not rounded: the dots are of codes, and S and P are multiplied with the scales.
func.func @keys(%q: tensor<4x64xf16>, %k: tensor<9x64x64xi8>, %ks: tensor<9x64xf32>, %v: tensor<9x64x64xi8>, %vs: tensor<9x64xf32>, %t: tensor<8xi32>) -> tensor<4x64xf16> {
  %out = attention.sdpa
      q(%q[g, k] : tensor<4x64xf16>)
      k(%k[page, slot, k] : tensor<9x64x64xi8>) quantized(i8) k_scale(%ks[page, slot] : tensor<9x64xf32>)
      v(%v[page, slot, d] : tensor<9x64x64xi8>) quantized(i8) v_scale(%vs[page, slot] : tensor<9x64xf32>)
      block_table(%t[p] : tensor<8xi32>)
      scale(0.125) schedule<block_m = 16, block_n = 32, warps = 1, stages = 3>
      -> out[g, d] : tensor<4x64xf16>
  func.return %out : tensor<4x64xf16>
}

// TEXT-LABEL: def keys_kernel(
// TEXT:               k = k_codes.to(tl.int32).to(tl.float16)
// TEXT:               # S = Q K^T
// TEXT-NEXT:          scores = tl.dot(q, k)
// TEXT-NEXT:          # The scale of each key
// TEXT-NEXT:          scores = scores * k_scale[None, :]
// P times a scale of int8 would be small for f16: it is multiplied by 128 as well, and the output divided.
// TEXT:               v_scale = tl.load(
// TEXT:               (p * (v_scale * 128.0)[None, :]).to(tl.float16)
// TEXT:           tl.store({{.*}}, (out * V_UNIT).to(tl.float16)

// -----

// One scale for all of K and of V, and 8-bit floats as bits: the exponent is moved, which every GPU can do.
func.func @whole(%q: tensor<4x64xbf16>, %k: tensor<512x16xi32>, %s: tensor<f32>, %v: tensor<512x16xi32>) -> tensor<4x64xbf16> {
  %out = attention.sdpa
      q(%q[g, k] : tensor<4x64xbf16>)
      k(%k[n, k mod 16] : tensor<512x16xi32>) quantized(f8E4M3FN) k_scale(%s[] : tensor<f32>)
      v(%v[n, d mod 16] : tensor<512x16xi32>) quantized(f8E5M2) v_scale(%s[] : tensor<f32>)
      scale(0.125) schedule<block_m = 16, block_n = 32, warps = 1, stages = 3>
      -> out[g, d] : tensor<4x64xbf16>
  func.return %out : tensor<4x64xbf16>
}

// CHECK-LABEL: tl.jit @whole_kernel(
// Element e holds channel e, e + 16, ...: lane j has the channels from 16 j on.
// CHECK:         %offs_k1 = tl.add {{.*}}, %offs_kw
// CHECK:         %k_scale = tl.load %k_scale_ptr : !tl.ptr<f32> -> f32
// f32 from e4m3: sign to bit 31, exponent and mantissa to bit 20, times 2^120; NaN has no number to become.
// CHECK:           %bits = tl.and %k_codes
// CHECK:           %magnitude = tl.and %bits
// CHECK:           [[BITS:%.+]] = tl.or
// CHECK-NEXT:      [[FLOAT:%.+]] = tl.bitcast [[BITS]] : tensor<16x32xi32> -> tensor<16x32xf32>
// CHECK:           tl.where
// CHECK-NEXT:      %k0 = tl.cast {{.*}} -> tensor<16x32xbf16>
// e5m2 is the upper half of an f16.
// CHECK:           tl.bitcast {{.*}} : tensor<32x16xi16> -> tensor<32x16xf16>

// TEXT-LABEL: def whole_kernel(
// TEXT:               scores = scores * (k_scale * QK_SCALE)
// TEXT:           out0 = acc0 / l_safe[:, None]
// TEXT-NEXT:      tmp = tl.where((l_i == 0.0)[:, None], 0.0, out0 * v_scale).to(tl.bfloat16)
// TEXT-NEXT:      tl.store({{.*}}, tmp

// -----

// KIVI: K has a scale and an offset for each channel and 32 keys, V for each key. An offset is added before the dot.
func.func @kivi(%q: tensor<4x128xbf16>, %k: tensor<512x16xi32>, %ks: tensor<16x128xf16>, %km: tensor<16x128xf16>, %v: tensor<512x16xi32>, %vs: tensor<512xf16>, %vz: tensor<512xi8>) -> tensor<4x128xbf16> {
  %out = attention.sdpa
      q(%q[g, k] : tensor<4x128xbf16>)
      k(%k[n, k floordiv 8] : tensor<512x16xi32>) quantized(u4)
      k_scale(%ks[n floordiv 32, k] : tensor<16x128xf16>) k_offset(%km[n floordiv 32, k] : tensor<16x128xf16>)
      v(%v[n, d floordiv 8] : tensor<512x16xi32>) quantized(u4) v_scale(%vs[n] : tensor<512xf16>)
      v_zero(%vz[n] : tensor<512xi8>)
      scale(0.125) schedule<block_m = 16, block_n = 32, warps = 1, stages = 3>
      -> out[g, d] : tensor<4x128xbf16>
  func.return %out : tensor<4x128xbf16>
}

// TEXT:         # k[n, k floordiv 8]: i32 of 8 u4 codes, value = code * k_scale + k_offset
// TEXT:         # v[n, d floordiv 8]: i32 of 8 u4 codes, value = (code - v_zero) * v_scale
// TEXT-LABEL: def kivi_kernel(
// All 32 keys of a tile have one scale of a channel; every lane has other channels, so other scales.
// TEXT:               offs = tl.cast(start_n, tl.int64) // 32
// TEXT:               k_scale0 = tl.load({{.*}}).to(tl.float32)
// TEXT:               k_offset0 = tl.load({{.*}}).to(tl.float32)
// TEXT:               k0 = ((k_codes & 15).to(tl.float32) * k_scale0 + k_offset0).to(tl.bfloat16)
// TEXT:               v_zero = tl.load({{.*}}).to(tl.float32)
// TEXT:               v0 = ((v_codes & 15).to(tl.float32) - v_zero[:, None]).to(tl.bfloat16)

// -----

// Dots in f16 for a query of bf16, with assembly that makes f16 of the codes: Q is divided by a power of two in each row,
// so that f16 has its range, and weights are up to half of what f16 holds.
func.func @half(%q: tensor<4x64xbf16>, %k: tensor<512x16xi32>, %ks: tensor<f32>, %v: tensor<512x16xi32>, %vs: tensor<f32>) -> tensor<4x64xbf16> {
  %out = attention.sdpa
      q(%q[g, k] : tensor<4x64xbf16>)
      k(%k[n, k floordiv 4] : tensor<512x16xi32>) quantized(f8E4M3FN) k_scale(%ks[] : tensor<f32>)
      v(%v[n, d floordiv 4] : tensor<512x16xi32>) quantized(f8E4M3FN) v_scale(%vs[] : tensor<f32>)
      scale(0.125) schedule<block_m = 8, block_n = 32, warps = 1, stages = 3, transposed = 1, assembly = 1, half = 1>
      -> out[g, d] : tensor<4x64xbf16>
  func.return %out : tensor<4x64xbf16>
}

// max |q| of all four blocks; its exponent alone is a power of two; 1 for a row of zeros.
// CHECK-LABEL: tl.jit @half_kernel(
// CHECK-COUNT-4: tl.max
// CHECK:         [[BITS:%.+]] = tl.bitcast {{.*}} : tensor<8xf32> -> tensor<8xi32>
// CHECK:         [[EXPONENT:%.+]] = tl.and [[BITS]]
// CHECK-NEXT:    [[POWER:%.+]] = tl.bitcast [[EXPONENT]] : tensor<8xi32> -> tensor<8xf32>
// CHECK:         %q_unit = tl.where {{.*}} [[POWER]]
// CHECK-COUNT-4: %q{{[0-3].*}} = tl.cast {{.*}} : tensor<16x8xf32> -> tensor<16x8xf16>
// CHECK:           tl.inline_asm_elementwise unpack {{.*}} %k_codes {{.*}} tensor<32x16xf16>
// CHECK:           tl.dot %k0, %q0
// TEXT-LABEL: def half_kernel(
// TEXT:               scores = scores * (q_unit[None, :] * (k_scale * QK_SCALE))
// TEXT:               # Half of the range of f16, not of 1
// TEXT-NEXT:          weights = (p * P_UNIT).to(tl.float16)
// TEXT:           out0 = acc0 / l_safe[None, :]
// TEXT-NEXT:      tmp_7 = tl.where((l_i == 0.0)[None, :], 0.0, out0 * V_UNIT * v_scale).to(tl.bfloat16)
