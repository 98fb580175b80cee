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

// 4 KV heads of work for 264 programs: as many splits as keep 128 keys each, in whole tiles.
// AUTO-LABEL: func.func @decode
// AUTO:         splits(6) tile(64)

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
