// RUN: xdsl-opt %s -p convert-attention-to-triton --split-input-file | filecheck %s

// Score regions on tiles of logits: indices are scalars, columns of rows or rows of keys.

// A region that only masks is applied to the products: one multiplication scales what is left and changes the base.
func.func @causal(%q: tensor<64x16xf16>, %k: tensor<64x16xf16>, %v: tensor<64x16xf16>) -> tensor<64x16xf16> {
  %out = attention.sdpa
      q(%q[m, k] : tensor<64x16xf16>) k(%k[n, k] : tensor<64x16xf16>) v(%v[n, d] : tensor<64x16xf16>)
      scale(0.25) score(causal(n <= m + 3)) schedule<block_m = 16, block_n = 64, warps = 4, stages = 2> -> out[m, d] : tensor<64x16xf16>
  func.return %out : tensor<64x16xf16>
}

// CHECK-LABEL: tl.jit @causal_kernel(
// CHECK-NOT:     %LOG2E
// m + 3 does not depend on the key: it is computed before the loop.
// CHECK:         [[LAST:%.+]] = tl.add {{.*}} -> tensor<16x1xi32>
// CHECK:         tl.range
// CHECK:           [[S:%.+]] = tl.dot
// CHECK-NEXT:      [[N:%.+]] = tl.expand_dims %offs_n 0
// CHECK-NEXT:      [[KEEP:%.+]] = tl.le [[N]], [[LAST]]
// CHECK:           [[MASKED:%.+]] = tl.where [[KEEP]], [[S]],
// CHECK-NEXT:      [[TOP:%.+]] = tl.max [[MASKED]] 1
// CHECK-NEXT:      tl.mul [[TOP]], %QK_SCALE

// -----

// A factor that is not positive does not commute with -inf: the mask follows it.
func.func @negative(%q: tensor<64x16xf16>, %k: tensor<64x16xf16>, %v: tensor<64x16xf16>) -> tensor<64x16xf16> {
  %out = attention.sdpa
      q(%q[m, k] : tensor<64x16xf16>) k(%k[n, k] : tensor<64x16xf16>) v(%v[n, d] : tensor<64x16xf16>)
      scale(-0.25) score(causal(n <= m + 3)) schedule<block_m = 16, block_n = 64, warps = 4, stages = 2> -> out[m, d] : tensor<64x16xf16>
  func.return %out : tensor<64x16xf16>
}

// CHECK-LABEL: tl.jit @negative_kernel(
// CHECK:           [[DOT:%.+]] = tl.dot
// CHECK-NEXT:      [[S:%.+]] = tl.mul [[DOT]], %QK_SCALE
// CHECK:           [[MASKED:%.+]] = tl.where {{%.+}}, [[S]],
// CHECK-NEXT:      [[TOP:%.+]] = tl.max [[MASKED]] 1
// CHECK-NEXT:      tl.maximum {{%.+}}, [[TOP]]

// -----

// Any other region sees natural units: scale before it, log2(e) after it.
func.func @gemma(%q: tensor<2x4x8x16xf16>, %k: tensor<2x4x50x16xf16>, %v: tensor<2x4x50x16xf16>, %slopes: tensor<4xf32>, %keep: tensor<2x50xi1>) -> tensor<2x4x8x16xf16> {
  %out = attention.sdpa
      q(%q[b, h, m, k] : tensor<2x4x8x16xf16>) k(%k[b, h, n, k] : tensor<2x4x50x16xf16>) v(%v[b, h, n, d] : tensor<2x4x50x16xf16>)
      scale(0.25) score(soft_cap(30.0) alibi(%slopes[hq] : tensor<4xf32>, n - m - 42) mask(%keep[b, n] : tensor<2x50xi1>))
      schedule<block_m = 16, block_n = 64, warps = 4, stages = 2> -> out[b, h, m, d] : tensor<2x4x8x16xf16>
  func.return %out : tensor<2x4x8x16xf16>
}

// Captured tensors are pointers and strides that are named like them.
// CHECK-LABEL: tl.jit @gemma_kernel(
// CHECK-SAME:    %slopes_ptr: !tl.ptr<f32>, %keep_ptr: !tl.ptr<i1>
// One slope a head: a scalar, read once. No mask, since a head always exists.
// CHECK:         %slopes = tl.load {{%.+}} : !tl.ptr<f32> -> f32
// CHECK:         tl.range
// CHECK:           tl.mul {{%.+}}, %SCALE
// tanh(x) = 1 - 2 / (exp(2 x) + 1)
// CHECK:           tl.exp2
// CHECK:           [[F:%.+]] = tl.truediv
// CHECK-NEXT:      {{.*}} = tl.constant 1.000000e+00 : f32
// CHECK-NEXT:      tl.sub {{%.+}}, [[F]]
// The distance n - m - 42 goes to f32 from 32 bits.
// CHECK:           tl.cast {{%.+}} : tensor<16x64xi32> -> tensor<16x64xf32>
// One row of the mask for all queries, not read beyond the keys.
// CHECK:           %keep = tl.load {{%.+}} mask {{%.+}} : tensor<1x64xi1> : tensor<1x64x!tl.ptr<i1>> -> tensor<1x64xi1>
// CHECK:           tl.where %keep,
// CHECK:           tl.mul {{%.+}}, %LOG2E

// -----

// A bias per head, query and key; the query head is h * G + g.
func.func @bias(%q: tensor<6x2x16xf32>, %k: tensor<2x40x16xf32>, %v: tensor<2x40x16xf32>, %bias: tensor<6x?x40xbf16>) -> tensor<6x2x16xf32> {
  %out = attention.sdpa
      q(%q[h * 3 + g, m, k] : tensor<6x2x16xf32>) k(%k[h, n, k] : tensor<2x40x16xf32>) v(%v[h, n, d] : tensor<2x40x16xf32>)
      scale(1.0) score(bias(%bias[hq, m, n] : tensor<6x?x40xbf16>)) schedule<block_m = 16, block_n = 64, warps = 4, stages = 2> -> out[h * 3 + g, m, d] : tensor<6x2x16xf32>
  func.return %out : tensor<6x2x16xf32>
}

// CHECK-LABEL: tl.jit @bias_kernel(
// CHECK:         %hq = tl.add {{.*}} -> tensor<16x1xi32>
// CHECK:         tl.range
// The scale is 1: no multiplication.
// CHECK:           %scores = tl.dot
// CHECK-NOT:       %SCALE
// CHECK:           %bias = tl.load {{%.+}} mask {{%.+}} : tensor<16x64xi1> : tensor<16x64x!tl.ptr<bf16>> -> tensor<16x64xbf16>
// CHECK-NEXT:      [[WIDE:%.+]] = tl.cast %bias : tensor<16x64xbf16> -> tensor<16x64xf32>
// CHECK-NEXT:      tl.add %scores, [[WIDE]]
