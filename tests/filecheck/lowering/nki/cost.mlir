// RUN: xdsl-opt %s -p 'convert-attention-to-nki{arrangement=keys}' -t nki-cost | filecheck %s --check-prefix=KEYS
// RUN: xdsl-opt %s -p 'convert-attention-to-nki{arrangement=rows}' -t nki-cost | filecheck %s --check-prefix=ROWS
// RUN: xdsl-opt %s -p convert-attention-to-nki -t nki-cost | filecheck %s --check-prefix=KEYS
// RUN: xdsl-opt %s -p 'convert-attention-to-nki{cores=2}' -t nki-cost | filecheck %s --check-prefix=CORES

// 32 pairs of a sequence and a KV head, groups of four, 4096 keys. With keys on the partitions, the Vector and Scalar
// engines have (12992 + 8192) / (280576 + 278528) = 4% of the work, and neither moves a byte twice. So auto takes keys.

func.func @decode(%q: tensor<4x32x1x128xbf16>, %k: tensor<4x8x4096x128xbf16>, %v: tensor<4x8x4096x128xbf16>) -> tensor<4x32x1x128xbf16> {
  %0 = attention.sdpa
      q(%q[b, h * 4 + g, m, k] : tensor<4x32x1x128xbf16>)
      k(%k[b, h, n, k] : tensor<4x8x4096x128xbf16>)
      v(%v[b, h, n, d] : tensor<4x8x4096x128xbf16>)
      scale(0.088)
      -> out[b, h * 4 + g, m, d] : tensor<4x32x1x128xbf16>
  func.return %0 : tensor<4x32x1x128xbf16>
}

// KEYS:      decode on trn2
// KEYS-NEXT: engine    instructions    elements      cycles         bytes
// KEYS-NEXT: Tensor            2053        8705      131648
// KEYS-NEXT: Vector              10       12803       12992
// KEYS-NEXT: Scalar               9        8192        8192
// KEYS-NEXT: GpSimd               0           0           0
// KEYS-NEXT: DMA                514           0      262400      67174400
// KEYS-NEXT: least bytes 67174400, moved 1.00 times that

// ROWS:      decode on trn2
// ROWS:      Vector            2272      177664      280576
// ROWS-NEXT: Scalar             768      262400      278528
// ROWS:      least bytes 67174400, moved 1.00 times that

// Two cores: the engines of one, which has half of the sequences; the bytes of both.
// CORES:      decode on trn2, the busiest of 2 cores
// CORES:      Vector              10        6531        6720
// CORES-NEXT: Scalar               5        4096        4096
// CORES:      DMA                258           0      131200      33587200
// CORES-NEXT: 2 cores: least bytes 67174400, moved 1.00 times that
