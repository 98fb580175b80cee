// RUN: xdsl-opt %s -p canonicalize --split-input-file | filecheck %s

// An LSE that nothing reads is not computed.

func.func @unused_lse(%q: tensor<1x16xf32>, %p: tensor<1x1x2x1x16xf32>, %l: tensor<1x1x2x1xf32>, %s: tensor<1xf32>)
    -> (tensor<1x16xf32>, tensor<1x16xf32>) {
  %o, %lse = attention.sdpa
      q(%q[m, k] : tensor<1x16xf32>) k(%q[n, k] : tensor<1x16xf32>) v(%q[n, d] : tensor<1x16xf32>)
      sinks(%s[h] : tensor<1xf32>) scale(0.25) score(causal(n <= m + 1)) attributes {a}
      -> out[m, d] : tensor<1x16xf32>, lse[m] : tensor<1xf32>
  %o2, %lse2 = attention.combine
      partial(%p : tensor<1x1x2x1x16xf32>) lse(%l : tensor<1x1x2x1xf32>) sinks(%s[h] : tensor<1xf32>) attributes {a}
      -> out[m, d] : tensor<1x16xf32>, lse[m] : tensor<1xf32>
  func.return %o, %o2 : tensor<1x16xf32>, tensor<1x16xf32>
}

// CHECK-LABEL: func.func @unused_lse
// CHECK-NEXT:    %o = attention.sdpa
// CHECK:             sinks(%s[h] : tensor<1xf32>)
// CHECK:             score(causal(n <= m + 1))
// CHECK-NEXT:        attributes {a}
// CHECK-NEXT:        -> out[m, d] : tensor<1x16xf32>
// CHECK-NEXT:    %o2 = attention.combine
// CHECK:             sinks(%s[h] : tensor<1xf32>)
// CHECK-NEXT:        attributes {a}
// CHECK-NEXT:        -> out[m, d] : tensor<1x16xf32>
// CHECK-NEXT:    func.return

// -----

// One that is read stays.

func.func @used_lse(%q: tensor<1x16xf32>) -> (tensor<1x16xf32>, tensor<1xf32>) {
  %o, %lse = attention.sdpa
      q(%q[m, k] : tensor<1x16xf32>) k(%q[n, k] : tensor<1x16xf32>) v(%q[n, d] : tensor<1x16xf32>)
      scale(0.25) -> out[m, d] : tensor<1x16xf32>, lse[m] : tensor<1xf32>
  func.return %o, %lse : tensor<1x16xf32>, tensor<1xf32>
}

// CHECK-LABEL: func.func @used_lse
// CHECK:         -> out[m, d] : tensor<1x16xf32>, lse[m] : tensor<1xf32>

// -----

// A region that yields its logit is the empty region, whatever else it computes.

func.func @identity(%q: tensor<1x16xf32>, %t: tensor<1xf32>) -> tensor<1x16xf32> {
  %o = attention.sdpa
      q(%q[m, k] : tensor<1x16xf32>) k(%q[n, k] : tensor<1x16xf32>) v(%q[n, d] : tensor<1x16xf32>)
      scale(0.25) score {
      ^bb0(%s: f32, %hq: index, %m: index, %n: index):
        %unused = tensor.extract %t[%n] : tensor<1xf32>
        attention.yield %s : f32
      } -> out[m, d] : tensor<1x16xf32>
  func.return %o : tensor<1x16xf32>
}

// CHECK-LABEL: func.func @identity
// CHECK:           scale(2.500000e-01)
// CHECK-NEXT:      -> out

// -----

// Constant lengths that cover all keys say nothing; others stay.

func.func @full_lengths(%q: tensor<2x1x16xf32>, %k: tensor<2x8x16xf32>) -> (tensor<2x1x16xf32>, tensor<2x1x16xf32>) {
  %long = "stablehlo.constant"() <{value = dense<[8, 9]> : tensor<2xi32>}> : () -> tensor<2xi32>
  %short = arith.constant dense<[8, 7]> : tensor<2xi32>
  %o = attention.sdpa
      q(%q[b, m, k] : tensor<2x1x16xf32>) k(%k[b, n, k] : tensor<2x8x16xf32>) v(%k[b, n, d] : tensor<2x8x16xf32>)
      kv_lens(%long[b] : tensor<2xi32>) scale(0.25) score(causal(n <= m)) -> out[b, m, d] : tensor<2x1x16xf32>
  %o2 = attention.sdpa
      q(%q[b, m, k] : tensor<2x1x16xf32>) k(%k[b, n, k] : tensor<2x8x16xf32>) v(%k[b, n, d] : tensor<2x8x16xf32>)
      kv_lens(%short[b] : tensor<2xi32>) scale(0.25) -> out[b, m, d] : tensor<2x1x16xf32>
  func.return %o, %o2 : tensor<2x1x16xf32>, tensor<2x1x16xf32>
}

// CHECK-LABEL: func.func @full_lengths
// CHECK:         %o = attention.sdpa
// CHECK-NOT:         kv_lens
// CHECK:             score(causal(n <= m))
// CHECK:         %o2 = attention.sdpa
// CHECK:             kv_lens(%short[b] : tensor<2xi32>)

// -----

// A single split is attention over the whole sequence.

func.func @single_split(%q: tensor<2x16xf32>, %k: tensor<40x16xf32>, %s: tensor<1xf32>, %len: tensor<i32>)
    -> (tensor<2x16xf32>, tensor<2xf32>) {
  %p, %l = attention.partial
      q(%q[m, k] : tensor<2x16xf32>) k(%k[n, k] : tensor<40x16xf32>) v(%k[n, d] : tensor<40x16xf32>)
      kv_lens(%len[] : tensor<i32>) splits(1) tile(16) scale(0.25) score(causal(n <= m + 38))
      schedule<block_m = 16, block_n = 16, warps = 1, stages = 2>
      -> out : tensor<1x1x1x2x16xf32>, lse : tensor<1x1x1x2xf32>
  %o, %lse = attention.combine
      partial(%p : tensor<1x1x1x2x16xf32>) lse(%l : tensor<1x1x1x2xf32>) sinks(%s[g] : tensor<1xf32>)
      -> out[m, d] : tensor<2x16xf32>, lse[m] : tensor<2xf32>
  func.return %o, %lse : tensor<2x16xf32>, tensor<2xf32>
}

// CHECK-LABEL: func.func @single_split
// CHECK-NEXT:    %o, %lse = attention.sdpa
// CHECK-NEXT:        q(%q[m, k] : tensor<2x16xf32>)
// CHECK-NEXT:        k(%k[n, k] : tensor<40x16xf32>)
// CHECK-NEXT:        v(%k[n, d] : tensor<40x16xf32>)
// CHECK-NEXT:        kv_lens(%len[] : tensor<i32>)
// CHECK-NEXT:        sinks(%s[g] : tensor<1xf32>)
// CHECK-NEXT:        scale(2.500000e-01)
// CHECK-NEXT:        score(causal(n <= m + 38))
// CHECK-NEXT:        schedule<block_m = 16, block_n = 16, warps = 1, stages = 2>
// CHECK-NEXT:        -> out[m, d] : tensor<2x16xf32>, lse[m] : tensor<2xf32>
// CHECK-NEXT:    func.return

// -----

// Not where its parts are read elsewhere as well.

func.func @single_split_read_twice(%q: tensor<2x16xf32>) -> (tensor<2x16xf32>, tensor<1x1x1x2xf32>) {
  %p, %l = attention.partial
      q(%q[m, k] : tensor<2x16xf32>) k(%q[n, k] : tensor<2x16xf32>) v(%q[n, d] : tensor<2x16xf32>)
      splits(1) tile(16) scale(0.25) -> out : tensor<1x1x1x2x16xf32>, lse : tensor<1x1x1x2xf32>
  %o = attention.combine
      partial(%p : tensor<1x1x1x2x16xf32>) lse(%l : tensor<1x1x1x2xf32>) -> out[m, d] : tensor<2x16xf32>
  func.return %o, %l : tensor<2x16xf32>, tensor<1x1x1x2xf32>
}

// CHECK-LABEL: func.func @single_split_read_twice
// CHECK:         attention.partial
// CHECK:         attention.combine

// -----

// A single split with its sum is attention over the whole sequence as well: a sum says how splits weigh.

func.func @single_split_sum(%q: tensor<2x16xf32>) -> tensor<2x16xf32> {
  %p, %l, %n = attention.partial
      q(%q[m, k] : tensor<2x16xf32>) k(%q[n, k] : tensor<2x16xf32>) v(%q[n, d] : tensor<2x16xf32>) splits(1) tile(16)
      scale(0.25) -> out : tensor<1x1x1x2x16xf32>, lse : tensor<1x1x1x2xf32>, sum : tensor<1x1x1x2xf32>
  %o = attention.combine
      partial(%p : tensor<1x1x1x2x16xf32>) lse(%l : tensor<1x1x1x2xf32>) sum(%n : tensor<1x1x1x2xf32>)
      -> out[m, d] : tensor<2x16xf32>
  func.return %o : tensor<2x16xf32>
}

// CHECK-LABEL: func.func @single_split_sum
// CHECK-NEXT:    %o = attention.sdpa
// CHECK-NOT:     attention.combine
// CHECK:         func.return %o

// -----

// A sum that nothing reads is not kept; then the splits of its partial are read by the combine alone.

func.func @unused_sum(%q: tensor<2x16xf32>) -> (tensor<1x1x2x2x16xf32>, tensor<1x1x2x2xf32>, tensor<2x16xf32>) {
  %p, %l, %n = attention.partial
      q(%q[m, k] : tensor<2x16xf32>) k(%q[n, k] : tensor<2x16xf32>) v(%q[n, d] : tensor<2x16xf32>) splits(2) tile(16)
      scale(0.25) attributes {a}
      -> out : tensor<1x1x2x2x16xf32>, lse : tensor<1x1x2x2xf32>, sum : tensor<1x1x2x2xf32>
  %p1, %l1, %n1 = attention.partial
      q(%q[m, k] : tensor<2x16xf32>) k(%q[n, k] : tensor<2x16xf32>) v(%q[n, d] : tensor<2x16xf32>) splits(1) tile(16)
      scale(0.25) -> out : tensor<1x1x1x2x16xf32>, lse : tensor<1x1x1x2xf32>, sum : tensor<1x1x1x2xf32>
  %o = attention.combine
      partial(%p1 : tensor<1x1x1x2x16xf32>) lse(%l1 : tensor<1x1x1x2xf32>) -> out[m, d] : tensor<2x16xf32>
  func.return %p, %l, %o : tensor<1x1x2x2x16xf32>, tensor<1x1x2x2xf32>, tensor<2x16xf32>
}

// CHECK-LABEL: func.func @unused_sum
// CHECK-NEXT:    %p, %l = attention.partial
// CHECK:             attributes {a}
// CHECK-NEXT:        -> out : tensor<1x1x2x2x16xf32>, lse : tensor<1x1x2x2xf32>{{$}}
// CHECK-NEXT:    %o = attention.sdpa
// CHECK:         func.return %p, %l, %o

// -----

// A sum that something reads stays, also where the operation is rebuilt for another reason; and a sum of another
// partial is not the one that the combine of a single split may forget.

func.func @used_sum(%q: tensor<2x16xf32>, %k: tensor<8x16xf32>, %other: tensor<1x1x1x2xf32>)
    -> (tensor<1x1x1x2xf32>, tensor<2x16xf32>) {
  %full = arith.constant dense<8> : tensor<i32>
  %p, %l, %n = attention.partial
      q(%q[m, k] : tensor<2x16xf32>) k(%k[n, k] : tensor<8x16xf32>) v(%k[n, d] : tensor<8x16xf32>)
      kv_lens(%full[] : tensor<i32>) splits(1) tile(16) scale(0.25)
      -> out : tensor<1x1x1x2x16xf32>, lse : tensor<1x1x1x2xf32>, sum : tensor<1x1x1x2xf32>
  %o = attention.combine
      partial(%p : tensor<1x1x1x2x16xf32>) lse(%l : tensor<1x1x1x2xf32>) sum(%other : tensor<1x1x1x2xf32>)
      -> out[m, d] : tensor<2x16xf32>
  func.return %n, %o : tensor<1x1x1x2xf32>, tensor<2x16xf32>
}

// CHECK-LABEL: func.func @used_sum
// CHECK-NEXT:    %p, %l, %n = attention.partial
// CHECK-NOT:         kv_lens
// CHECK:             -> out : tensor<1x1x1x2x16xf32>, lse : tensor<1x1x1x2xf32>, sum : tensor<1x1x1x2xf32>
// CHECK-NEXT:    %o = attention.combine
// CHECK:             sum(%other : tensor<1x1x1x2xf32>)
// CHECK:         func.return %n, %o
