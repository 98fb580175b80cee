// RUN: xdsl-opt %s -p 'flash-decoding{splits=4}' --split-input-file | filecheck %s
// RUN: xdsl-opt %s -p 'flash-decoding' --split-input-file | filecheck %s --check-prefix=AUTO
// RUN: xdsl-opt %s -p 'flash-decoding{splits=1}' --split-input-file | filecheck %s --check-prefix=ONE
// RUN: xdsl-opt %s -p 'flash-decoding{splits=4},canonicalize' --split-input-file | filecheck %s --check-prefix=CANON

// One step of decoding with grouped heads, lengths, a mask, sinks, and the LSE wanted. 1000 keys are 15.6 tiles of
// 64: nothing is padded, the tiles are shared out by the operation's definition.
//
//   for every split i of 4:                      (attention.partial)
//     s[i]   = score(scale * Q K[run i]^T)       with the keys' own positions, and only keys below the length
//     lse[i] = log(sum(exp(s[i])))
//     out[i] = exp(s[i] - lse[i]) V[run i]
//   lse = log(sum_i exp(lse[i]) + exp(sink))     (attention.combine)
//   out = sum_i exp(lse[i] - lse) * out[i]

func.func @decode(%q: tensor<2x8x1x128xbf16>, %k: tensor<2x2x1000x128xbf16>, %v: tensor<2x2x1000x128xbf16>,
                  %lens: tensor<2xi32>, %sinks: tensor<8xf32>, %mask: tensor<2x1000xi1>)
    -> (tensor<2x1x8x128xbf16>, tensor<2x8xf32>) {
  %o, %lse = attention.sdpa
      q(%q[b, h * 4 + g, m, k] : tensor<2x8x1x128xbf16>)
      k(%k[b, h, n, k] : tensor<2x2x1000x128xbf16>)
      v(%v[b, h, n, d] : tensor<2x2x1000x128xbf16>)
      kv_lens(%lens[b] : tensor<2xi32>)
      sinks(%sinks[h * 4 + g] : tensor<8xf32>)
      scale(0.125)
      score(mask(%mask[b, n] : tensor<2x1000xi1>) causal(n <= m + 999))
      attributes {layer = 3 : i64}
      -> out[b, m, h * 4 + g, d] : tensor<2x1x8x128xbf16>, lse[b, h * 4 + g] : tensor<2x8xf32>
  func.return %o, %lse : tensor<2x1x8x128xbf16>, tensor<2x8xf32>
}

// CHECK-LABEL: func.func @decode
// CHECK-NEXT:    %partial, %partial_lse = attention.partial
// CHECK-NEXT:        q(%q[b, h * 4 + g, m, k] : tensor<2x8x1x128xbf16>)
// CHECK-NEXT:        k(%k[b, h, n, k] : tensor<2x2x1000x128xbf16>)
// CHECK-NEXT:        v(%v[b, h, n, d] : tensor<2x2x1000x128xbf16>)
// CHECK-NEXT:        kv_lens(%lens[b] : tensor<2xi32>)
// CHECK-NEXT:        splits(4) tile(64)
// CHECK-NEXT:        scale(1.250000e-01)
// The region is moved as it is: its n counts from the start of the sequence.
// CHECK-NEXT:        score(mask(%mask[b, n] : tensor<2x1000xi1>) causal(n <= m + 999))
// CHECK-NEXT:        attributes {layer = 3 : i64}
// Partial results are [b, h, g, split, m, d] in f32, the LSE of every split beside them.
// CHECK-NEXT:        -> out : tensor<2x2x4x4x1x128xf32>, lse : tensor<2x2x4x4x1xf32>
// CHECK-NEXT:    %o, %lse = attention.combine
// CHECK-NEXT:        partial(%partial : tensor<2x2x4x4x1x128xf32>)
// CHECK-NEXT:        lse(%partial_lse : tensor<2x2x4x4x1xf32>)
// Sinks take part once.
// CHECK-NEXT:        sinks(%sinks[h * 4 + g] : tensor<8xf32>)
// CHECK-NEXT:        attributes {layer = 3 : i64}
// CHECK-NEXT:        -> out[b, m, h * 4 + g, d] : tensor<2x1x8x128xbf16>, lse[b, h * 4 + g] : tensor<2x8xf32>
// CHECK-NEXT:    func.return %o, %lse

// 4 KV heads of work for 132 cores: as many splits as keep 64 keys each, in whole tiles.
// AUTO-LABEL: func.func @decode
// AUTO:         splits(8) tile(64)

// ONE-LABEL:  func.func @decode
// ONE-NOT:      attention.partial
// ONE:          attention.sdpa
// ONE-NOT:      attention.combine

// CANON-LABEL: func.func @decode
// CANON:         attention.partial
// CANON:         attention.combine

// -----

// Prefill fills the GPU with tiles of queries: splits are not for it, unless someone asks.

func.func @prefill(%q: tensor<4096x64xf16>, %k: tensor<4096x64xf16>, %v: tensor<4096x64xf16>) -> tensor<4096x64xf16> {
  %o = attention.sdpa
      q(%q[m, k] : tensor<4096x64xf16>) k(%k[n, k] : tensor<4096x64xf16>) v(%v[n, d] : tensor<4096x64xf16>)
      scale(0.125) score(causal(n <= m)) -> out[m, d] : tensor<4096x64xf16>
  func.return %o : tensor<4096x64xf16>
}

// CHECK-LABEL: func.func @prefill
// CHECK:         splits(4) tile(64)

// AUTO-LABEL: func.func @prefill
// AUTO-NOT:     attention.partial
// AUTO:         attention.sdpa

// -----

// Tiles of a schedule by hand are the tiles of the splits, and any number of batch dimensions is legal. More splits
// than tiles are legal too: of 4 splits of 40 keys, two have a tile of 32, two have none.

func.func @by_hand(%q: tensor<2x3x5x1x16xf32>, %k: tensor<2x3x5x40x16xf32>) -> tensor<2x3x5x1x16xf32> {
  %o = attention.sdpa
      q(%q[b0, b1, h, m, k] : tensor<2x3x5x1x16xf32>)
      k(%k[b0, b1, h, n, k] : tensor<2x3x5x40x16xf32>)
      v(%k[b0, b1, h, n, d] : tensor<2x3x5x40x16xf32>)
      scale(0.25) schedule<block_m = 16, block_n = 32, warps = 2, stages = 3>
      -> out[b0, b1, h, m, d] : tensor<2x3x5x1x16xf32>
  func.return %o : tensor<2x3x5x1x16xf32>
}

// CHECK-LABEL: func.func @by_hand
// CHECK:         splits(4) tile(32)
// CHECK:         schedule<block_m = 16, block_n = 32, warps = 2, stages = 3>
// CHECK-NEXT:    -> out : tensor<2x3x5x1x4x1x16xf32>, lse : tensor<2x3x5x1x4x1xf32>
// CHECK-NEXT:    %o = attention.combine

// -----

// Where batch or heads are dynamic, they may fill the GPU: auto leaves them alone. Dynamic keys are taken for many.

func.func @dynamic(%q: tensor<?x1x64xf16>, %k: tensor<?x?x64xf16>) -> tensor<?x1x64xf16> {
  %o = attention.sdpa
      q(%q[b, m, k] : tensor<?x1x64xf16>) k(%k[b, n, k] : tensor<?x?x64xf16>) v(%k[b, n, d] : tensor<?x?x64xf16>)
      scale(0.125) -> out[b, m, d] : tensor<?x1x64xf16>
  func.return %o : tensor<?x1x64xf16>
}

// CHECK-LABEL: func.func @dynamic
// CHECK:         -> out : tensor<?x1x1x4x1x64xf32>, lse : tensor<?x1x1x4x1xf32>

// AUTO-LABEL: func.func @dynamic
// AUTO-NOT:     attention.partial
// AUTO:         attention.sdpa

// -----

// A mask with a finite number. In a row that is masked throughout, every logit is -2.4e38, and so is the LSE of each
// split in f32, whatever its number of keys: 96 keys would weigh as much as 32. So the sums go beside the LSE:
//
//   sum[i] = sum(exp(s[i] - max s[i]))           (attention.partial)
//   m[i]   = lse[i] - log(sum[i])                (attention.combine)
//   out    = sum_i w[i] * out[i] / sum_i w[i],   w[i] = sum[i] * exp(m[i] - max m)

func.func @finite_mask(%q: tensor<1x16xf32>, %k: tensor<100x16xf32>, %keep: tensor<100xi1>, %sinks: tensor<1xf32>)
    -> tensor<1x16xf32> {
  %o = attention.sdpa
      q(%q[m, k] : tensor<1x16xf32>) k(%k[n, k] : tensor<100x16xf32>) v(%k[n, d] : tensor<100x16xf32>)
      sinks(%sinks[h] : tensor<1xf32>) scale(0.25) score {
      ^bb0(%s: f32, %hq: index, %m: index, %n: index):
        %t = tensor.extract %keep[%n] : tensor<100xi1>
        %lowest = arith.constant -2.38197633e+38 : f32
        %r = arith.select %t, %s, %lowest : f32
        attention.yield %r : f32
      } -> out[m, d] : tensor<1x16xf32>
  func.return %o : tensor<1x16xf32>
}

// CHECK-LABEL: func.func @finite_mask
// CHECK-NEXT:    %partial, %partial_lse, %partial_sum = attention.partial
// CHECK:             -> out : tensor<1x1x4x1x16xf32>, lse : tensor<1x1x4x1xf32>, sum : tensor<1x1x4x1xf32>
// CHECK-NEXT:    %o = attention.combine
// CHECK-NEXT:        partial(%partial : tensor<1x1x4x1x16xf32>)
// CHECK-NEXT:        lse(%partial_lse : tensor<1x1x4x1xf32>)
// CHECK-NEXT:        sum(%partial_sum : tensor<1x1x4x1xf32>)
// CHECK-NEXT:        sinks(%sinks[h] : tensor<1xf32>)
// CHECK-NEXT:        -> out[m, d] : tensor<1x16xf32>

// CANON-LABEL: func.func @finite_mask
// CANON:         sum(%partial_sum : tensor<1x1x4x1xf32>)

// -----

// What a bias holds, or a number from outside, and floats made from positions may be as large.

func.func @unknown(%q: tensor<1x16xf32>, %k: tensor<100x16xf32>, %bias: tensor<100xf16>, %x: f32) -> tensor<1x16xf32> {
  %0 = attention.sdpa
      q(%q[m, k] : tensor<1x16xf32>) k(%k[n, k] : tensor<100x16xf32>) v(%k[n, d] : tensor<100x16xf32>) scale(0.25)
      score(bias(%bias[n] : tensor<100xf16>)) -> out[m, d] : tensor<1x16xf32>
  %1 = attention.sdpa
      q(%0[m, k] : tensor<1x16xf32>) k(%k[n, k] : tensor<100x16xf32>) v(%k[n, d] : tensor<100x16xf32>) scale(0.25)
      score {
      ^bb0(%s: f32, %hq: index, %m: index, %n: index):
        %r = arith.addf %s, %x : f32
        attention.yield %r : f32
      } -> out[m, d] : tensor<1x16xf32>
  %2 = attention.sdpa
      q(%1[m, k] : tensor<1x16xf32>) k(%k[n, k] : tensor<100x16xf32>) v(%k[n, d] : tensor<100x16xf32>) scale(0.25)
      score {
      ^bb0(%s: f32, %hq: index, %m: index, %n: index):
        %i = arith.index_cast %n : index to i64
        %f = arith.sitofp %i : i64 to f32
        %r = arith.subf %s, %f : f32
        attention.yield %r : f32
      } -> out[m, d] : tensor<1x16xf32>
  func.return %2 : tensor<1x16xf32>
}

// CHECK-LABEL: func.func @unknown
// CHECK:         -> out : tensor<1x1x4x1x16xf32>, lse : tensor<1x1x4x1xf32>, sum :
// CHECK:         -> out : tensor<1x1x4x1x16xf32>, lse : tensor<1x1x4x1xf32>, sum :
// CHECK:         -> out : tensor<1x1x4x1x16xf32>, lse : tensor<1x1x4x1xf32>, sum :

// -----

// Masks with -inf, also by tensors of integers, and small constants leave the LSE exact enough: the plain form.

func.func @small(%q: tensor<1x16xf32>, %k: tensor<100x16xf32>, %doc: tensor<100xi32>) -> tensor<1x16xf32> {
  %penalty = arith.constant -1.275e+02 : f32
  %0 = attention.sdpa
      q(%q[m, k] : tensor<1x16xf32>) k(%k[n, k] : tensor<100x16xf32>) v(%k[n, d] : tensor<100x16xf32>) scale(0.25)
      score {
      ^bb0(%s: f32, %hq: index, %m: index, %n: index):
        %a = tensor.extract %doc[%m] : tensor<100xi32>
        %b = tensor.extract %doc[%n] : tensor<100xi32>
        %same = arith.cmpi eq, %a, %b : i32
        %t = arith.select %same, %s, %penalty : f32
        %late = arith.cmpi slt, %m, %n : index
        %lowest = arith.constant 0xFF800000 : f32
        %r = arith.select %late, %lowest, %t : f32
        attention.yield %r : f32
      } -> out[m, d] : tensor<1x16xf32>
  %1 = attention.sdpa
      q(%0[m, k] : tensor<1x16xf32>) k(%k[n, k] : tensor<100x16xf32>) v(%k[n, d] : tensor<100x16xf32>) scale(0.25)
      score(soft_cap(50.0) window(m + 1 <= n <= m + 98)) -> out[m, d] : tensor<1x16xf32>
  func.return %1 : tensor<1x16xf32>
}

// CHECK-LABEL: func.func @small
// CHECK:         -> out : tensor<1x1x4x1x16xf32>, lse : tensor<1x1x4x1xf32>{{$}}
// CHECK:         -> out : tensor<1x1x4x1x16xf32>, lse : tensor<1x1x4x1xf32>{{$}}
// CHECK-NOT:     sum
// CHECK:         func.return

// -----

// From 128 on, half a unit in the last place of an LSE is more than 4e-6.

func.func @limit(%q: tensor<1x16xf32>, %k: tensor<100x16xf32>) -> tensor<1x16xf32> {
  %0 = attention.sdpa
      q(%q[m, k] : tensor<1x16xf32>) k(%k[n, k] : tensor<100x16xf32>) v(%k[n, d] : tensor<100x16xf32>) scale(0.25)
      score(soft_cap(128.0)) -> out[m, d] : tensor<1x16xf32>
  func.return %0 : tensor<1x16xf32>
}

// CHECK-LABEL: func.func @limit
// CHECK:         -> out : tensor<1x1x4x1x16xf32>, lse : tensor<1x1x4x1xf32>, sum :
