// RUN: xdsl-opt %s | filecheck %s
// RUN: xdsl-opt %s | xdsl-opt | filecheck %s
// RUN: xdsl-opt %s --print-op-generic | xdsl-opt | filecheck %s

// Every op of the dialect in its own syntax, and through the generic one.

// CHECK-LABEL: tl.jit @kernel(%p: !tl.ptr<bf16>, %flags: !tl.ptr<i1>, %n: i32, %scale: f32, %counter: !tl.ptr<i32>) doc "A kernel." {
tl.jit @kernel(%p: !tl.ptr<bf16>, %flags: !tl.ptr<i1>, %n: i32, %scale: f32, %counter: !tl.ptr<i32>) doc "A kernel." {
  // CHECK-NEXT: %BLOCK = tl.constexpr 16 : i32
  %BLOCK = tl.constexpr 16 : i32
  // CHECK-NEXT: %zero = tl.constant 0 : i32
  %zero = tl.constant 0 : i32
  // CHECK-NEXT: %half = tl.constant 5.000000e-01 : f32
  %half = tl.constant 0.5 : f32
  // CHECK-NEXT: %yes = tl.constant true
  %yes = tl.constant true
  // CHECK-NEXT: %pid = tl.program_id 0
  %pid = tl.program_id 0
  // CHECK-NEXT: %programs = tl.num_programs 2 {tl.comment = "How many."}
  %programs = tl.num_programs 2 {tl.comment = "How many."}
  // CHECK-NEXT: %r = tl.arange %zero, %BLOCK : (i32, i32) -> tensor<16xi32>
  %r = tl.arange %zero, %BLOCK : (i32, i32) -> tensor<16xi32>
  // CHECK-NEXT: %full = tl.full %half[%BLOCK, %BLOCK] : f32[i32, i32] -> tensor<16x16xf32>
  %full = tl.full %half[%BLOCK, %BLOCK] : f32[i32, i32] -> tensor<16x16xf32>
  // CHECK-NEXT: %zeros = tl.zeros[%BLOCK, %BLOCK] : [i32, i32] -> tensor<16x16xf32>
  %zeros = tl.zeros[%BLOCK, %BLOCK] : [i32, i32] -> tensor<16x16xf32>
  // CHECK-NEXT: %row = tl.expand_dims %r 0 : tensor<16xi32> -> tensor<1x16xi32>
  %row = tl.expand_dims %r 0 : tensor<16xi32> -> tensor<1x16xi32>
  // CHECK-NEXT: %wide = tl.broadcast_to %row[%BLOCK, %BLOCK] : tensor<1x16xi32>[i32, i32] -> tensor<16x16xi32>
  %wide = tl.broadcast_to %row[%BLOCK, %BLOCK] : tensor<1x16xi32>[i32, i32] -> tensor<16x16xi32>
  // CHECK-NEXT: %flat = tl.reshape %row[%BLOCK] : tensor<1x16xi32>[i32] -> tensor<16xi32>
  %flat = tl.reshape %row[%BLOCK] : tensor<1x16xi32>[i32] -> tensor<16xi32>
  // CHECK-NEXT: %turned = tl.trans %row : tensor<1x16xi32> -> tensor<16x1xi32>
  %turned = tl.trans %row : tensor<1x16xi32> -> tensor<16x1xi32>
  // CHECK-NEXT: %ptrs = tl.add %p, %wide : (!tl.ptr<bf16>, tensor<16x16xi32>) -> tensor<16x16x!tl.ptr<bf16>>
  %ptrs = tl.add %p, %wide : (!tl.ptr<bf16>, tensor<16x16xi32>) -> tensor<16x16x!tl.ptr<bf16>>
  // CHECK-NEXT: %mask = tl.lt %turned, %n : (tensor<16x1xi32>, i32) -> tensor<16x1xi1>
  %mask = tl.lt %turned, %n : (tensor<16x1xi32>, i32) -> tensor<16x1xi1>
  // CHECK-NEXT: %nothing = tl.constant 0.000000e+00 : bf16
  %nothing = tl.constant 0.0 : bf16
  // CHECK-NEXT: %q = tl.load %ptrs mask %mask : tensor<16x1xi1> other %nothing : bf16 eviction_policy "evict_last" cache_modifier ".cg" : tensor<16x16x!tl.ptr<bf16>> -> tensor<16x16xbf16>
  %q = tl.load %ptrs mask %mask : tensor<16x1xi1> other %nothing : bf16 eviction_policy "evict_last" cache_modifier ".cg" : tensor<16x16x!tl.ptr<bf16>> -> tensor<16x16xbf16>
  // CHECK-NEXT: %flag = tl.load %flags : !tl.ptr<i1> -> i1
  %flag = tl.load %flags : !tl.ptr<i1> -> i1
  // CHECK-NEXT: %dot = tl.dot %q, %q acc %zeros : tensor<16x16xf32> precision "ieee" : (tensor<16x16xbf16>, tensor<16x16xbf16>) -> tensor<16x16xf32>
  %dot = tl.dot %q, %q acc %zeros : tensor<16x16xf32> precision "ieee" : (tensor<16x16xbf16>, tensor<16x16xbf16>) -> tensor<16x16xf32>
  // CHECK-NEXT: %dot2 = tl.dot %q, %q : (tensor<16x16xbf16>, tensor<16x16xbf16>) -> tensor<16x16xf32>
  %dot2 = tl.dot %q, %q : (tensor<16x16xbf16>, tensor<16x16xbf16>) -> tensor<16x16xf32>
  // CHECK-NEXT: %top = tl.max %q 1 : tensor<16x16xbf16> -> tensor<16xf32>
  %top = tl.max %q 1 : tensor<16x16xbf16> -> tensor<16xf32>
  // CHECK-NEXT: %sum = tl.sum %dot 0 : tensor<16x16xf32> -> tensor<16xf32>
  %sum = tl.sum %dot 0 : tensor<16x16xf32> -> tensor<16xf32>
  // CHECK-NEXT: %chosen = tl.where %flag, %dot, %half : (i1, tensor<16x16xf32>, f32) -> tensor<16x16xf32>
  %chosen = tl.where %flag, %dot, %half : (i1, tensor<16x16xf32>, f32) -> tensor<16x16xf32>
  // CHECK-NEXT: %cast = tl.cast %chosen : tensor<16x16xf32> -> tensor<16x16xbf16>
  %cast = tl.cast %chosen : tensor<16x16xf32> -> tensor<16x16xbf16>
  // CHECK-NEXT: %bits = tl.bitcast %cast : tensor<16x16xbf16> -> tensor<16x16xi16>
  %bits = tl.bitcast %cast : tensor<16x16xbf16> -> tensor<16x16xi16>
  // CHECK-NEXT: tl.store %ptrs, %cast mask %mask : tensor<16x1xi1> : tensor<16x16x!tl.ptr<bf16>>, tensor<16x16xbf16>
  tl.store %ptrs, %cast mask %mask : tensor<16x1xi1> : tensor<16x16x!tl.ptr<bf16>>, tensor<16x16xbf16>

  // CHECK-NEXT: %a0 = tl.sub %pid, %n : (i32, i32) -> i32
  %a0 = tl.sub %pid, %n : (i32, i32) -> i32
  // CHECK-NEXT: %a1 = tl.mul %pid, %n : (i32, i32) -> i32
  %a1 = tl.mul %pid, %n : (i32, i32) -> i32
  // CHECK-NEXT: %a2 = tl.truediv %half, %scale : (f32, f32) -> f32
  %a2 = tl.truediv %half, %scale : (f32, f32) -> f32
  // CHECK-NEXT: %a3 = tl.floordiv %pid, %n : (i32, i32) -> i32
  %a3 = tl.floordiv %pid, %n : (i32, i32) -> i32
  // CHECK-NEXT: %a4 = tl.mod %pid, %n : (i32, i32) -> i32
  %a4 = tl.mod %pid, %n : (i32, i32) -> i32
  // CHECK-NEXT: %a5 = tl.cdiv %pid, %n : (i32, i32) -> i32
  %a5 = tl.cdiv %pid, %n : (i32, i32) -> i32
  // CHECK-NEXT: %a6 = tl.shl %pid, %n : (i32, i32) -> i32
  %a6 = tl.shl %pid, %n : (i32, i32) -> i32
  // CHECK-NEXT: %a7 = tl.shr %pid, %n : (i32, i32) -> i32
  %a7 = tl.shr %pid, %n : (i32, i32) -> i32
  // CHECK-NEXT: %a8 = tl.and %flag, %yes : (i1, i1) -> i1
  %a8 = tl.and %flag, %yes : (i1, i1) -> i1
  // CHECK-NEXT: %a9 = tl.or %pid, %n : (i32, i32) -> i32
  %a9 = tl.or %pid, %n : (i32, i32) -> i32
  // CHECK-NEXT: %b0 = tl.xor %pid, %n : (i32, i32) -> i32
  %b0 = tl.xor %pid, %n : (i32, i32) -> i32
  // CHECK-NEXT: %b1 = tl.maximum %sum, %scale : (tensor<16xf32>, f32) -> tensor<16xf32>
  %b1 = tl.maximum %sum, %scale : (tensor<16xf32>, f32) -> tensor<16xf32>
  // CHECK-NEXT: %b2 = tl.minimum %sum, %scale : (tensor<16xf32>, f32) -> tensor<16xf32>
  %b2 = tl.minimum %sum, %scale : (tensor<16xf32>, f32) -> tensor<16xf32>
  // CHECK-NEXT: %b3 = tl.le %pid, %n : (i32, i32) -> i1
  %b3 = tl.le %pid, %n : (i32, i32) -> i1
  // CHECK-NEXT: %b4 = tl.gt %pid, %n : (i32, i32) -> i1
  %b4 = tl.gt %pid, %n : (i32, i32) -> i1
  // CHECK-NEXT: %b5 = tl.ge %pid, %n : (i32, i32) -> i1
  %b5 = tl.ge %pid, %n : (i32, i32) -> i1
  // CHECK-NEXT: %b6 = tl.eq %pid, %n : (i32, i32) -> i1
  %b6 = tl.eq %pid, %n : (i32, i32) -> i1
  // CHECK-NEXT: %b7 = tl.ne %pid, %n : (i32, i32) -> i1
  %b7 = tl.ne %pid, %n : (i32, i32) -> i1
  // CHECK-NEXT: %b8 = tl.fma %sum, %scale, %half : (tensor<16xf32>, f32, f32) -> tensor<16xf32>
  %b8 = tl.fma %sum, %scale, %half : (tensor<16xf32>, f32, f32) -> tensor<16xf32>

  // CHECK-NEXT: %c0 = tl.neg %n : i32 -> i32
  %c0 = tl.neg %n : i32 -> i32
  // CHECK-NEXT: %c1 = tl.invert %mask : tensor<16x1xi1> -> tensor<16x1xi1>
  %c1 = tl.invert %mask : tensor<16x1xi1> -> tensor<16x1xi1>
  // CHECK-NEXT: %c2 = tl.abs %sum : tensor<16xf32> -> tensor<16xf32>
  %c2 = tl.abs %sum : tensor<16xf32> -> tensor<16xf32>
  // CHECK-NEXT: %c3 = tl.exp %sum : tensor<16xf32> -> tensor<16xf32>
  %c3 = tl.exp %sum : tensor<16xf32> -> tensor<16xf32>
  // CHECK-NEXT: %c4 = tl.exp2 %sum : tensor<16xf32> -> tensor<16xf32>
  %c4 = tl.exp2 %sum : tensor<16xf32> -> tensor<16xf32>
  // CHECK-NEXT: %c5 = tl.log %sum : tensor<16xf32> -> tensor<16xf32>
  %c5 = tl.log %sum : tensor<16xf32> -> tensor<16xf32>
  // CHECK-NEXT: %c6 = tl.log2 %sum : tensor<16xf32> -> tensor<16xf32>
  %c6 = tl.log2 %sum : tensor<16xf32> -> tensor<16xf32>
  // CHECK-NEXT: %c7 = tl.sqrt %sum : tensor<16xf32> -> tensor<16xf32>
  %c7 = tl.sqrt %sum : tensor<16xf32> -> tensor<16xf32>
  // CHECK-NEXT: %c8 = tl.rsqrt %sum : tensor<16xf32> -> tensor<16xf32>
  %c8 = tl.rsqrt %sum : tensor<16xf32> -> tensor<16xf32>
  // CHECK-NEXT: %c9 = tl.sin %sum : tensor<16xf32> -> tensor<16xf32>
  %c9 = tl.sin %sum : tensor<16xf32> -> tensor<16xf32>
  // CHECK-NEXT: %d0 = tl.cos %sum : tensor<16xf32> -> tensor<16xf32>
  %d0 = tl.cos %sum : tensor<16xf32> -> tensor<16xf32>
  // CHECK-NEXT: %d1 = tl.floor %sum : tensor<16xf32> -> tensor<16xf32>
  %d1 = tl.floor %sum : tensor<16xf32> -> tensor<16xf32>
  // CHECK-NEXT: %d2 = tl.ceil %sum : tensor<16xf32> -> tensor<16xf32>
  %d2 = tl.ceil %sum : tensor<16xf32> -> tensor<16xf32>

  // CHECK-NEXT: %sums = tl.cumsum %r : tensor<16xi32> -> tensor<16xi32>
  %sums = tl.cumsum %r : tensor<16xi32> -> tensor<16xi32>
  // CHECK-NEXT: %ticket = tl.atomic_add %counter, %pid "acq_rel" : !tl.ptr<i32>, i32 -> i32
  %ticket = tl.atomic_add %counter, %pid "acq_rel" : !tl.ptr<i32>, i32 -> i32
  // CHECK-NEXT: tl.debug_barrier
  tl.debug_barrier
  // CHECK-NEXT: tl.gdc_wait
  tl.gdc_wait
  // CHECK-NEXT: tl.gdc_launch_dependents
  tl.gdc_launch_dependents
  // CHECK-NEXT: %words = tl.cast %wide : tensor<16x16xi32> -> tensor<16x16xi32>
  %words = tl.cast %wide : tensor<16x16xi32> -> tensor<16x16xi32>
  // CHECK-NEXT: %u0, %u1, %u2, %u3, %u4, %u5, %u6, %u7 = tl.inline_asm_elementwise unpack <ui4, zero = 7> %words, %cast : (tensor<16x16xi32>, tensor<16x16xbf16>) -> (tensor<16x16xbf16>, tensor<16x16xbf16>, tensor<16x16xbf16>, tensor<16x16xbf16>, tensor<16x16xbf16>, tensor<16x16xbf16>, tensor<16x16xbf16>, tensor<16x16xbf16>)
  %u0, %u1, %u2, %u3, %u4, %u5, %u6, %u7 = tl.inline_asm_elementwise unpack <ui4, zero = 7> %words, %cast : (tensor<16x16xi32>, tensor<16x16xbf16>) -> (tensor<16x16xbf16>, tensor<16x16xbf16>, tensor<16x16xbf16>, tensor<16x16xbf16>, tensor<16x16xbf16>, tensor<16x16xbf16>, tensor<16x16xbf16>, tensor<16x16xbf16>)
  // CHECK-NEXT: %e0, %e1, %e2, %e3 = tl.inline_asm_elementwise unpack <f8E4M3FN> %words : (tensor<16x16xi32>) -> (tensor<16x16xf16>, tensor<16x16xf16>, tensor<16x16xf16>, tensor<16x16xf16>)
  %e0, %e1, %e2, %e3 = tl.inline_asm_elementwise unpack <f8E4M3FN> %words : (tensor<16x16xi32>) -> (tensor<16x16xf16>, tensor<16x16xf16>, tensor<16x16xf16>, tensor<16x16xf16>)

  // CHECK-NEXT: %last = tl.range %i = %zero to %n step %BLOCK iter_args(%acc = %sum) -> (tensor<16xf32>) : i32 num_stages 3 {
  %last = tl.range %i = %zero to %n step %BLOCK iter_args(%acc = %sum) -> (tensor<16xf32>) : i32 num_stages 3 {
    // CHECK-NEXT: %next = tl.add %acc, %half : (tensor<16xf32>, f32) -> tensor<16xf32>
    %next = tl.add %acc, %half : (tensor<16xf32>, f32) -> tensor<16xf32>
    // CHECK-NEXT: tl.yield %next : tensor<16xf32>
    tl.yield %next : tensor<16xf32>
  }
  // CHECK: tl.range %j = %zero to %n step %BLOCK : i32 attributes {tl.comment = "Nothing."} {
  // CHECK-NEXT: }
  tl.range %j = %zero to %n step %BLOCK : i32 attributes {tl.comment = "Nothing."} {
  }
  // CHECK-NEXT: %either = tl.if %flag -> (i32) {
  %either = tl.if %flag -> (i32) {
    // CHECK-NEXT: tl.yield %n : i32
    tl.yield %n : i32
  // CHECK-NEXT: } else {
  } else {
    // CHECK-NEXT: tl.yield %pid : i32
    tl.yield %pid : i32
  }
  // CHECK: tl.if %flag {
  tl.if %flag {
    // CHECK-NEXT: tl.store %flags, %flag : !tl.ptr<i1>, i1
    tl.store %flags, %flag : !tl.ptr<i1>, i1
  }
  // CHECK: tl.return
}

// Arguments that the kernel is compiled for.
// CHECK-LABEL: tl.jit @compiled_for(%a: i64, %x: !tl.ptr<f32>, %b: i64) constexpr [0, 2] doc "Of a and b." {
tl.jit @compiled_for(%a: i64, %x: !tl.ptr<f32>, %b: i64) constexpr [0, 2] doc "Of a and b." {
}
