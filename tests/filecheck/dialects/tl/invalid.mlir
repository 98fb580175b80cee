// RUN: xdsl-opt %s --verify-diagnostics --split-input-file | filecheck %s

// One broken rule a piece; the message says what is there and what was expected.

// CHECK: tl.add needs operands of one element type, got i32 and i64: cast one
"builtin.module"() ({
  tl.jit @k(%a: i32, %b: i64) {
    %0 = "tl.add"(%a, %b) : (i32, i64) -> i64
  }
}) : () -> ()

// -----

// CHECK: the result of tl.lt here is i1, got i32
tl.jit @k(%a: i32) {
  %0 = "tl.lt"(%a, %a) : (i32, i32) -> i32
}

// -----

// CHECK: shapes (16,) and (32,) do not broadcast
tl.jit @k(%p: !tl.ptr<i32>) {
  %c0 = tl.constant 0 : i32
  %c16 = tl.constant 16 : i32
  %c32 = tl.constant 32 : i32
  %a = tl.arange %c0, %c16 : (i32, i32) -> tensor<16xi32>
  %b = tl.arange %c0, %c32 : (i32, i32) -> tensor<32xi32>
  %0 = tl.add %a, %b : (tensor<16xi32>, tensor<32xi32>) -> tensor<32xi32>
}

// -----

// CHECK: the result of tl.arange here is tensor<16xi32>, got tensor<32xi32>
tl.jit @k() {
  %c0 = tl.constant 0 : i32
  %c16 = tl.constant 16 : i32
  %a = tl.arange %c0, %c16 : (i32, i32) -> tensor<32xi32>
}

// -----

// CHECK: sizes of a block must be static powers of two, got tensor<24xi32>
tl.jit @k() {
  %c0 = tl.constant 0 : i32
  %c24 = tl.constant 24 : i32
  %a = tl.arange %c0, %c24 : (i32, i32) -> tensor<24xi32>
}

// -----

// CHECK: a size is the result of a tl.constant or tl.constexpr of integer type
tl.jit @k(%n: i32) {
  %a = tl.zeros [%n] : [i32] -> tensor<16xf32>
}

// -----

// CHECK: tl.zeros of shape (16, 16) does not make a tensor<16xf32>
tl.jit @k() {
  %c16 = tl.constant 16 : i32
  %a = tl.zeros [%c16, %c16] : [i32, i32] -> tensor<16xf32>
}

// -----

// CHECK: a kernel argument is a pointer, an integer or a float, got tensor<16xf32>
tl.jit @k(%x: tensor<16xf32>) {
}

// -----

// CHECK: constexpr [0] are not positions of integer arguments in order
tl.jit @k(%x: !tl.ptr<f32>, %n: i32) constexpr [0] {
}

// -----

// CHECK: constexpr [1, 0] are not positions of integer arguments in order
tl.jit @k(%n: i32, %m: i32) constexpr [1, 0] {
}

// -----

// CHECK: constexpr [1] are not positions of integer arguments in order
tl.jit @k(%n: i32) constexpr [1] {
}

// -----

// CHECK: a pointer is to a Triton scalar, not to index
tl.jit @k(%x: !tl.ptr<index>) {
}

// -----

// CHECK: tl.constexpr stands directly in a tl.jit, not in a tl.if
tl.jit @k(%p: !tl.ptr<i1>) {
  %c = tl.load %p : !tl.ptr<i1> -> i1
  tl.if %c {
    %SIZE = tl.constexpr 16 : i32
  }
}

// -----

// CHECK: tl.load of !tl.ptr<f32> gives f32, got f16
tl.jit @k(%p: !tl.ptr<f32>) {
  %x = tl.load %p : !tl.ptr<f32> -> f16
}

// -----

// CHECK: eviction_policy is one of evict_first, evict_last, got '") + evil('
tl.jit @k(%p: !tl.ptr<f32>) {
  %x = tl.load %p eviction_policy "\") + evil(" : !tl.ptr<f32> -> f32
}

// -----

// CHECK: `other` is what masked elements get: tl.load needs a mask with it
tl.jit @k(%p: !tl.ptr<f32>) {
  %z = tl.constant 0.0 : f32
  %x = tl.load %p other %z : f32 : !tl.ptr<f32> -> f32
}

// -----

// CHECK: tl.store to !tl.ptr<f32> needs f32, got f16: cast it
tl.jit @k(%p: !tl.ptr<f32>) {
  %z = tl.constant 0.0 : f16
  tl.store %p, %z : !tl.ptr<f32>, f16
}

// -----

// CHECK: the arguments and results of tl.range have the types of its initial values
tl.jit @k(%n: i32) {
  %0 = "tl.range"(%n, %n, %n, %n) ({
  ^bb0(%i: i32, %x: i64):
    "tl.yield"(%x) : (i64) -> ()
  }) : (i32, i32, i32, i32) -> i32
}

// -----

// CHECK: tl.range counts with one type, got i64 and i32
tl.jit @k(%n: i32) {
  "tl.range"(%n, %n, %n) ({
  ^bb0(%i: i64):
    "tl.yield"() : () -> ()
  }) : (i32, i32, i32) -> ()
}

// -----

// CHECK: tl.yield in tl.range gives (), but (i32) is carried
tl.jit @k(%n: i32) {
  %0 = "tl.range"(%n, %n, %n, %n) ({
  ^bb0(%i: i32, %x: i32):
    "tl.yield"() : () -> ()
  }) : (i32, i32, i32, i32) -> i32
}

// -----

// CHECK: the step of tl.range is positive, got -1
tl.jit @k(%n: i32) {
  %step = tl.constant -1 : i32
  tl.range %i = %n to %n step %step : i32 {
  }
}

// -----

// CHECK: tl.if with results has an else region
tl.jit @k(%p: !tl.ptr<i1>, %n: i32) {
  %c = tl.load %p : !tl.ptr<i1> -> i1
  %0 = tl.if %c -> (i32) {
    tl.yield %n : i32
  }
}

// -----

// CHECK: Operation using value defined out of its IsolatedFromAbove parent
func.func @f(%n: i32) {
  tl.jit @k(%p: !tl.ptr<i32>) {
    tl.store %p, %n : !tl.ptr<i32>, i32
  }
  func.return
}

// -----

// CHECK: the order is one of acquire, release, acq_rel, relaxed, got 'strong'
tl.jit @k(%p: !tl.ptr<i32>, %n: i32) {
  %0 = tl.atomic_add %p, %n "strong" : !tl.ptr<i32>, i32 -> i32
}

// -----

// CHECK: tl.atomic_add to !tl.ptr<f32> adds and gives f32, got i32
tl.jit @k(%p: !tl.ptr<f32>, %n: i32) {
  %0 = tl.atomic_add %p, %n "relaxed" : !tl.ptr<f32>, i32 -> i32
}

// -----

// CHECK: tl.cumsum is of a block of i32 or f32 with one dimension, got i32
tl.jit @k(%n: i32) {
  %0 = tl.cumsum %n : i32 -> i32
}

// -----

// CHECK: tl.bitcast keeps the bits, got i32 to bf16
"builtin.module"() ({
  tl.jit @k(%n: i32) {
    %0 = "tl.bitcast"(%n) : (i32) -> bf16
  }
}) : () -> ()

// -----

// CHECK: a word has 8 codes of type ui4, but there are 4 results
"builtin.module"() ({
  tl.jit @k() {
    %n = tl.constexpr 16 : i32
    %z = tl.constant 0 : i32
    %w = tl.arange %z, %n : (i32, i32) -> tensor<16xi32>
    %s = tl.cast %w : tensor<16xi32> -> tensor<16xbf16>
    %0:4 = tl.inline_asm_elementwise unpack <ui4> %w : (tensor<16xi32>) -> (tensor<16xbf16>, tensor<16xbf16>, tensor<16xbf16>, tensor<16xbf16>)
  }
}) : () -> ()

// -----

// CHECK: tl.inline_asm_elementwise unpacks to bf16 or f16, got f32
"builtin.module"() ({
  tl.jit @k() {
    %n = tl.constexpr 16 : i32
    %z = tl.constant 0 : i32
    %w = tl.arange %z, %n : (i32, i32) -> tensor<16xi32>
    %s = tl.cast %w : tensor<16xi32> -> tensor<16xbf16>
    %0:4 = tl.inline_asm_elementwise unpack <ui8> %w : (tensor<16xi32>) -> (tensor<16xf32>, tensor<16xf32>, tensor<16xf32>, tensor<16xf32>)
  }
}) : () -> ()

// -----

// CHECK: codes of type ui8 minus -2 are not exact in bf16
"builtin.module"() ({
  tl.jit @k() {
    %n = tl.constexpr 16 : i32
    %z = tl.constant 0 : i32
    %w = tl.arange %z, %n : (i32, i32) -> tensor<16xi32>
    %s = tl.cast %w : tensor<16xi32> -> tensor<16xbf16>
    %0:4 = tl.inline_asm_elementwise unpack <ui8, zero = -2> %w : (tensor<16xi32>) -> (tensor<16xbf16>, tensor<16xbf16>, tensor<16xbf16>, tensor<16xbf16>)
  }
}) : () -> ()

// -----

// CHECK: a scale is f16 as the results are, got tensor<16xbf16>
"builtin.module"() ({
  tl.jit @k() {
    %n = tl.constexpr 16 : i32
    %z = tl.constant 0 : i32
    %w = tl.arange %z, %n : (i32, i32) -> tensor<16xi32>
    %s = tl.cast %w : tensor<16xi32> -> tensor<16xbf16>
    %0:4 = tl.inline_asm_elementwise unpack <si8> %w, %s : (tensor<16xi32>, tensor<16xbf16>) -> (tensor<16xf16>, tensor<16xf16>, tensor<16xf16>, tensor<16xf16>)
  }
}) : () -> ()

// -----

// CHECK: tl.inline_asm_elementwise unpacks a block of i32, got tensor<16xbf16>
"builtin.module"() ({
  tl.jit @k() {
    %n = tl.constexpr 16 : i32
    %z = tl.constant 0 : i32
    %w = tl.arange %z, %n : (i32, i32) -> tensor<16xi32>
    %s = tl.cast %w : tensor<16xi32> -> tensor<16xbf16>
    %0:4 = tl.inline_asm_elementwise unpack <si8> %s : (tensor<16xbf16>) -> (tensor<16xf16>, tensor<16xf16>, tensor<16xf16>, tensor<16xf16>)
  }
}) : () -> ()

// -----

// CHECK: the results of tl.inline_asm_elementwise here are tensor<16xbf16>, got tensor<16xf16>
"builtin.module"() ({
  tl.jit @k() {
    %n = tl.constexpr 16 : i32
    %z = tl.constant 0 : i32
    %w = tl.arange %z, %n : (i32, i32) -> tensor<16xi32>
    %s = tl.cast %w : tensor<16xi32> -> tensor<16xbf16>
    %0:4 = tl.inline_asm_elementwise unpack <si8> %w : (tensor<16xi32>) -> (tensor<16xbf16>, tensor<16xbf16>, tensor<16xf16>, tensor<16xbf16>)
  }
}) : () -> ()

// -----

// CHECK: codes have type i8, expected ui4, si4, ui8, si8 or an 8-bit float
"builtin.module"() ({
  tl.jit @k() {
    %n = tl.constexpr 16 : i32
    %z = tl.constant 0 : i32
    %w = tl.arange %z, %n : (i32, i32) -> tensor<16xi32>
    %s = tl.cast %w : tensor<16xi32> -> tensor<16xbf16>
    %0:4 = tl.inline_asm_elementwise unpack <i8> %w : (tensor<16xi32>) -> (tensor<16xbf16>, tensor<16xbf16>, tensor<16xbf16>, tensor<16xbf16>)
  }
}) : () -> ()

// -----

// CHECK: codes of type f8E5M2 have no zero point, but zero is 1
"builtin.module"() ({
  tl.jit @k() {
    %n = tl.constexpr 16 : i32
    %z = tl.constant 0 : i32
    %w = tl.arange %z, %n : (i32, i32) -> tensor<16xi32>
    %s = tl.cast %w : tensor<16xi32> -> tensor<16xbf16>
    %0:4 = tl.inline_asm_elementwise unpack <f8E5M2, zero = 1> %w : (tensor<16xi32>) -> (tensor<16xbf16>, tensor<16xbf16>, tensor<16xbf16>, tensor<16xbf16>)
  }
}) : () -> ()
