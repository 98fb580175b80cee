// RUN: xdsl-opt %s --verify-diagnostics --split-input-file | filecheck %s

// CHECK: tensor<4xf32> has no dimension 1
func.func @f(%x: tensor<4xf32>) {
  %n = launch.size %x, 1 : tensor<4xf32>
  func.return
}

// -----

// CHECK: tensor<?x?xf32> needs 2 sizes, got 0
func.func @f() {
  %n = launch.empty() : tensor<?x?xf32>
  func.return
}

// -----

// CHECK: @nothing is not a tl.jit of this module
func.func @f(%n: index) {
  launch.kernel @nothing[%n]() : ()
  func.return
}

// -----

// CHECK: @k has 1 parameters, got 0 arguments
tl.jit @k(%p: !tl.ptr<f32>) {
}
func.func @f(%n: index) {
  launch.kernel @k[%n]() : ()
  func.return
}

// -----

// CHECK: argument 0 of @k is a !tl.ptr<f32>, got tensor<4xf16>
tl.jit @k(%p: !tl.ptr<f32>) {
}
func.func @f(%n: index, %x: tensor<4xf16>) {
  launch.kernel @k[%n](%x) : (tensor<4xf16>)
  func.return
}

// -----

// CHECK: argument 0 of @k is a f32, got index
tl.jit @k(%x: f32) {
}
func.func @f(%n: index) {
  launch.kernel @k[%n](%n) : (index)
  func.return
}

// -----

// CHECK: a grid has one to three dimensions, got 4
tl.jit @k() {
}
func.func @f(%n: index) {
  launch.kernel @k[%n, %n, %n, %n]() : ()
  func.return
}

// -----

// CHECK: num_warps is a power of two up to 32, got 3
tl.jit @k() {
}
func.func @f(%n: index) {
  launch.kernel @k[%n]() {num_warps = 3} : ()
  func.return
}
