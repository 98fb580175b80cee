// RUN: xdsl-opt %s --verify-diagnostics --parsing-diagnostics --split-input-file | filecheck %s

// Every rule that the verifiers and the parser know: each message says both values, and where they come from.

// Sizes of one dimension that contradict each other.
func.func @sizes(%q: tensor<4x8xf32>, %k: tensor<9x8xf32>, %v: tensor<10x8xf32>) {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>) k(%k[n, k] : tensor<9x8xf32>) v(%v[n, d] : tensor<10x8xf32>)
      scale(1.0) -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: size of n is 9 by dimension 0 of k but 10 by dimension 0 of v

// -----

// A flattened dimension that its head group does not divide.
func.func @group(%q: tensor<6x8xf32>, %k: tensor<9x8xf32>) {
  %o = attention.sdpa q(%q[h * 4 + g, k] : tensor<6x8xf32>) k(%k[n, k] : tensor<9x8xf32>) v(%k[n, d] : tensor<9x8xf32>)
      scale(1.0) -> out[h * 4 + g, d] : tensor<6x8xf32>
  func.return
}
// CHECK: dimension 0 of q has size 6, which 4 does not divide

// -----

// Layouts: the last coefficient is 1, coefficients divide each other, a constant index needs size 1.
func.func @coefficient(%q: tensor<8x8xf32>) {
  %o = attention.sdpa q(%q[h * 2, k] : tensor<8x8xf32>) k(%q[n, k] : tensor<8x8xf32>) v(%q[n, d] : tensor<8x8xf32>)
      scale(1.0) -> out[h, d] : tensor<4x8xf32>
  func.return
}
// CHECK: dimension 0 of q: the last coefficient of its index is 2, expected 1

// -----

func.func @radix(%q: tensor<12x8xf32>) {
  %o = attention.sdpa q(%q[h * 3 + g * 2 + m, k] : tensor<12x8xf32>) k(%q[n, k] : tensor<12x8xf32>)
      v(%q[n, d] : tensor<12x8xf32>) scale(1.0) -> out[h * 3 + g * 2 + m, d] : tensor<12x8xf32>
  func.return
}
// CHECK: dimension 0 of q: coefficient 3 is not a multiple of coefficient 2

// -----

func.func @zero(%q: tensor<2x8xf32>) {
  %o = attention.sdpa q(%q[0, k] : tensor<2x8xf32>) k(%q[n, k] : tensor<2x8xf32>) v(%q[n, d] : tensor<2x8xf32>)
      scale(1.0) -> out[d] : tensor<8xf32>
  func.return
}
// CHECK: dimension 0 of q has size 2 but its index is 0, which needs size 1

// -----

func.func @diagonal(%q: tensor<8x8xf32>) {
  %o = attention.sdpa q(%q[k, k] : tensor<8x8xf32>) k(%q[n, k] : tensor<8x8xf32>) v(%q[n, d] : tensor<8x8xf32>)
      scale(1.0) -> out[d] : tensor<8xf32>
  func.return
}
// CHECK: the layout of q uses k in two indices

// -----

func.func @rank(%q: tensor<8x8xf32>) {
  %o = attention.sdpa q(%q[k] : tensor<8x8xf32>) k(%q[n, k] : tensor<8x8xf32>) v(%q[n, d] : tensor<8x8xf32>)
      scale(1.0) -> out[d] : tensor<8xf32>
  func.return
}
// CHECK: q has rank 2 but its layout has 1 indices

// -----

func.func @unknown(%q: tensor<8x8xf32>) {
  %o = attention.sdpa q(%q[x, k] : tensor<8x8xf32>) k(%q[n, k] : tensor<8x8xf32>) v(%q[n, d] : tensor<8x8xf32>)
      scale(1.0) -> out[d] : tensor<8xf32>
  func.return
}
// CHECK: 'x' is no dimension of attention; use b (b0, b1, ...), h, g, m, n, k or d

// -----

// Operands do not have each other's dimensions.
func.func @query_with_keys(%q: tensor<8x8xf32>) {
  %o = attention.sdpa q(%q[n, k] : tensor<8x8xf32>) k(%q[n, k] : tensor<8x8xf32>) v(%q[n, d] : tensor<8x8xf32>)
      scale(1.0) -> out[d] : tensor<8xf32>
  func.return
}
// CHECK: the layout of q depends on n, which q has not

// -----

// A result names every dimension that it has.
func.func @uncovered(%q: tensor<4x8xf32>) {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>) k(%q[n, k] : tensor<4x8xf32>) v(%q[n, d] : tensor<4x8xf32>)
      scale(1.0) -> out[d] : tensor<8xf32>
  func.return
}
// CHECK: the layout of out lacks m, which has size 4

// -----

// Element types.
func.func @integers(%q: tensor<4x8xi32>) {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xi32>) k(%q[n, k] : tensor<4x8xi32>) v(%q[n, d] : tensor<4x8xi32>)
      scale(1.0) -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: q has element type i32, expected a float

// -----

func.func @mixed(%q: tensor<4x8xf32>, %k: tensor<4x8xf16>) {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>) k(%k[n, k] : tensor<4x8xf16>) v(%k[n, d] : tensor<4x8xf16>)
      scale(1.0) -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: q has element type f32 but k has f16

// -----

func.func @lengths(%q: tensor<4x8xf32>, %l: tensor<i16>) {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>) k(%q[n, k] : tensor<4x8xf32>) v(%q[n, d] : tensor<4x8xf32>)
      kv_lens(%l[] : tensor<i16>) scale(1.0) -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: kv_lens has element type i16, expected i32 or i64

// -----

func.func @lse_type(%q: tensor<4x8xbf16>) {
  %o, %lse = attention.sdpa q(%q[m, k] : tensor<4x8xbf16>) k(%q[n, k] : tensor<4x8xbf16>) v(%q[n, d] : tensor<4x8xbf16>)
      scale(1.0) -> out[m, d] : tensor<4x8xbf16>, lse[m] : tensor<4xbf16>
  func.return
}
// CHECK: lse has element type bf16, expected f32

// -----

func.func @sinks(%q: tensor<4x8xf32>, %s: tensor<4xf32>) {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>) k(%q[n, k] : tensor<4x8xf32>) v(%q[n, d] : tensor<4x8xf32>)
      sinks(%s[m] : tensor<4xf32>) scale(1.0) -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: the layout of sinks may use only batch dimensions, h and g

// -----

// Score regions: arguments, operations, what they yield, masks.
func.func @arguments(%q: tensor<4x8xf32>) {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>) k(%q[n, k] : tensor<4x8xf32>) v(%q[n, d] : tensor<4x8xf32>)
      scale(1.0) score {
      ^bb0(%s: f32, %m: index, %n: index):
        attention.yield %s : f32
      } -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: the score region has arguments (f32, index, index), expected (f32, index, index, index) for s, hq, m, n

// -----

func.func @operations(%q: tensor<4x8xf32>) {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>) k(%q[n, k] : tensor<4x8xf32>) v(%q[n, d] : tensor<4x8xf32>)
      scale(1.0) score {
      ^bb0(%s: f32, %hq: index, %m: index, %n: index):
        %e = tensor.empty() : tensor<4xf32>
        attention.yield %s : f32
      } -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: tensor.empty in a score region; it may hold operations of arith and math, tensor.extract and tensor.dim

// -----

func.func @yields(%q: tensor<4x8xf64>) {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf64>) k(%q[n, k] : tensor<4x8xf64>) v(%q[n, d] : tensor<4x8xf64>)
      scale(1.0) score {
      ^bb0(%s: f64, %hq: index, %m: index, %n: index):
        %r = arith.constant 0.0 : f32
        attention.yield %r : f32
      } -> out[m, d] : tensor<4x8xf64>
  func.return
}
// CHECK: the score region yields f32, expected f64

// -----

func.func @mask(%q: tensor<4x8xf32>, %t: tensor<4xi8>) {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>) k(%q[n, k] : tensor<4x8xf32>) v(%q[n, d] : tensor<4x8xf32>)
      scale(1.0) score(mask(%t[n] : tensor<4xi8>)) -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: mask must be a tensor of i1, got tensor<4xi8>

// -----

// Schedules.
func.func @schedule(%q: tensor<4x8xf32>) {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>) k(%q[n, k] : tensor<4x8xf32>) v(%q[n, d] : tensor<4x8xf32>)
      scale(1.0) schedule<block_m = 16, block_n = 48, warps = 4, stages = 2> -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: block_n is 48, expected a power of two of at least 16

// -----

func.func @schedule_field(%q: tensor<4x8xf32>) {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>) k(%q[n, k] : tensor<4x8xf32>) v(%q[n, d] : tensor<4x8xf32>)
      scale(1.0) schedule<block_m = 16, block_n = 16, warps = 4, stages = 2, kernels = 3> -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: kernels is 3, expected 1 or 2

// -----

func.func @unknown_field(%q: tensor<4x8xf32>) {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>) k(%q[n, k] : tensor<4x8xf32>) v(%q[n, d] : tensor<4x8xf32>)
      scale(1.0) schedule<block_m = 16, block_n = 16, warps = 4, stages = 2, colour = 3> -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: a schedule has no colour, expected any of: block_m, block_n, warps, stages, splits, runs, kernels, pdl, pack

// -----

func.func @field_twice(%q: tensor<4x8xf32>) {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>) k(%q[n, k] : tensor<4x8xf32>) v(%q[n, d] : tensor<4x8xf32>)
      scale(1.0) schedule<block_m = 16, block_n = 16, warps = 4, stages = 2, pdl = 1, pdl = 0> -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: pdl is given twice

// -----

// Partials: sizes of results, splits, tiles, no sinks.
func.func @partial_shape(%q: tensor<4x8xf32>) {
  %o, %l = attention.partial q(%q[m, k] : tensor<4x8xf32>) k(%q[n, k] : tensor<4x8xf32>) v(%q[n, d] : tensor<4x8xf32>)
      splits(2) tile(16) scale(1.0) -> out : tensor<1x1x4x8xf32>, lse : tensor<1x1x2x4xf32>
  func.return
}
// CHECK: out has type tensor<1x1x4x8xf32>, expected tensor<1x1x2x4x8xf32>

// -----

func.func @partial_sum(%q: tensor<4x8xf16>) {
  %o, %l, %n = attention.partial q(%q[m, k] : tensor<4x8xf16>) k(%q[n, k] : tensor<4x8xf16>)
      v(%q[n, d] : tensor<4x8xf16>) splits(2) tile(16) scale(1.0)
      -> out : tensor<1x1x2x4x8xf32>, lse : tensor<1x1x2x4xf32>, sum : tensor<1x1x2x4xf16>
  func.return
}
// CHECK: sum has type tensor<1x1x2x4xf16>, expected tensor<1x1x2x4xf32>

// -----

func.func @no_splits(%q: tensor<4x8xf32>) {
  %o, %l = attention.partial q(%q[m, k] : tensor<4x8xf32>) k(%q[n, k] : tensor<4x8xf32>) v(%q[n, d] : tensor<4x8xf32>)
      splits(0) tile(16) scale(1.0) -> out : tensor<1x1x0x4x8xf32>, lse : tensor<1x1x0x4xf32>
  func.return
}
// CHECK: splits is 0, expected at least 1

// -----

func.func @tile(%q: tensor<4x8xf32>) {
  %o, %l = attention.partial q(%q[m, k] : tensor<4x8xf32>) k(%q[n, k] : tensor<4x8xf32>) v(%q[n, d] : tensor<4x8xf32>)
      splits(1) tile(48) scale(1.0) schedule<block_m = 16, block_n = 32, warps = 4, stages = 2>
      -> out : tensor<1x1x1x4x8xf32>, lse : tensor<1x1x1x4xf32>
  func.return
}
// CHECK: tile is 48, which block_n = 32 of the schedule does not divide

// -----

func.func @partial_sinks(%q: tensor<4x8xf32>, %s: tensor<1xf32>) {
  %o, %l = attention.partial q(%q[m, k] : tensor<4x8xf32>) k(%q[n, k] : tensor<4x8xf32>) v(%q[n, d] : tensor<4x8xf32>)
      sinks(%s[h] : tensor<1xf32>) splits(1) tile(16) scale(1.0)
      -> out : tensor<1x1x1x4x8xf32>, lse : tensor<1x1x1x4xf32>
  func.return
}
// CHECK: attention.partial takes no sinks; give them to attention.combine

// -----

// Combines.
func.func @combine_lse(%p: tensor<1x1x2x4x8xf32>, %l: tensor<1x1x3x4xf32>) {
  %o = attention.combine partial(%p : tensor<1x1x2x4x8xf32>) lse(%l : tensor<1x1x3x4xf32>) -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: lse has type tensor<1x1x3x4xf32>, expected tensor<1x1x2x4xf32> for partial of type tensor<1x1x2x4x8xf32>

// -----

func.func @combine_sum(%p: tensor<1x1x2x4x8xf32>, %l: tensor<1x1x2x4xf32>, %n: tensor<1x1x2xf32>) {
  %o = attention.combine partial(%p : tensor<1x1x2x4x8xf32>) lse(%l : tensor<1x1x2x4xf32>) sum(%n : tensor<1x1x2xf32>)
      -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: sum has type tensor<1x1x2xf32>, expected tensor<1x1x2x4xf32> for partial of type tensor<1x1x2x4x8xf32>

// -----

func.func @combine_out(%p: tensor<1x1x2x4x8xf32>, %l: tensor<1x1x2x4xf32>) {
  %o = attention.combine partial(%p : tensor<1x1x2x4x8xf32>) lse(%l : tensor<1x1x2x4xf32>) -> out[m, d] : tensor<4x9xf32>
  func.return
}
// CHECK: size of d is 8 by partial but 9 by dimension 1 of out

// -----

func.func @combine_covered(%p: tensor<2x3x2x4x8xf32>, %l: tensor<2x3x2x4xf32>) {
  %o = attention.combine partial(%p : tensor<2x3x2x4x8xf32>) lse(%l : tensor<2x3x2x4xf32>) -> out[h, m, d] : tensor<2x4x8xf32>
  func.return
}
// CHECK: the layout of out lacks g, which has size 3

// -----

func.func @combine_type(%p: tensor<1x1x2x4x8xf16>, %l: tensor<1x1x2x4xf16>) {
  %o = attention.combine partial(%p : tensor<1x1x2x4x8xf16>) lse(%l : tensor<1x1x2x4xf16>) -> out[m, d] : tensor<4x8xf16>
  func.return
}
// CHECK: partial has element type f16, expected f32 or f64

// -----

func.func @combine_splits(%p: tensor<1x1x?x4x8xf32>, %l: tensor<1x1x?x4xf32>) {
  %o = attention.combine partial(%p : tensor<1x1x?x4x8xf32>) lse(%l : tensor<1x1x?x4xf32>) -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: the number of splits must be static

// -----

// A yield belongs to a score region and to no other.

func.func @stray_yield(%s: f32) {
  attention.yield %s : f32
}

// CHECK: attention.yield ends the score region of attention.sdpa or attention.partial, not a region of func.func

// -----

// Infinities and NaN are printed as bits, which the scale of this form would take for an integer.
func.func @scale(%q: tensor<4x8xf32>) {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>) k(%q[n, k] : tensor<4x8xf32>) v(%q[n, d] : tensor<4x8xf32>)
      scale(1.0e+400) -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: scale is inf, expected a finite number

// -----

// A short form reads captured tensors at the indices of the score region, which has no d.
func.func @form_index(%q: tensor<4x8xf32>, %t: tensor<8xf32>) {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>) k(%q[n, k] : tensor<4x8xf32>) v(%q[n, d] : tensor<4x8xf32>)
      scale(1.0) score(bias(%t[d] : tensor<8xf32>)) -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: 'd' is no index of the score region: hq, m, n

// -----

// The only constant index of a short form is 0.
func.func @form_constant(%q: tensor<4x8xf32>, %t: tensor<4xf32>) {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>) k(%q[n, k] : tensor<4x8xf32>) v(%q[n, d] : tensor<4x8xf32>)
      scale(1.0) score(bias(%t[1] : tensor<4xf32>)) -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: a constant index of a short form must be 0, got 1

// -----

// A tensor is read at as many indices as it has dimensions.
func.func @form_rank(%q: tensor<4x8xf32>, %t: tensor<4xf32>) {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>) k(%q[n, k] : tensor<4x8xf32>) v(%q[n, d] : tensor<4x8xf32>)
      scale(1.0) score(bias(%t[n, n] : tensor<4xf32>)) -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: tensor<4xf32> is read at 2 indices, expected 1

// -----

// What is added is a float.
func.func @form_type(%q: tensor<4x8xf32>, %t: tensor<4xi32>) {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>) k(%q[n, k] : tensor<4x8xf32>) v(%q[n, d] : tensor<4x8xf32>)
      scale(1.0) score(bias(%t[n] : tensor<4xi32>)) -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: expected a tensor of floats, got tensor<4xi32>

// -----

// The same in a score region.
func.func @extract_rank(%q: tensor<4x8xf32>, %t: tensor<4xf32>) {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>) k(%q[n, k] : tensor<4x8xf32>) v(%q[n, d] : tensor<4x8xf32>)
      scale(1.0) score {
      ^bb0(%s: f32, %hq: index, %m: index, %n: index):
        %b = tensor.extract %t[%m, %n] : tensor<4xf32>
        %r = arith.addf %s, %b : f32
        attention.yield %r : f32
      } -> out[m, d] : tensor<4x8xf32>
  func.return
}
// CHECK: tensor<4xf32> is read at 2 indices, expected 1
