// RUN: xdsl-opt %s --verify-diagnostics --parsing-diagnostics --split-input-file | filecheck %s

// What contradicts itself in quantised K and V: each message says what is wrong, where, and what would be right.

// A digit needs codes that share an element.
func.func @f(%q: tensor<4x8xf32>, %k: tensor<9x8xf32>, %v: tensor<9x8xf32>) {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>)
      k(%k[n, k floordiv 2] : tensor<9x8xf32>)
      v(%v[n, d] : tensor<9x8xf32>) scale(1.0) -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: the layout of k has k floordiv 2; only what is quantized has digits

// -----

// Only the operand with the codes and what stands beside it have digits.
func.func @f(%q: tensor<4x8xf32>, %k: tensor<9x8xi8>, %v: tensor<9x8xf32>) {
  %o = attention.sdpa q(%q[m, k floordiv 2] : tensor<4x8xf32>)
      k(%k[n, k] : tensor<9x8xi8>) quantized(i8)
      v(%v[n, d] : tensor<9x8xf32>) scale(1.0) -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: the layout of q has k floordiv 2; only what is quantized has digits

// -----

// As many lanes as codes fit into an element.
func.func @f(%q: tensor<4x8xf32>, %k: tensor<9x2xi8>, %v: tensor<9x8xf32>) {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>)
      k(%k[n, k floordiv 4] : tensor<9x2xi8>) quantized(u4)
      v(%v[n, d] : tensor<9x8xf32>) scale(1.0) -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: a i8 holds 2 u4 codes, so the layout of k needs k floordiv 2, or k mod the number of elements

// -----

// One code an element: no digit.
func.func @f(%q: tensor<4x8xf32>, %k: tensor<9x4xi8>, %v: tensor<9x8xf32>) {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>)
      k(%k[n, k floordiv 2] : tensor<9x4xi8>) quantized(i8)
      v(%v[n, d] : tensor<9x8xf32>) scale(1.0) -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: the layout of k has a digit of k, but a i8 holds one i8 code; expected k

// -----

// The head size is that of q.
func.func @f(%q: tensor<4x8xf32>, %k: tensor<9x8xi8>, %v: tensor<9x8xf32>) {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>)
      k(%k[n, k floordiv 2] : tensor<9x8xi8>) quantized(u4)
      v(%v[n, d] : tensor<9x8xf32>) scale(1.0) -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: size of k is 8 by dimension 1 of q but 16 by dimension 1 of k, 2 to one

// -----

// Of a planar order, the elements are as many as the digit says.
func.func @f(%q: tensor<4x8xf32>, %k: tensor<9x4xi8>, %v: tensor<9x8xf32>) {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>)
      k(%k[n, k mod 3] : tensor<9x4xi8>) quantized(u4)
      v(%v[n, d] : tensor<9x8xf32>) scale(1.0) -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: dimension 1 of k has 4 of k mod 3, expected 3

// -----

func.func @f(%q: tensor<4x8xf32>, %k: tensor<9x3xi8>, %v: tensor<9x8xf32>) {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>)
      k(%k[n, k mod 3] : tensor<9x3xi8>) quantized(u4)
      v(%v[n, d] : tensor<9x8xf32>) scale(1.0) -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: size of k is 8 by dimension 1 of q but 6 by dimension 1 of k, 2 codes an element

// -----

// The storage holds the codes.
func.func @f(%q: tensor<4x8xf32>, %k: tensor<9x8xf16>, %v: tensor<9x8xf32>) {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>)
      k(%k[n, k] : tensor<9x8xf16>) quantized(u4)
      v(%v[n, d] : tensor<9x8xf32>) scale(1.0) -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: k has element type f16, expected an integer for u4 codes

// -----

func.func @f(%q: tensor<4x8xf32>, %k: tensor<9x8xf8E5M2>, %v: tensor<9x8xf32>) {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>)
      k(%k[n, k] : tensor<9x8xf8E5M2>) quantized(f8E4M3FN)
      v(%v[n, d] : tensor<9x8xf32>) scale(1.0) -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: k has element type f8E5M2, expected f8E4M3FN or an integer for f8E4M3FN codes

// -----

func.func @f(%q: tensor<4x8xf32>, %k: tensor<9x8xi4>, %v: tensor<9x8xf32>) {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>)
      k(%k[n, k] : tensor<9x8xi4>) quantized(u8)
      v(%v[n, d] : tensor<9x8xf32>) scale(1.0) -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: k has element type i4, whose 4 bits hold no 8-bit codes

// -----

// A group divides the channels, and the keys.
func.func @f(%q: tensor<4x8xf32>, %k: tensor<9x8xi8>, %s: tensor<2xf32>, %v: tensor<9x8xf32>) {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>)
      k(%k[n, k] : tensor<9x8xi8>) quantized(i8) k_scale(%s[k floordiv 3] : tensor<2xf32>)
      v(%v[n, d] : tensor<9x8xf32>) scale(1.0) -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: size of k is 8 by dimension 1 of q but 6 by dimension 0 of k_scale, 3 to one

// -----

func.func @f(%q: tensor<4x8xf32>, %k: tensor<9x8xi8>, %s: tensor<2xf32>, %v: tensor<9x8xf32>) {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>)
      k(%k[n, k] : tensor<9x8xi8>) quantized(i8) k_scale(%s[n floordiv 4] : tensor<2xf32>)
      v(%v[n, d] : tensor<9x8xf32>) scale(1.0) -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: size of n is 9 by dimension 0 of k but 8 by dimension 0 of k_scale, 4 to one

// -----

// What a scale cannot vary with.
func.func @f(%q: tensor<4x8xf32>, %k: tensor<9x8xi8>, %s: tensor<4xf32>, %v: tensor<9x8xf32>) {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>)
      k(%k[n, k] : tensor<9x8xi8>) quantized(i8) k_scale(%s[m] : tensor<4xf32>)
      v(%v[n, d] : tensor<9x8xf32>) scale(1.0) -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: the layout of k_scale depends on m, which k_scale has not

// -----

func.func @f(%q: tensor<4x8xf32>, %k: tensor<9x8xi8>, %s: tensor<8xf32>, %v: tensor<9x8xf32>) {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>)
      k(%k[n, k] : tensor<9x8xi8>) quantized(i8) k_scale(%s[d] : tensor<8xf32>)
      v(%v[n, d] : tensor<9x8xf32>) scale(1.0) -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: the layout of k_scale depends on d, which k_scale has not

// -----

func.func @f(%q: tensor<4x8xf32>, %k: tensor<9x8xi8>, %s: tensor<4xf32>, %v: tensor<9x8xf32>) {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>)
      k(%k[n, k] : tensor<9x8xi8>) quantized(i8) k_scale(%s[k mod 4] : tensor<4xf32>)
      v(%v[n, d] : tensor<9x8xf32>) scale(1.0) -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: the layout of k_scale has k mod 4; it may have n floordiv ..., slot floordiv ..., k floordiv ...

// -----

// Pages need their table.
func.func @f(%q: tensor<4x8xf32>, %k: tensor<9x8xi8>, %s: tensor<4xf32>, %v: tensor<9x8xf32>) {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>)
      k(%k[n, k] : tensor<9x8xi8>) quantized(i8) k_scale(%s[page] : tensor<4xf32>)
      v(%v[n, d] : tensor<9x8xf32>) scale(1.0) -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: the layout of k_scale uses page, but there is no block_table

// -----

// A scale without codes.
func.func @f(%q: tensor<4x8xf32>, %k: tensor<9x8xf32>, %s: tensor<9xf32>, %v: tensor<9x8xf32>) {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>)
      k(%k[n, k] : tensor<9x8xf32>) k_scale(%s[n] : tensor<9xf32>)
      v(%v[n, d] : tensor<9x8xf32>) scale(1.0) -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: k_scale is given, but k is not quantized

// -----

// Types of scales, zero points and offsets.
func.func @f(%q: tensor<4x8xf32>, %k: tensor<9x8xi8>, %s: tensor<9xi32>, %v: tensor<9x8xf32>) {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>)
      k(%k[n, k] : tensor<9x8xi8>) quantized(i8) k_scale(%s[n] : tensor<9xi32>)
      v(%v[n, d] : tensor<9x8xf32>) scale(1.0) -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: k_scale has element type i32, expected a float

// -----

// One zero point at most.
func.func @f(%q: tensor<4x8xf32>, %k: tensor<9x8xi8>, %s: tensor<9xf32>, %v: tensor<9x8xf32>) {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>)
      k(%k[n, k] : tensor<9x8xi8>) quantized(i8) k_zero(%s[n] : tensor<9xf32>) k_offset(%s[n] : tensor<9xf32>)
      v(%v[n, d] : tensor<9x8xf32>) scale(1.0) -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: k_zero and k_offset are given, expected one of them at most

// -----

func.func @f(%q: tensor<4x8xf32>, %k: tensor<9x8xi8>, %s: tensor<9xf32>, %v: tensor<9x8xf32>) {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>)
      k(%k[n, k] : tensor<9x8xi8>) quantized(i8, zero = 3) k_zero(%s[n] : tensor<9xf32>)
      v(%v[n, d] : tensor<9x8xf32>) scale(1.0) -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: k_zero is given, but k has zero = 3 already

// -----

// 8-bit floats have none.
func.func @f(%q: tensor<4x8xf32>, %k: tensor<9x8xi8>, %s: tensor<9xf32>, %v: tensor<9x8xf32>) {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>)
      k(%k[n, k] : tensor<9x8xi8>) quantized(f8E5M2) k_zero(%s[n] : tensor<9xf32>)
      v(%v[n, d] : tensor<9x8xf32>) scale(1.0) -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: k_zero is given, but codes of type f8E5M2 have no zero point

// -----

func.func @f(%q: tensor<4x8xf32>, %k: tensor<9x8xi8>, %v: tensor<9x8xf32>) {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>)
      k(%k[n, k] : tensor<9x8xi8>) quantized(f8E5M2, zero = 1)
      v(%v[n, d] : tensor<9x8xf32>) scale(1.0) -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: codes of type f8E5M2 have no zero point, but zero is 1

// -----

// A zero point is a code.
func.func @f(%q: tensor<4x8xf32>, %k: tensor<9x4xi8>, %v: tensor<9x8xf32>) {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>)
      k(%k[n, k floordiv 2] : tensor<9x4xi8>) quantized(u4, zero = 16)
      v(%v[n, d] : tensor<9x8xf32>) scale(1.0) -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: zero is 16, but codes of type u4 are from 0 to 15

// -----

// Names.
func.func @f(%q: tensor<4x8xf32>, %k: tensor<9x8xi8>, %v: tensor<9x8xf32>) {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>)
      k(%k[n, k] : tensor<9x8xi8>) quantized(i5)
      v(%v[n, d] : tensor<9x8xf32>) scale(1.0) -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: 'i5' is no type of codes; expected one of u4, i4, u8, i8, f8E4M3FN, f8E5M2

// -----

func.func @f(%q: tensor<4x8xf32>, %k: tensor<9x8xi8>, %v: tensor<9x8xf32>) {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>)
      k(%k[n, k] : tensor<9x8xi8>) quantized(i8, round = f32)
      v(%v[n, d] : tensor<9x8xf32>) scale(1.0) -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: 'f32' is no type to round to; expected one of bf16, f16

// -----

func.func @f(%q: tensor<4x8xf32>, %k: tensor<9x8xi8>, %v: tensor<9x8xf32>) {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>)
      k(%k[n, k floordiv 0] : tensor<9x8xi8>) quantized(i8)
      v(%v[n, d] : tensor<9x8xf32>) scale(1.0) -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: a divisor of a layout must be at least 1
