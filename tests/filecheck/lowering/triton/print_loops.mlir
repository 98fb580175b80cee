// RUN: xdsl-opt %s -t triton | filecheck %s

// Loops and branches: what is carried is one variable where nothing else needs the old value.

// Dot products over blocks of K, as in a matmul: the accumulator is assigned in place.
//
//   acc <- 0;  for k in blocks: acc <- acc + a[:, k] b[k, :]
//
// CHECK-LABEL: def carried(p, n):
// CHECK-NEXT:      acc = tl.zeros((16, 16), dtype=tl.float32)
// CHECK-NEXT:      top = tl.load(p)
// CHECK-NEXT:      for k in tl.range(0, n, 16, num_stages=3):
// CHECK-NEXT:          top_new = tl.maximum(top, 1.0)
// CHECK-NEXT:          scale = tl.exp2(top - top_new)
// CHECK-NEXT:          acc = acc * scale
// CHECK-NEXT:          top = top_new
// CHECK-NEXT:      tl.store(p, top + tl.max(tl.max(acc, axis=1), axis=0))
tl.jit @carried(%p: !tl.ptr<f32>, %n: i32) {
  %0 = tl.constant 0 : i32
  %size = tl.constant 16 : i32
  %one = tl.constant 1.0 : f32
  %zeros = tl.zeros [%size, %size] : [i32, i32] -> tensor<16x16xf32>
  %first = tl.load %p : !tl.ptr<f32> -> f32
  %acc, %top = tl.range %k = %0 to %n step %size iter_args(%acc_1 = %zeros, %top_1 = %first) -> (tensor<16x16xf32>, f32) : i32 num_stages 3 {
    %top_new = tl.maximum %top_1, %one : (f32, f32) -> f32
    %1 = tl.sub %top_1, %top_new : (f32, f32) -> f32
    %scale = tl.exp2 %1 : f32 -> f32
    %2 = tl.mul %acc_1, %scale : (tensor<16x16xf32>, f32) -> tensor<16x16xf32>
    tl.yield %2, %top_new : tensor<16x16xf32>, f32
  }
  %3 = tl.max %acc 1 : tensor<16x16xf32> -> tensor<16xf32>
  %4 = tl.max %3 0 : tensor<16xf32> -> f32
  %5 = tl.add %top, %4 : (f32, f32) -> f32
  tl.store %p, %5 : !tl.ptr<f32>, f32
}

// A circle of copies keeps one old value: (x, y, z) <- (y, z, x).
//
// CHECK-LABEL: def rotated(p, n):
// CHECK:           for i in tl.range(0, n):
// CHECK-NEXT:          next_x = y
// CHECK-NEXT:          y = z
// CHECK-NEXT:          z = x
// CHECK-NEXT:          x = next_x
// CHECK-NEXT:      tl.store(p, x)
tl.jit @rotated(%p: !tl.ptr<i32>, %n: i32) {
  %0 = tl.constant 0 : i32
  %1 = tl.constant 1 : i32
  %x = tl.load %p : !tl.ptr<i32> -> i32
  %y = tl.add %x, %1 : (i32, i32) -> i32
  %z = tl.add %y, %1 : (i32, i32) -> i32
  %a, %b, %c = tl.range %i = %0 to %n step %1 iter_args(%x_1 = %x, %y_1 = %y, %z_1 = %z) -> (i32, i32, i32) : i32 {
    tl.yield %y_1, %z_1, %x_1 : i32, i32, i32
  }
  tl.store %p, %a : !tl.ptr<i32>, i32
}

// A branch without statements is `pass`, or goes where it is an else.
//
// CHECK-LABEL: def branches(p, flag):
// CHECK:           go = tl.load(flag)
// CHECK-NEXT:      if go:
// CHECK-NEXT:          x = x * 2
// CHECK-NEXT:      if go:
// CHECK-NEXT:          pass
// CHECK-NEXT:      else:
// CHECK-NEXT:          tl.store(p, x)
// CHECK-NEXT:      for i in tl.range(0, x):
// CHECK-NEXT:          pass
tl.jit @branches(%p: !tl.ptr<i32>, %flag: !tl.ptr<i1>) {
  %0 = tl.constant 0 : i32
  %1 = tl.constant 1 : i32
  %2 = tl.constant 2 : i32
  %x = tl.load %p : !tl.ptr<i32> -> i32
  %go = tl.load %flag : !tl.ptr<i1> -> i1
  %r = tl.if %go -> (i32) {
    %double = tl.mul %x, %2 : (i32, i32) -> i32
    tl.yield %double : i32
  } else {
    tl.yield %x : i32
  }
  tl.if %go {
  } else {
    tl.store %p, %r : !tl.ptr<i32>, i32
  }
  tl.range %i = %0 to %r step %1 : i32 {
  }
}

// CHECK-LABEL: def nothing():
// CHECK-NEXT:      pass
tl.jit @nothing() {
}
