// RUN: xdsl-opt %s -p convert-attention-to-triton --verify-diagnostics --split-input-file | filecheck %s

// What a Triton kernel cannot do is one error that says what, and what to do.

func.func @f64(%q: tensor<4x16xf64>, %k: tensor<9x16xf64>, %v: tensor<9x16xf64>) -> tensor<4x16xf64> {
  %out = attention.sdpa q(%q[m, k] : tensor<4x16xf64>) k(%k[n, k] : tensor<9x16xf64>) v(%v[n, d] : tensor<9x16xf64>)
    scale(1.0) -> out[m, d] : tensor<4x16xf64>
  func.return %out : tensor<4x16xf64>
}

// CHECK: f64 attention cannot be lowered to Triton, which has no f64 tl.dot: q of attention.sdpa has type tensor<4x16xf64>; convert it to f32

// -----

func.func @erf(%q: tensor<4x16xf32>, %k: tensor<9x16xf32>, %v: tensor<9x16xf32>) -> tensor<4x16xf32> {
  %out = attention.sdpa q(%q[m, k] : tensor<4x16xf32>) k(%k[n, k] : tensor<9x16xf32>) v(%v[n, d] : tensor<9x16xf32>)
    scale(1.0) score {
    ^bb0(%s: f32, %hq: index, %m: index, %n: index):
      %r = math.erf %s : f32
      attention.yield %r : f32
    } -> out[m, d] : tensor<4x16xf32>
  func.return %out : tensor<4x16xf32>
}

// CHECK: cannot lower math.erf in the score region of attention.sdpa to Triton: triton.language has no counterpart

// -----

func.func @head_size(%q: tensor<4x?xf32>, %k: tensor<9x?xf32>, %v: tensor<9x16xf32>) -> tensor<4x16xf32> {
  %out = attention.sdpa q(%q[m, k] : tensor<4x?xf32>) k(%k[n, k] : tensor<9x?xf32>) v(%v[n, d] : tensor<9x16xf32>)
    scale(1.0) -> out[m, d] : tensor<4x16xf32>
  func.return %out : tensor<4x16xf32>
}

// CHECK: the head size k is dynamic, but tiles of a Triton kernel need it static

// -----

func.func @grid(%p: tensor<1x1x65536x1x16xf32>, %l: tensor<1x1x65536x1xf32>) -> tensor<1x16xf32> {
  %out = attention.combine partial(%p : tensor<1x1x65536x1x16xf32>) lse(%l : tensor<1x1x65536x1xf32>)
    -> out[m, d] : tensor<1x16xf32>
  func.return %out : tensor<1x16xf32>
}

// CHECK: attention.combine has 65536 splits, but a grid has at most 65535

// -----

func.func @keys(%q: tensor<4x16xf16>, %k: tensor<2147483647x16xf16>, %v: tensor<2147483647x16xf16>) -> tensor<4x16xf16> {
  %out = attention.sdpa q(%q[m, k] : tensor<4x16xf16>) k(%k[n, k] : tensor<2147483647x16xf16>)
    v(%v[n, d] : tensor<2147483647x16xf16>) scale(1.0) -> out[m, d] : tensor<4x16xf16>
  func.return %out : tensor<4x16xf16>
}

// CHECK: attention.sdpa has 2147483647 keys, but a Triton kernel counts up to 2147418112

// -----

func.func @only_in_the_result(%q: tensor<4x16xf16>, %k: tensor<9x16xf16>, %v: tensor<9x16xf16>) -> tensor<?x4x16xf16> {
  %out = attention.sdpa q(%q[m, k] : tensor<4x16xf16>) k(%k[n, k] : tensor<9x16xf16>)
    v(%v[n, d] : tensor<9x16xf16>) scale(1.0) -> out[b, m, d] : tensor<?x4x16xf16>
  func.return %out : tensor<?x4x16xf16>
}

// CHECK: the size of dimension b is dynamic and no operand has it: give the result a static size

// -----

func.func @capture(%q: tensor<4x16xf16>, %k: tensor<9x16xf16>, %v: tensor<9x16xf16>, %t: tensor<9xi4>) -> tensor<4x16xf16> {
  %out = attention.sdpa q(%q[m, k] : tensor<4x16xf16>) k(%k[n, k] : tensor<9x16xf16>)
    v(%v[n, d] : tensor<9x16xf16>) scale(1.0) score {
    ^bb0(%s: f32, %hq: index, %m: index, %n: index):
      %x = tensor.extract %t[%n] : tensor<9xi4>
      %y = arith.sitofp %x : i4 to f32
      %r = arith.addf %s, %y : f32
      attention.yield %r : f32
    } -> out[m, d] : tensor<4x16xf16>
  func.return %out : tensor<4x16xf16>
}

// CHECK: the score region of attention.sdpa reads a value of type tensor<9xi4>, which no Triton kernel can take

// -----

func.func @flag(%q: tensor<4x16xf16>, %k: tensor<9x16xf16>, %v: tensor<9x16xf16>, %b: i1) -> tensor<4x16xf16> {
  %out = attention.sdpa q(%q[m, k] : tensor<4x16xf16>) k(%k[n, k] : tensor<9x16xf16>)
    v(%v[n, d] : tensor<9x16xf16>) scale(1.0) score {
    ^bb0(%s: f32, %hq: index, %m: index, %n: index):
      %zero = arith.constant 0.0 : f32
      %r = arith.select %b, %s, %zero : f32
      attention.yield %r : f32
    } -> out[m, d] : tensor<4x16xf16>
  func.return %out : tensor<4x16xf16>
}

// CHECK: the score region of attention.sdpa reads a value of type i1, which no Triton kernel can take

// -----

func.func @block(%q: tensor<300x20000xf16>, %k: tensor<9x20000xf16>, %v: tensor<9x16xf16>) -> tensor<300x16xf16> {
  %out = attention.sdpa q(%q[m, k] : tensor<300x20000xf16>) k(%k[n, k] : tensor<9x20000xf16>)
    v(%v[n, d] : tensor<9x16xf16>) scale(1.0)
    schedule<block_m = 128, block_n = 16, warps = 4, stages = 1> -> out[m, d] : tensor<300x16xf16>
  func.return %out : tensor<300x16xf16>
}

// CHECK: attention.sdpa does not make a Triton kernel: {{.*}} at most 1048576 elements

// -----

%q, %k = "test.op"() : () -> (tensor<4x16xf16>, tensor<9x16xf16>)
%out = attention.sdpa q(%q[m, k] : tensor<4x16xf16>) k(%k[n, k] : tensor<9x16xf16>)
  v(%k[n, d] : tensor<9x16xf16>) scale(1.0) -> out[m, d] : tensor<4x16xf16>

// CHECK: attention.sdpa stands outside of any func.func, so nothing can launch its kernel
