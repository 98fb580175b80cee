// RUN: xdsl-opt %s --verify-diagnostics --parsing-diagnostics --split-input-file | filecheck %s

// Bounds that are not well formed. Whether they are true of the score region is the writer's business.

func.func @symbol(%q: tensor<2x4x8xf32>, %x: tensor<2xi32>) {
  %o = attention.sdpa q(%q[b, m, k] : tensor<2x4x8xf32>) k(%q[b, n, k] : tensor<2x4x8xf32>)
      v(%q[b, n, d] : tensor<2x4x8xf32>) scale(1.0) reach(n < s1) scalars(%x[b] : tensor<2xi32>) -> out[b, m, d] : tensor<2x4x8xf32>
  func.return
}
// CHECK: reach reads s1, but has 1 scalars to read

// -----

func.func @float(%q: tensor<2x4x8xf32>, %x: tensor<2xf32>) {
  %o = attention.sdpa q(%q[b, m, k] : tensor<2x4x8xf32>) k(%q[b, n, k] : tensor<2x4x8xf32>)
      v(%q[b, n, d] : tensor<2x4x8xf32>) scale(1.0) unmasked(n < s0) scalars(%x[b] : tensor<2xf32>) -> out[b, m, d] : tensor<2x4x8xf32>
  func.return
}
// CHECK: s0 has type tensor<2xf32>, expected an integer or a tensor of integers

// -----

func.func @size(%q: tensor<2x4x8xf32>, %x: tensor<3xi32>) {
  %o = attention.sdpa q(%q[b, m, k] : tensor<2x4x8xf32>) k(%q[b, n, k] : tensor<2x4x8xf32>)
      v(%q[b, n, d] : tensor<2x4x8xf32>) scale(1.0) reach(n < s0) scalars(%x[b] : tensor<3xi32>) -> out[b, m, d] : tensor<2x4x8xf32>
  func.return
}
// CHECK: size of b is 2 by dimension 0 of q but 3 by dimension 0 of s0

// -----

func.func @layout(%q: tensor<2x4x8xf32>, %x: tensor<4xi32>) {
  %o = attention.sdpa q(%q[b, m, k] : tensor<2x4x8xf32>) k(%q[b, n, k] : tensor<2x4x8xf32>)
      v(%q[b, n, d] : tensor<2x4x8xf32>) scale(1.0) reach(n < s0) scalars(%x[m] : tensor<4xi32>) -> out[b, m, d] : tensor<2x4x8xf32>
  func.return
}
// CHECK: the layout of s0 depends on m, which s0 has not

// -----

func.func @rank(%q: tensor<2x4x8xf32>, %x: tensor<2xi32>) {
  %o = attention.sdpa q(%q[b, m, k] : tensor<2x4x8xf32>) k(%q[b, n, k] : tensor<2x4x8xf32>)
      v(%q[b, n, d] : tensor<2x4x8xf32>) scale(1.0) reach(n < s0) scalars(%x[b, 0] : tensor<2xi32>) -> out[b, m, d] : tensor<2x4x8xf32>
  func.return
}
// CHECK: s0 has rank 1 but its layout has 2 indices

// -----

func.func @product(%q: tensor<2x4x8xf32>, %x: index) {
  %o = attention.sdpa q(%q[b, m, k] : tensor<2x4x8xf32>) k(%q[b, n, k] : tensor<2x4x8xf32>)
      v(%q[b, n, d] : tensor<2x4x8xf32>) scale(1.0) reach(n < m0 * m1) -> out[b, m, d] : tensor<2x4x8xf32>
  func.return
}
// CHECK: one factor of a product in a bound must be a constant

// -----

func.func @divisor(%q: tensor<2x4x8xf32>, %x: index) {
  %o = attention.sdpa q(%q[b, m, k] : tensor<2x4x8xf32>) k(%q[b, n, k] : tensor<2x4x8xf32>)
      v(%q[b, n, d] : tensor<2x4x8xf32>) scale(1.0) reach(n < m0 floordiv 0) -> out[b, m, d] : tensor<2x4x8xf32>
  func.return
}
// CHECK: a bound is divided by 0, expected a positive constant

// -----

func.func @name(%q: tensor<2x4x8xf32>, %x: index) {
  %o = attention.sdpa q(%q[b, m, k] : tensor<2x4x8xf32>) k(%q[b, n, k] : tensor<2x4x8xf32>)
      v(%q[b, n, d] : tensor<2x4x8xf32>) scale(1.0) reach(n < len) -> out[b, m, d] : tensor<2x4x8xf32>
  func.return
}
// CHECK: 'len' in a bound of keys; use m0, m1 and symbols s0, s1, ...
