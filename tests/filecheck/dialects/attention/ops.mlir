// RUN: xdsl-opt %s | filecheck %s
// RUN: xdsl-opt %s | xdsl-opt | filecheck %s
// RUN: xdsl-opt %s --print-op-generic | xdsl-opt | filecheck %s
// RUN: xdsl-opt %s --print-op-generic | filecheck %s --check-prefix=GENERIC

// All clauses, and every short form of a score region in one.

// CHECK-LABEL: func.func @everything
// GENERIC-LABEL: "func.func"() <{sym_name = "everything"
func.func @everything(%q: tensor<2x8x1x16xbf16>, %k: tensor<2x100x2x16xbf16>, %v: tensor<2x100x32xf16>,
                      %lens: tensor<2xi64>, %sinks: tensor<8xbf16>, %mask: tensor<2x1x100xi1>,
                      %bias: tensor<8x100xbf16>, %slopes: tensor<8xf32>) -> tensor<2x8x1x16xbf16> {
  // CHECK-NEXT:  %o, %lse = attention.sdpa
  // CHECK-NEXT:      q(%q[b, h * 4 + g, m, k] : tensor<2x8x1x16xbf16>)
  // CHECK-NEXT:      k(%k[b, n, h, k] : tensor<2x100x2x16xbf16>)
  // CHECK-NEXT:      v(%v[b, n, h * 16 + d] : tensor<2x100x32xf16>)
  // CHECK-NEXT:      kv_lens(%lens[b] : tensor<2xi64>)
  // CHECK-NEXT:      sinks(%sinks[h * 4 + g] : tensor<8xbf16>)
  // CHECK-NEXT:      scale(2.500000e-01)
  // CHECK-NEXT:      score(soft_cap(3.000000e+01) bias(%bias[hq, n] : tensor<8x100xbf16>) alibi(%slopes[hq] : tensor<8xf32>, n - m - 99) mask(%mask[b, 0, n] : tensor<2x1x100xi1>) window(m - 3 <= n <= m + 99) causal(n <= m + 99))
  // CHECK-NEXT:      schedule<block_m = 16, block_n = 64, warps = 4, stages = 2>
  // CHECK-NEXT:      attributes {layer = 3 : i64}
  // CHECK-NEXT:      -> out[b, h * 4 + g, m, d] : tensor<2x8x1x16xbf16>, lse[b, h * 4 + g, m] : tensor<2x8x1xf32>
  %o, %lse = attention.sdpa
      q(%q[b, h * 4 + g, m, k] : tensor<2x8x1x16xbf16>)
      k(%k[b, n, h, k] : tensor<2x100x2x16xbf16>)
      v(%v[b, n, h * 16 + d] : tensor<2x100x32xf16>)
      kv_lens(%lens[b] : tensor<2xi64>)
      sinks(%sinks[h * 4 + g] : tensor<8xbf16>)
      scale(0.25)
      score(soft_cap(30.0) bias(%bias[hq, n] : tensor<8x100xbf16>) alibi(%slopes[hq] : tensor<8xf32>, n - m - 99)
            mask(%mask[b, 0, n] : tensor<2x1x100xi1>) window(m - 3 <= n <= m + 99) causal(n <= m + 99))
      schedule<block_m = 16, block_n = 64, warps = 4, stages = 2>
      attributes {layer = 3 : i64}
      -> out[b, h * 4 + g, m, d] : tensor<2x8x1x16xbf16>, lse[b, h * 4 + g, m] : tensor<2x8x1xf32>

  // A short form is its region: bias reads, widens and adds; a mask selects -inf.
  // GENERIC:      "attention.sdpa"(%q, %k, %v, %lens, %sinks) <{
  // GENERIC-SAME:   query_layout = affine_map<(d0, d1, d2, d3, d4, d5, d6) -> (d0, ((d1 * 4) + d2), d3, d5)>
  // GENERIC-SAME:   operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 1, 0>
  // GENERIC:      ^bb0(%s: f32, %b: index, %hq: index, %m: index, %n: index):
  // GENERIC:        "tensor.extract"(%bias, %hq, %n) : (tensor<8x100xbf16>, index, index) -> bf16
  // GENERIC:        "arith.extf"
  // GENERIC:        "arith.addf"
  // GENERIC:        "arith.cmpi"
  // GENERIC:        "arith.select"
  // GENERIC:        "attention.yield"
  func.return %o : tensor<2x8x1x16xbf16>
}

// The least there can be: no batch, one head, no query axis, f64.

// CHECK-LABEL: func.func @least
func.func @least(%q: tensor<4xf64>, %k: tensor<?x4xf64>) -> tensor<4xf64> {
  // CHECK-NEXT:  %o = attention.sdpa
  // CHECK-NEXT:      q(%q[k] : tensor<4xf64>)
  // CHECK-NEXT:      k(%k[n, k] : tensor<?x4xf64>)
  // CHECK-NEXT:      v(%k[n, d] : tensor<?x4xf64>)
  // CHECK-NEXT:      scale(1.000000e+00)
  // CHECK-NEXT:      -> out[d] : tensor<4xf64>
  %o = attention.sdpa q(%q[k] : tensor<4xf64>) k(%k[n, k] : tensor<?x4xf64>) v(%k[n, d] : tensor<?x4xf64>) scale(1)
      -> out[d] : tensor<4xf64>
  func.return %o : tensor<4xf64>
}

// A region that is no sequence of short forms is printed as it is. Batch indices are b0, b1, ...

// CHECK-LABEL: func.func @region
func.func @region(%q: tensor<2x3x1x4xf32>, %k: tensor<2x3x9x4xf32>, %doc: tensor<9xi32>)
    -> (tensor<2x3x1x1x2x1x4xf32>, tensor<2x3x1x1x2x1xf32>) {
  // CHECK-NEXT:  %p, %l = attention.partial
  // CHECK-NEXT:      q(%q[b0, b1, m, k] : tensor<2x3x1x4xf32>)
  // CHECK:           splits(2) tile(4)
  // CHECK-NEXT:      scale(5.000000e-01)
  // CHECK-NEXT:      score {
  // CHECK-NEXT:      ^bb{{[0-9]+}}(%s: f32, %b0: index, %b1: index, %hq: index, %m: index, %n: index):
  // CHECK-NEXT:        %a = tensor.extract %doc[%n] : tensor<9xi32>
  // CHECK:             attention.yield %r : f32
  // CHECK-NEXT:      }
  // CHECK-NEXT:      -> out : tensor<2x3x1x1x2x1x4xf32>, lse : tensor<2x3x1x1x2x1xf32>
  %p, %l = attention.partial
      q(%q[b0, b1, m, k] : tensor<2x3x1x4xf32>)
      k(%k[b0, b1, n, k] : tensor<2x3x9x4xf32>)
      v(%k[b0, b1, n, d] : tensor<2x3x9x4xf32>)
      splits(2) tile(4) scale(0.5) score {
      ^bb0(%s: f32, %b0: index, %b1: index, %hq: index, %m: index, %n: index):
        %a = tensor.extract %doc[%n] : tensor<9xi32>
        %b = tensor.extract %doc[%m] : tensor<9xi32>
        %c = arith.cmpi eq, %a, %b : i32
        %lowest = arith.constant 0xFF800000 : f32
        %r = arith.select %c, %s, %lowest : f32
        attention.yield %r : f32
      } -> out : tensor<2x3x1x1x2x1x4xf32>, lse : tensor<2x3x1x1x2x1xf32>
  func.return %p, %l : tensor<2x3x1x1x2x1x4xf32>, tensor<2x3x1x1x2x1xf32>
}

// CHECK-LABEL: func.func @combine
func.func @combine(%p: tensor<2x1x4x3x1x16xf32>, %l: tensor<2x1x4x3x1xf32>, %sinks: tensor<4xf32>)
    -> (tensor<2x4x16xf16>, tensor<4x2xf32>) {
  // CHECK-NEXT:  %o, %lse = attention.combine
  // CHECK-NEXT:      partial(%p : tensor<2x1x4x3x1x16xf32>)
  // CHECK-NEXT:      lse(%l : tensor<2x1x4x3x1xf32>)
  // CHECK-NEXT:      sinks(%sinks[g] : tensor<4xf32>)
  // CHECK-NEXT:      schedule<block_m = 16, block_n = 16, warps = 4, stages = 1>
  // CHECK-NEXT:      attributes {layer = 3 : i64}
  // CHECK-NEXT:      -> out[b, g, d] : tensor<2x4x16xf16>, lse[g, b] : tensor<4x2xf32>
  %o, %lse = attention.combine
      partial(%p : tensor<2x1x4x3x1x16xf32>) lse(%l : tensor<2x1x4x3x1xf32>) sinks(%sinks[g] : tensor<4xf32>)
      schedule<block_m = 16, block_n = 16, warps = 4, stages = 1> attributes {layer = 3 : i64}
      -> out[b, g, d] : tensor<2x4x16xf16>, lse[g, b] : tensor<4x2xf32>
  func.return %o, %lse : tensor<2x4x16xf16>, tensor<4x2xf32>
}

// The sums of splits: an optional third result, and an optional operand.

// CHECK-LABEL: func.func @sums
func.func @sums(%q: tensor<2x16xf64>, %k: tensor<40x16xf64>, %sinks: tensor<1xf64>) -> tensor<2x16xf64> {
  // CHECK-NEXT:  %p, %l, %n = attention.partial
  // CHECK:           splits(3) tile(16)
  // CHECK-NEXT:      scale(2.500000e-01)
  // CHECK-NEXT:      -> out : tensor<1x1x3x2x16xf64>, lse : tensor<1x1x3x2xf64>, sum : tensor<1x1x3x2xf64>
  %p, %l, %n = attention.partial
      q(%q[m, k] : tensor<2x16xf64>) k(%k[n, k] : tensor<40x16xf64>) v(%k[n, d] : tensor<40x16xf64>)
      splits(3) tile(16) scale(0.25)
      -> out : tensor<1x1x3x2x16xf64>, lse : tensor<1x1x3x2xf64>, sum : tensor<1x1x3x2xf64>
  // CHECK-NEXT:  %o = attention.combine
  // CHECK-NEXT:      partial(%p : tensor<1x1x3x2x16xf64>)
  // CHECK-NEXT:      lse(%l : tensor<1x1x3x2xf64>)
  // CHECK-NEXT:      sum(%n : tensor<1x1x3x2xf64>)
  // CHECK-NEXT:      sinks(%sinks[h] : tensor<1xf64>)
  // CHECK-NEXT:      -> out[m, d] : tensor<2x16xf64>
  %o = attention.combine
      partial(%p : tensor<1x1x3x2x16xf64>) lse(%l : tensor<1x1x3x2xf64>) sum(%n : tensor<1x1x3x2xf64>)
      sinks(%sinks[h] : tensor<1xf64>) -> out[m, d] : tensor<2x16xf64>
  func.return %o : tensor<2x16xf64>
}

// A cap that is no number is printed as a region: as a short form its bits would be read as an integer.

// CHECK-LABEL: func.func @infinite_cap
// CHECK:       score {
// CHECK-NEXT:  ^bb0(%s: f32, %hq: index, %m: index, %n: index):
// CHECK:         %{{.*}} = arith.constant 0x7f800000 : f32
// CHECK:         math.tanh
// CHECK-NOT:   soft_cap
func.func @infinite_cap(%q: tensor<4x8xf32>) -> tensor<4x8xf32> {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>) k(%q[n, k] : tensor<4x8xf32>) v(%q[n, d] : tensor<4x8xf32>)
      scale(1.0)
      score {
      ^bb0(%s: f32, %hq: index, %m: index, %n: index):
        %cap = arith.constant 0x7f800000 : f32
        %quotient = arith.divf %s, %cap : f32
        %tanh = math.tanh %quotient : f32
        %capped = arith.mulf %tanh, %cap : f32
        attention.yield %capped : f32
      }
      -> out[m, d] : tensor<4x8xf32>
  func.return %o : tensor<4x8xf32>
}
