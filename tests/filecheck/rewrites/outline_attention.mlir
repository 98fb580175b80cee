// RUN: xdsl-opt %s -p outline-attention --split-input-file | filecheck %s
// RUN: xdsl-opt %s -p outline-attention,outline-attention --split-input-file | filecheck %s

// Every attention becomes a private function with the attribute flashlower.kernel, and a call. Its arguments are the
// operands (q, k, v, block_table, rows, kv_lens, sinks), then what the score region captures. A constant is copied into it.

func.func @layer(%x: tensor<2x4x16xf32>, %cache: tensor<2x64x16xf32>, %lens: tensor<2xi32>, %bias: tensor<64xf32>)
    -> tensor<2x4x16xf32> {
  %half = arith.constant 0.5 : f32
  %y = "stablehlo.add"(%x, %x) : (tensor<2x4x16xf32>, tensor<2x4x16xf32>) -> tensor<2x4x16xf32>
  %o = attention.sdpa
      q(%y[b, m, k] : tensor<2x4x16xf32>) k(%cache[b, n, k] : tensor<2x64x16xf32>)
      v(%cache[b, n, d] : tensor<2x64x16xf32>) kv_lens(%lens[b] : tensor<2xi32>)
      scale(0.25) score {
      ^bb0(%s: f32, %b: index, %hq: index, %m: index, %n: index):
        %t = tensor.extract %bias[%n] : tensor<64xf32>
        %h = arith.mulf %t, %half : f32
        %r = arith.addf %s, %h : f32
        attention.yield %r : f32
      } -> out[b, m, d] : tensor<2x4x16xf32>
  func.return %o : tensor<2x4x16xf32>
}

// CHECK-LABEL: func.func @layer
// CHECK:         %y = "stablehlo.add"
// CHECK-NEXT:    %o = func.call @layer_attention_0(%y, %cache, %lens, %bias)
// CHECK-SAME:      (tensor<2x4x16xf32>, tensor<2x64x16xf32>, tensor<2xi32>, tensor<64xf32>) -> tensor<2x4x16xf32>
// CHECK-NEXT:    func.return %o
// CHECK:       func.func private @layer_attention_0(%q: tensor<2x4x16xf32>, %k: tensor<2x64x16xf32>,
// CHECK-SAME:      %kv_lens: tensor<2xi32>, %bias: tensor<64xf32>) -> tensor<2x4x16xf32> attributes {flashlower.kernel}
// CHECK-NEXT:    %half = arith.constant 5.000000e-01 : f32
// CHECK-NEXT:    %o = attention.sdpa
// CHECK-NEXT:        q(%q[b, m, k] : tensor<2x4x16xf32>)
// CHECK-NEXT:        k(%k[b, n, k] : tensor<2x64x16xf32>)
// CHECK-NEXT:        v(%k[b, n, d] : tensor<2x64x16xf32>)
// CHECK-NEXT:        kv_lens(%kv_lens[b] : tensor<2xi32>)
// CHECK:               tensor.extract %bias
// CHECK:         func.return %o

// -----

// A combine takes the partial that only it reads with it: one function, two kernels. Inside of a loop as elsewhere.

func.func @loop(%x: tensor<1x16xf32>, %k: tensor<64x16xf32>, %i: tensor<i32>) -> tensor<1x16xf32> {
  %j, %y = "stablehlo.while"(%i, %x) ({
  ^bb0(%i0: tensor<i32>, %x0: tensor<1x16xf32>):
    %go = "stablehlo.compare"(%i0, %i0) <{comparison_direction = #stablehlo<comparison_direction NE>}> : (tensor<i32>, tensor<i32>) -> tensor<i1>
    "stablehlo.return"(%go) : (tensor<i1>) -> ()
  }, {
  ^bb0(%i1: tensor<i32>, %x1: tensor<1x16xf32>):
    %p, %l = attention.partial
        q(%x1[m, k] : tensor<1x16xf32>) k(%k[n, k] : tensor<64x16xf32>) v(%k[n, d] : tensor<64x16xf32>)
        splits(2) tile(16) scale(0.25) -> out : tensor<1x1x2x1x16xf32>, lse : tensor<1x1x2x1xf32>
    %o = attention.combine
        partial(%p : tensor<1x1x2x1x16xf32>) lse(%l : tensor<1x1x2x1xf32>) -> out[m, d] : tensor<1x16xf32>
    "stablehlo.return"(%i1, %o) : (tensor<i32>, tensor<1x16xf32>) -> ()
  }) : (tensor<i32>, tensor<1x16xf32>) -> (tensor<i32>, tensor<1x16xf32>)
  func.return %y : tensor<1x16xf32>
}

// CHECK-LABEL: func.func @loop
// CHECK-NOT:     attention.
// CHECK:         %o = func.call @loop_attention_0(%x1, %k) : (tensor<1x16xf32>, tensor<64x16xf32>) -> tensor<1x16xf32>
// CHECK-NEXT:    "stablehlo.return"(%i1, %o)
// CHECK:       func.func private @loop_attention_0(%q: tensor<1x16xf32>, %k: tensor<64x16xf32>)
// CHECK-NEXT:    %p, %l = attention.partial
// CHECK:         %o = attention.combine
// CHECK:         func.return %o

// -----

// With sums as well. A combine on its own takes its three operands.

func.func @sums(%x: tensor<1x16xf32>, %p0: tensor<1x1x2x1x16xf32>, %l0: tensor<1x1x2x1xf32>) -> tensor<1x16xf32> {
  %y = "stablehlo.add"(%x, %x) : (tensor<1x16xf32>, tensor<1x16xf32>) -> tensor<1x16xf32>
  %p, %l, %n = attention.partial
      q(%y[m, k] : tensor<1x16xf32>) k(%x[n, k] : tensor<1x16xf32>) v(%x[n, d] : tensor<1x16xf32>) splits(2) tile(16)
      scale(0.25) -> out : tensor<1x1x2x1x16xf32>, lse : tensor<1x1x2x1xf32>, sum : tensor<1x1x2x1xf32>
  %a = attention.combine
      partial(%p : tensor<1x1x2x1x16xf32>) lse(%l : tensor<1x1x2x1xf32>) sum(%n : tensor<1x1x2x1xf32>)
      -> out[m, d] : tensor<1x16xf32>
  %m0 = "stablehlo.add"(%l0, %l0) : (tensor<1x1x2x1xf32>, tensor<1x1x2x1xf32>) -> tensor<1x1x2x1xf32>
  %b = attention.combine
      partial(%p0 : tensor<1x1x2x1x16xf32>) lse(%l0 : tensor<1x1x2x1xf32>) sum(%m0 : tensor<1x1x2x1xf32>)
      -> out[m, d] : tensor<1x16xf32>
  %z = "stablehlo.add"(%a, %b) : (tensor<1x16xf32>, tensor<1x16xf32>) -> tensor<1x16xf32>
  func.return %z : tensor<1x16xf32>
}

// CHECK-LABEL: func.func @sums
// CHECK-NOT:     attention.
// CHECK:         %a = func.call @sums_attention_0(%y, %x) : (tensor<1x16xf32>, tensor<1x16xf32>) -> tensor<1x16xf32>
// CHECK:         %b = func.call @sums_attention_1(%p0, %l0, %m0)
// CHECK:       func.func private @sums_attention_0(%q: tensor<1x16xf32>, %k: tensor<1x16xf32>)
// CHECK-NEXT:    %p, %l, %n = attention.partial
// CHECK:         %a = attention.combine
// CHECK:             sum(%n : tensor<1x1x2x1xf32>)
// CHECK:       func.func private @sums_attention_1(
// CHECK-SAME:      %partial: tensor<1x1x2x1x16xf32>, %partial_lse: tensor<1x1x2x1xf32>, %partial_sum: tensor<1x1x2x1xf32>)

// -----

// Functions that are nothing but an attention are kernels as they stand, with or without the attribute.

func.func @kernel(%q: tensor<1x16xf32>, %k: tensor<64x16xf32>) -> tensor<1x16xf32> {
  %o = attention.sdpa
      q(%q[m, k] : tensor<1x16xf32>) k(%k[n, k] : tensor<64x16xf32>) v(%k[n, d] : tensor<64x16xf32>)
      scale(0.25) -> out[m, d] : tensor<1x16xf32>
  func.return %o : tensor<1x16xf32>
}
func.func @marked(%q: tensor<1x16xf32>) -> tensor<1x16xf32> attributes {flashlower.kernel} {
  %o = attention.sdpa
      q(%q[m, k] : tensor<1x16xf32>) k(%q[n, k] : tensor<1x16xf32>) v(%q[n, d] : tensor<1x16xf32>)
      scale(0.25) -> out[m, d] : tensor<1x16xf32>
  %r = "stablehlo.add"(%o, %o) : (tensor<1x16xf32>, tensor<1x16xf32>) -> tensor<1x16xf32>
  func.return %r : tensor<1x16xf32>
}

// CHECK-LABEL: func.func @kernel
// CHECK-NEXT:    %o = attention.sdpa
// CHECK-LABEL: func.func @marked
// CHECK-NEXT:    %o = attention.sdpa
// CHECK-NOT:   func.call
