// RUN: xdsl-opt %s -p canonicalize | filecheck %s

// Integer identities, constants and casts go; floats only where no bit changes; names stay.

// CHECK-LABEL: tl.jit @identities(
tl.jit @identities(%p: !tl.ptr<i32>, %q: !tl.ptr<f32>, %n: i32) {
  %zero = tl.constant 0 : i32
  %one = tl.constant 1 : i32
  %minus = tl.constant -1 : i32
  %fzero = tl.constant 0.0 : f32
  %fone = tl.constant 1.0 : f32
  %x = tl.load %q : !tl.ptr<f32> -> f32
  // n + 0, 0 + n, n * 1, n // 1, cdiv(n, 1), n << 0, n & -1 and p + 0 are what they start from.
  %0 = tl.add %n, %zero : (i32, i32) -> i32
  %1 = tl.add %zero, %0 : (i32, i32) -> i32
  %2 = tl.mul %1, %one : (i32, i32) -> i32
  %3 = tl.floordiv %2, %one : (i32, i32) -> i32
  %4 = tl.cdiv %3, %one : (i32, i32) -> i32
  %5 = tl.shl %4, %zero : (i32, i32) -> i32
  %6 = tl.and %5, %minus : (i32, i32) -> i32
  %7 = tl.cast %6 : i32 -> i32
  %8 = tl.add %p, %zero : (!tl.ptr<i32>, i32) -> !tl.ptr<i32>
  // CHECK: tl.store %p, %n : !tl.ptr<i32>, i32
  tl.store %8, %7 : !tl.ptr<i32>, i32
  // x * 1.0 - 0.0 is x, but x + 0.0 is not where x is -0.0.
  %9 = tl.mul %x, %fone : (f32, f32) -> f32
  %10 = tl.sub %9, %fzero : (f32, f32) -> f32
  %11 = tl.add %10, %fzero : (f32, f32) -> f32
  // CHECK-NEXT: %[[SUM:.*]] = tl.add %x, %fzero : (f32, f32) -> f32
  // CHECK-NEXT: tl.store %q, %[[SUM]] : !tl.ptr<f32>, f32
  tl.store %q, %11 : !tl.ptr<f32>, f32
  tl.return
}

// CHECK-LABEL: tl.jit @constants(
tl.jit @constants(%p: !tl.ptr<i64>, %q: !tl.ptr<f16>) {
  // (-7 // 2) * 10 + -7 % 2 = -31, by C's rules.
  %a = tl.constant -7 : i32
  %b = tl.constant 2 : i32
  %c = tl.constant 10 : i32
  %0 = tl.floordiv %a, %b : (i32, i32) -> i32
  %1 = tl.mul %0, %c : (i32, i32) -> i32
  %2 = tl.mod %a, %b : (i32, i32) -> i32
  %3 = tl.add %1, %2 : (i32, i32) -> i32
  %4 = tl.cast %3 : i32 -> i64
  // CHECK: %[[N:.*]] = tl.constant -31 : i64
  // CHECK-NEXT: tl.store %p, %[[N]] : !tl.ptr<i64>, i64
  tl.store %p, %4 : !tl.ptr<i64>, i64
  // 2147483647 * 10 is no i32: it stays as it is.
  %d = tl.constant 2147483647 : i32
  %5 = tl.mul %d, %c : (i32, i32) -> i32
  %6 = tl.cast %5 : i32 -> i64
  // CHECK: tl.mul
  // CHECK: tl.store
  tl.store %p, %6 : !tl.ptr<i64>, i64
  // 0.5 is an f16, 0.1 is not.
  %half = tl.constant 0.5 : f32
  %tenth = tl.constant 0.1 : f32
  %7 = tl.cast %half : f32 -> f16
  %8 = tl.cast %tenth : f32 -> f16
  // CHECK-DAG: %[[HALF:.*]] = tl.constant 5.000000e-01 : f16
  // CHECK-DAG: %[[TENTH:.*]] = tl.cast %tenth : f32 -> f16
  tl.store %q, %7 : !tl.ptr<f16>, f16
  tl.store %q, %8 : !tl.ptr<f16>, f16
  tl.return
}

// CHECK-LABEL: tl.jit @where_and_names(
tl.jit @where_and_names(%p: !tl.ptr<i32>, %n: i32) {
  // CHECK-NEXT: %SIZE = tl.constexpr 1 : i32
  %SIZE = tl.constexpr 1 : i32
  // CHECK-NOT: tl.constexpr
  %UNUSED = tl.constexpr 2 : i32
  %yes = tl.constant true
  %c = tl.constant 3 : i32
  %0 = tl.where %yes, %n, %c : (i1, i32, i32) -> i32
  // A name is not folded: what it says is the point.
  // CHECK: %[[SCALED:.*]] = tl.mul %n, %SIZE : (i32, i32) -> i32
  %1 = tl.mul %0, %SIZE : (i32, i32) -> i32
  // CHECK-NEXT: tl.store %p, %[[SCALED]] : !tl.ptr<i32>, i32
  tl.store %p, %1 : !tl.ptr<i32>, i32
  // An addition that broadcasts is no identity.
  %zero = tl.constant 0 : i32
  %four = tl.constant 4 : i32
  %block = tl.full %zero [%four] : i32 [i32] -> tensor<4xi32>
  %2 = tl.add %n, %block : (i32, tensor<4xi32>) -> tensor<4xi32>
  %3 = tl.max %2 0 : tensor<4xi32> -> i32
  // CHECK: tl.add %n, %block : (i32, tensor<4xi32>) -> tensor<4xi32>
  tl.store %p, %3 : !tl.ptr<i32>, i32
  tl.return
}
