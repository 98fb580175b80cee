// RUN: xdsl-opt %s -p convert-attention-to-triton --split-input-file | filecheck %s

// A program of a combine weighs and sums the splits of one row.

func.func @combine(%p: tensor<2x3x1x6x5x64xf32>, %l: tensor<2x3x1x6x5xf32>, %sinks: tensor<3xbf16>) -> (tensor<2x5x3x64xbf16>, tensor<2x3x5xf32>) {
  %out, %lse = attention.combine
      partial(%p : tensor<2x3x1x6x5x64xf32>) lse(%l : tensor<2x3x1x6x5xf32>) sinks(%sinks[h] : tensor<3xbf16>)
      -> out[b, m, h, d] : tensor<2x5x3x64xbf16>, lse[b, h, m] : tensor<2x3x5xf32>
  func.return %out, %lse : tensor<2x5x3x64xbf16>, tensor<2x3x5xf32>
}

// CHECK-LABEL: tl.jit @combine_combine_kernel(
// CHECK-SAME:    %partial_ptr: !tl.ptr<f32>, %lse_ptr: !tl.ptr<f32>, %sinks_ptr: !tl.ptr<bf16>, %out_ptr: !tl.ptr<bf16>, %out_lse_ptr: !tl.ptr<f32>,

// row = (b H + h) M + m
// CHECK:         %row = tl.program_id 0
// CHECK-NEXT:    [[M:%.+]] = tl.mod %row, %M
// CHECK-NEXT:    %bh = tl.floordiv %row, %M
// CHECK-NEXT:    [[H:%.+]] = tl.mod %bh, %H
// CHECK-NEXT:    [[B:%.+]] = tl.floordiv %bh, %H

// Six splits in a block of eight; those that are not there weigh nothing.
// CHECK:         %mask_s = tl.lt %offs_s
// CHECK:         [[INF:%.+]] = tl.constant 0xff800000 : f32
// CHECK-NEXT:    %lse = tl.load {{%.+}} mask %mask_s : tensor<8xi1> other [[INF]]
// max over the splits and the sink
// CHECK-NEXT:    [[TOP:%.+]] = tl.max %lse 0
// CHECK:         %sink = tl.load %sinks_base
// CHECK-NEXT:    [[SINK:%.+]] = tl.cast %sink : bf16 -> f32
// CHECK-NEXT:    [[MAX:%.+]] = tl.maximum [[TOP]], [[SINK]]
// weight = exp2((lse - max) log2(e)): an LSE times log2(e) may overflow, a difference of two that matter does not
// CHECK:         %m_safe = tl.where {{%.+}}, {{%.+}}, [[MAX]]
// CHECK-NEXT:    [[D:%.+]] = tl.sub %lse, %m_safe
// CHECK-NEXT:    [[D2:%.+]] = tl.mul [[D]], %LOG2E
// CHECK-NEXT:    %weights = tl.exp2 [[D2]]
// l = sum weight + exp2((sink - max) log2(e))
// CHECK-NEXT:    [[L:%.+]] = tl.sum %weights 0
// CHECK-NEXT:    [[S:%.+]] = tl.sub [[SINK]], %m_safe
// CHECK-NEXT:    [[S2:%.+]] = tl.mul [[S]], %LOG2E
// CHECK-NEXT:    [[E:%.+]] = tl.exp2 [[S2]]
// CHECK-NEXT:    [[L2:%.+]] = tl.add [[L]], [[E]]
// out = sum weight partial / l
// CHECK:         %partial = tl.load %partial_ptrs mask
// CHECK:         [[W:%.+]] = tl.mul {{%.+}}, %partial
// CHECK-NEXT:    [[O:%.+]] = tl.sum [[W]] 0
// CHECK:         %l_safe = tl.where {{%.+}}, {{%.+}}, [[L2]]
// CHECK:         %out = tl.truediv [[O]], %l_safe
// CHECK:         tl.store %out_ptrs
// lse = max + log2(l) ln(2)
// CHECK-NEXT:    [[LOG:%.+]] = tl.log2 %l_safe
// CHECK-NEXT:    [[LN:%.+]] = tl.mul [[LOG]], %LN2
// CHECK-NEXT:    %out_lse = tl.add [[MAX]], [[LN]]
// CHECK:         tl.store %out_lse_base, %out_lse

// One program a row: 2 * 3 * 5.
// CHECK-LABEL: func.func @combine
// CHECK:         [[ROWS:%.+]] = arith.constant 30 : index
// CHECK:         launch.kernel @combine_combine_kernel[[[ROWS]]]

// -----

// 200 splits of 512 elements do not fit in the registers of a program: the maximum and the sum first, then chunks.
func.func @chunks(%p: tensor<1x1x200x1x512xf32>, %l: tensor<1x1x200x1xf32>) -> tensor<512xf16> {
  %out = attention.combine partial(%p : tensor<1x1x200x1x512xf32>) lse(%l : tensor<1x1x200x1xf32>)
      schedule<block_m = 16, block_n = 256, warps = 4, stages = 1> -> out[d] : tensor<512xf16>
  func.return %out : tensor<512xf16>
}

// CHECK-LABEL: tl.jit @chunks_combine_kernel(
// CHECK:         %BLOCK_S = tl.constexpr 16 : i32
// CHECK:         %ALL_SPLITS = tl.constexpr 256 : i32
// CHECK:         tl.max %lse 0 : tensor<256xf32> -> f32
// CHECK:         %l_i = tl.sum
// CHECK:         tl.range %start_s = {{%.+}} to %SPLITS step %BLOCK_S
// CHECK:           tl.load %partial_ptrs mask {{.*}} -> tensor<16x512xf32>
// CHECK:           tl.yield

// -----

// With sums: max of a split = lse - log(sum), weight = sum exp(max of the split - max). Where a sum is 0 (or there is no
// split), the maximum is -inf, and not -inf - -inf.
func.func @sums(%p: tensor<2x3x1x6x5x64xf32>, %l: tensor<2x3x1x6x5xf32>, %n: tensor<2x3x1x6x5xf32>) -> tensor<2x5x3x64xbf16> {
  %out = attention.combine
      partial(%p : tensor<2x3x1x6x5x64xf32>) lse(%l : tensor<2x3x1x6x5xf32>) sum(%n : tensor<2x3x1x6x5xf32>)
      -> out[b, m, h, d] : tensor<2x5x3x64xbf16>
  func.return %out : tensor<2x5x3x64xbf16>
}

// CHECK-LABEL: tl.jit @sums_combine_kernel(
// CHECK-SAME:    %partial_ptr: !tl.ptr<f32>, %lse_ptr: !tl.ptr<f32>, %sum_ptr: !tl.ptr<f32>, %out_ptr: !tl.ptr<bf16>,
// CHECK-SAME:    %stride_sum_b: i64, %stride_sum_h: i64, %stride_sum_s: i64, %stride_sum_m: i64
// CHECK:         %lse = tl.load {{%.+}} mask %mask_s
// CHECK:         [[NONE:%.+]] = tl.constant 0.000000e+00 : f32
// CHECK-NEXT:    %sums = tl.load {{%.+}} mask %mask_s : tensor<8xi1> other [[NONE]]
// CHECK-NEXT:    [[LOG2:%.+]] = tl.log2 %sums
// CHECK-NEXT:    [[LOG:%.+]] = tl.mul [[LOG2]], %LN2
// CHECK:         [[EMPTY:%.+]] = tl.eq %sums, {{%.+}}
// CHECK-NEXT:    [[M:%.+]] = tl.sub %lse, [[LOG]]
// CHECK-NEXT:    [[INF:%.+]] = tl.constant 0xff800000 : f32
// CHECK-NEXT:    %maxima = tl.where [[EMPTY]], [[INF]], [[M]]
// CHECK-NEXT:    [[MAX:%.+]] = tl.max %maxima 0
// CHECK:         [[D:%.+]] = tl.sub %maxima, %m_safe
// CHECK-NEXT:    [[D2:%.+]] = tl.mul [[D]], %LOG2E
// CHECK-NEXT:    [[E:%.+]] = tl.exp2 [[D2]]
// CHECK-NEXT:    [[W:%.+]] = tl.mul %sums, [[E]]
// CHECK-NEXT:    %l_i = tl.sum [[W]] 0
// out = sum weight partial / l
// CHECK:         [[ROWS:%.+]] = tl.expand_dims [[W]] 1
// CHECK-NEXT:    tl.mul [[ROWS]], %partial

// CHECK-LABEL: func.func @sums
// CHECK:         launch.kernel @sums_combine_kernel{{.*}} (%p, %l, %n, %out,
