// RUN: xdsl-opt %s -t triton | filecheck %s

// Triton types a Python number by its partner, alone as i32 or f32, and an integer argument by its value. Where
// that is not the type in the IR, the text says the type.

// CHECK-LABEL: def literals(p, q, r, n, scale):
// CHECK-NEXT:      wide = tl.load(p)
// CHECK-NEXT:      half = tl.load(q)
// CHECK-NEXT:      small = tl.load(r)
tl.jit @literals(%p: !tl.ptr<i64>, %q: !tl.ptr<f16>, %r: !tl.ptr<i8>, %n: i64, %scale: f32) {
  %wide = tl.load %p : !tl.ptr<i64> -> i64
  %half = tl.load %q : !tl.ptr<f16> -> f16
  %small = tl.load %r : !tl.ptr<i8> -> i8
  %one = tl.constant 1 : i64
  %0 = tl.constant 0.1 : f16
  %1 = tl.constant 1 : i8
  %inf = tl.constant 0xFC00 : f16
  %13 = tl.lt %half, %0 : (f16, f16) -> i1
  // A partner of the right type is enough.
  // CHECK-NEXT: tl.store(p, wide + 1)
  // CHECK-NEXT: tl.store(p, wide * n)
  // CHECK-NEXT: tl.store(q, half * 0.1)
  // CHECK-NEXT: tl.store(q, tl.where(half < 0.1, half, float("-inf")))
  %2 = tl.add %wide, %one : (i64, i64) -> i64
  tl.store %p, %2 : !tl.ptr<i64>, i64
  %3 = tl.mul %wide, %n : (i64, i64) -> i64
  tl.store %p, %3 : !tl.ptr<i64>, i64
  %4 = tl.mul %half, %0 : (f16, f16) -> f16
  tl.store %q, %4 : !tl.ptr<f16>, f16
  %5 = tl.where %13, %half, %inf : (i1, f16, f16) -> f16
  tl.store %q, %5 : !tl.ptr<f16>, f16
  // n + n may be more than 32 bits hold, and n may have come as 32 bits.
  // CHECK-NEXT: tl.store(p, tl.cast(n, tl.int64) + n)
  %6 = tl.add %n, %n : (i64, i64) -> i64
  tl.store %p, %6 : !tl.ptr<i64>, i64
  // Two numbers would be f32; a maximum with a number i32 in older releases.
  // CHECK-NEXT: chosen = tl.where(wide < n, tl.full((), 0.1, tl.float16), float("-inf"))
  // CHECK-NEXT: tl.store(q, chosen)
  // CHECK-NEXT: tl.store(r, tl.maximum(small, tl.full((), 1, tl.int8)))
  %7 = tl.lt %wide, %n : (i64, i64) -> i1
  %chosen = tl.where %7, %0, %inf : (i1, f16, f16) -> f16
  tl.store %q, %chosen : !tl.ptr<f16>, f16
  %8 = tl.maximum %small, %1 : (i8, i8) -> i8
  tl.store %r, %8 : !tl.ptr<i8>, i8
  // What a loop carries keeps its type: 1 alone would be i32, 0.5 is f32.
  // CHECK-NEXT: count = tl.full((), 1, tl.int64)
  // CHECK-NEXT: weight = scale
  // CHECK-NEXT: for i in tl.range(0, n):
  // CHECK-NEXT:     count = count + i
  // CHECK-NEXT:     weight = weight * 0.5
  %9 = tl.constant 0 : i64
  %10 = tl.constant 0.5 : f32
  %count, %weight = tl.range %i = %9 to %n step %one iter_args(%count_1 = %one, %weight_1 = %scale) -> (i64, f32) : i64 {
    %11 = tl.add %count_1, %i : (i64, i64) -> i64
    %12 = tl.mul %weight_1, %10 : (f32, f32) -> f32
    tl.yield %11, %12 : i64, f32
  }
  // A counter is a Python int in the interpreter: no methods, no ~, and // would round down.
  // CHECK:      for j in tl.range(-4, 4):
  // CHECK-NEXT:     tl.store(p, tl.cast(j, tl.int64))
  // CHECK-NEXT:     odd = ~tl.cast(j < 2, tl.int1)
  // CHECK-NEXT:     tl.store(p, (tl.cast(j, tl.int32) // 2).to(tl.int64), mask=odd)
  // CHECK-NEXT: for j_1 in tl.range(0, 4):
  // CHECK-NEXT:     tl.store(p, tl.cast(j_1 // 2, tl.int64))
  %low = tl.constant -4 : i32
  %zero = tl.constant 0 : i32
  %high = tl.constant 4 : i32
  %step = tl.constant 1 : i32
  %two = tl.constant 2 : i32
  tl.range %j = %low to %high step %step : i32 {
    %20 = tl.cast %j : i32 -> i64
    tl.store %p, %20 : !tl.ptr<i64>, i64
    %14 = tl.lt %j, %two : (i32, i32) -> i1
    %odd = tl.invert %14 : i1 -> i1
    %15 = tl.floordiv %j, %two : (i32, i32) -> i32
    %16 = tl.cast %15 : i32 -> i64
    tl.store %p, %16 mask %odd : i1 : !tl.ptr<i64>, i64
  }
  tl.range %j = %zero to %high step %step : i32 {
    %17 = tl.floordiv %j, %two : (i32, i32) -> i32
    %18 = tl.cast %17 : i32 -> i64
    tl.store %p, %18 : !tl.ptr<i64>, i64
  }
  tl.return
}

// CHECK-LABEL: def dots(p, q):
// CHECK:           tl.dot(a, tl.trans(a), input_precision="tf32x3")
// CHECK:           tl.dot(b, tl.trans(b), out_dtype=tl.int32)
tl.jit @dots(%p: !tl.ptr<f32>, %q: !tl.ptr<i32>) {
  %size = tl.constant 32 : i32
  %0 = tl.constant 1.0 : f32
  %1 = tl.constant 1 : i8
  %a = tl.full %0 [%size, %size] : f32 [i32, i32] -> tensor<32x32xf32>
  %b = tl.full %1 [%size, %size] : i8 [i32, i32] -> tensor<32x32xi8>
  %2 = tl.trans %a : tensor<32x32xf32> -> tensor<32x32xf32>
  %3 = tl.dot %a, %2 precision "tf32x3" : (tensor<32x32xf32>, tensor<32x32xf32>) -> tensor<32x32xf32>
  %4 = tl.max %3 0 : tensor<32x32xf32> -> tensor<32xf32>
  %5 = tl.max %4 0 : tensor<32xf32> -> f32
  tl.store %p, %5 : !tl.ptr<f32>, f32
  %6 = tl.trans %b : tensor<32x32xi8> -> tensor<32x32xi8>
  %7 = tl.dot %b, %6 : (tensor<32x32xi8>, tensor<32x32xi8>) -> tensor<32x32xi32>
  %8 = tl.max %7 0 : tensor<32x32xi32> -> tensor<32xi32>
  %9 = tl.max %8 0 : tensor<32xi32> -> i32
  tl.store %q, %9 : !tl.ptr<i32>, i32
}

// A number has no bits to read until it is a tensor.
// CHECK-LABEL: def bits(p, n):
// CHECK-NEXT:      tl.store(p, tl.cast(n, tl.int32).to(tl.float32, bitcast=True))
// CHECK-NEXT:      tl.store(p, tl.load(p).to(tl.int32, bitcast=True).to(tl.float32, bitcast=True) + 1.0)
tl.jit @bits(%p: !tl.ptr<f32>, %n: i32) {
  %one = tl.constant 1.0 : f32
  %0 = tl.bitcast %n : i32 -> f32
  tl.store %p, %0 : !tl.ptr<f32>, f32
  %1 = tl.load %p : !tl.ptr<f32> -> f32
  %2 = tl.bitcast %1 : f32 -> i32
  %3 = tl.bitcast %2 : i32 -> f32
  %4 = tl.add %3, %one : (f32, f32) -> f32
  tl.store %p, %4 : !tl.ptr<f32>, f32
}
