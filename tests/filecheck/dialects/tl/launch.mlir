// RUN: xdsl-opt %s | filecheck %s
// RUN: xdsl-opt %s --print-op-generic | xdsl-opt | filecheck %s
// RUN: xdsl-opt %s -p cse,dce | filecheck %s --check-prefix CLEAN

// The host side: each op in its own syntax; two buffers are never merged, an unused one goes.

tl.jit @kernel(%p: !tl.ptr<f32>, %q: !tl.ptr<f32>, %n: i32, %s: i64, %scale: f32) {
}

// CHECK-LABEL: func.func @main(
// CLEAN-LABEL: func.func @main(
func.func @main(%x: tensor<?x8xf32>) -> tensor<?x8xf32> {
  // CHECK-NEXT: %n = launch.size %x, 0 : tensor<?x8xf32>
  %n = launch.size %x, 0 : tensor<?x8xf32>
  // CHECK-NEXT: %s = launch.stride %x, 1 : tensor<?x8xf32>
  %s = launch.stride %x, 1 : tensor<?x8xf32>
  // CHECK-NEXT: launch.require %n, %s, "sizes"
  launch.require %n, %s, "sizes"
  // CHECK-NEXT: %a = launch.empty(%n) : tensor<?x8xf32>
  %a = launch.empty(%n) : tensor<?x8xf32>
  // CHECK-NEXT: %b = launch.empty(%n) : tensor<?x8xf32>
  %b = launch.empty(%n) : tensor<?x8xf32>
  %c = launch.empty() : tensor<8xf32>
  // CHECK: %scale = arith.constant
  %scale = arith.constant 0.5 : f32
  // CHECK-NEXT: launch.kernel @kernel[%n, %s] (%a, %b, %n, %s, %scale) {num_warps = 4 : i64, num_stages = 2 : i64} : (tensor<?x8xf32>, tensor<?x8xf32>, index, index, f32)
  launch.kernel @kernel[%n, %s](%a, %b, %n, %s, %scale) {num_warps = 4, num_stages = 2} : (tensor<?x8xf32>, tensor<?x8xf32>, index, index, f32)
  // CHECK-NEXT: launch.kernel @kernel[%n] (%a, %b, %n, %s, %scale) {pdl} : (tensor<?x8xf32>, tensor<?x8xf32>, index, index, f32)
  launch.kernel @kernel[%n](%a, %b, %n, %s, %scale) {pdl} : (tensor<?x8xf32>, tensor<?x8xf32>, index, index, f32)
  // CLEAN: launch.require
  // CLEAN-NEXT: launch.empty(%n) : tensor<?x8xf32>
  // CLEAN-NEXT: launch.empty(%n) : tensor<?x8xf32>
  // CLEAN-NOT: launch.empty
  // CLEAN: launch.kernel
  func.return %b : tensor<?x8xf32>
}
