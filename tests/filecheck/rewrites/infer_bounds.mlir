// RUN: xdsl-opt %s -p infer-attention-bounds --split-input-file | filecheck %s

// What is proved of score regions. For a block of queries m0 <= m < m1, `reach` holds every key that some query of the
// block does not mask, `unmasked` only keys that no query of it masks.

// Causal:  n <= m   is   n < m + 1.
//   some query:   n < (m1 - 1) + 1 = m1
//   every query:  n < m0 + 1
func.func @causal(%q: tensor<64x8xf32>) -> tensor<64x8xf32> {
  %o = attention.sdpa q(%q[m, k] : tensor<64x8xf32>) k(%q[n, k] : tensor<64x8xf32>) v(%q[n, d] : tensor<64x8xf32>)
      scale(1.0) score(causal(n <= m)) -> out[m, d] : tensor<64x8xf32>
  func.return %o : tensor<64x8xf32>
}
// CHECK-LABEL: @causal
// CHECK:           score(causal(n <= m))
// CHECK-NEXT:      reach(n < m1)
// CHECK-NEXT:      unmasked(n < m0 + 1)
// CHECK-NEXT:      -> out

// -----

// A window:  m - 15 <= n <= m + 2.  The block's first query begins it and its last one ends it; what every query sees is
// from the last query's begin to the first one's end. A soft cap and a bias are no masks.
func.func @window(%q: tensor<64x8xf32>, %bias: tensor<64xf32>) -> tensor<64x8xf32> {
  %o = attention.sdpa q(%q[m, k] : tensor<64x8xf32>) k(%q[n, k] : tensor<64x8xf32>) v(%q[n, d] : tensor<64x8xf32>)
      scale(1.0) score(soft_cap(30.0) bias(%bias[n] : tensor<64xf32>) window(m - 15 <= n <= m + 2))
      -> out[m, d] : tensor<64x8xf32>
  func.return %o : tensor<64x8xf32>
}
// CHECK-LABEL: @window
// CHECK:           reach(m0 - 15 <= n < m1 + 2)
// CHECK-NEXT:      unmasked(m1 - 16 <= n < m0 + 3)

// -----

// One query that sees all of its past: the mask keeps every key, so it goes.
func.func @decode(%q: tensor<1x8xf32>, %k: tensor<64x8xf32>) -> tensor<1x8xf32> {
  %o = attention.sdpa q(%q[m, k] : tensor<1x8xf32>) k(%k[n, k] : tensor<64x8xf32>) v(%k[n, d] : tensor<64x8xf32>)
      scale(1.0) score(causal(n <= m + 63)) -> out[m, d] : tensor<1x8xf32>
  func.return %o : tensor<1x8xf32>
}
// CHECK-LABEL: @decode
// CHECK-NOT:       score
// CHECK-NOT:       reach
// CHECK:           scale(1.000000e+00)
// CHECK-NEXT:      -> out

// -----

// The same with lengths: the last of M queries is at the last key of its sequence, position m + len - M. One query
// needs no mask; of four, each block has its own bounds, with the length as a symbol.
func.func @ragged(%q: tensor<2x1x8xf32>, %k: tensor<2x64x8xf32>, %lens: tensor<2xi32>) -> tensor<2x1x8xf32> {
  %o = attention.sdpa
      q(%q[b, m, k] : tensor<2x1x8xf32>) k(%k[b, n, k] : tensor<2x64x8xf32>) v(%k[b, n, d] : tensor<2x64x8xf32>)
      kv_lens(%lens[b] : tensor<2xi32>)
      scale(1.0) score {
      ^bb0(%s: f32, %b: index, %hq: index, %m: index, %n: index):
        %len = tensor.extract %lens[%b] : tensor<2xi32>
        %end = arith.index_cast %len : i32 to index
        %last = arith.constant -1 : index
        %shift = arith.addi %end, %last : index
        %position = arith.addi %m, %shift : index
        %keep = arith.cmpi sle, %n, %position : index
        %lowest = arith.constant 0xFF800000 : f32
        %r = arith.select %keep, %s, %lowest : f32
        attention.yield %r : f32
      }
      -> out[b, m, d] : tensor<2x1x8xf32>
  func.return %o : tensor<2x1x8xf32>
}
// CHECK-LABEL: @ragged
// CHECK-NOT:       score
// CHECK-NOT:       reach
// CHECK:           -> out

func.func @ragged_four(%q: tensor<2x4x8xf32>, %k: tensor<2x64x8xf32>, %lens: tensor<2xi32>) -> tensor<2x4x8xf32> {
  %o = attention.sdpa
      q(%q[b, m, k] : tensor<2x4x8xf32>) k(%k[b, n, k] : tensor<2x64x8xf32>) v(%k[b, n, d] : tensor<2x64x8xf32>)
      kv_lens(%lens[b] : tensor<2xi32>)
      scale(1.0) score {
      ^bb0(%s: f32, %b: index, %hq: index, %m: index, %n: index):
        %len = tensor.extract %lens[%b] : tensor<2xi32>
        %end = arith.index_cast %len : i32 to index
        %last = arith.constant -4 : index
        %shift = arith.addi %end, %last : index
        %position = arith.addi %m, %shift : index
        %keep = arith.cmpi sle, %n, %position : index
        %lowest = arith.constant 0xFF800000 : f32
        %r = arith.select %keep, %s, %lowest : f32
        attention.yield %r : f32
      }
      -> out[b, m, d] : tensor<2x4x8xf32>
  func.return %o : tensor<2x4x8xf32>
}
// CHECK-LABEL: @ragged_four
// CHECK:           reach(n < m1 + s0 - 4)
// CHECK-NEXT:      unmasked(n < m0 + s0 - 3)
// CHECK-NEXT:      scalars(%lens[b] : tensor<2xi32>)

// -----

// Prefix-LM:  n <= m  or  n < prefix.  The larger bound counts, for both intervals; the prefix is a number from outside.
func.func @prefix(%q: tensor<64x8xf32>, %prefix: index) -> tensor<64x8xf32> {
  %o = attention.sdpa q(%q[m, k] : tensor<64x8xf32>) k(%q[n, k] : tensor<64x8xf32>) v(%q[n, d] : tensor<64x8xf32>)
      scale(1.0) score {
      ^bb0(%s: f32, %hq: index, %m: index, %n: index):
        %past = arith.cmpi sle, %n, %m : index
        %inside = arith.cmpi slt, %n, %prefix : index
        %keep = arith.ori %past, %inside : i1
        %lowest = arith.constant 0xFF800000 : f32
        %r = arith.select %keep, %s, %lowest : f32
        attention.yield %r : f32
      }
      -> out[m, d] : tensor<64x8xf32>
  func.return %o : tensor<64x8xf32>
}
// CHECK-LABEL: @prefix
// CHECK:           reach(n < max(m1, s0))
// CHECK-NEXT:      unmasked(n < max(m0 + 1, s0))
// CHECK-NEXT:      scalars(%prefix : index)

// -----

// Chunks of 16 keys, causal in each:  n / 16 = m / 16  and  n <= m.
func.func @chunks(%q: tensor<64x8xf32>) -> tensor<64x8xf32> {
  %o = attention.sdpa q(%q[m, k] : tensor<64x8xf32>) k(%q[n, k] : tensor<64x8xf32>) v(%q[n, d] : tensor<64x8xf32>)
      scale(1.0) score {
      ^bb0(%s: f32, %hq: index, %m: index, %n: index):
        %size = arith.constant 16 : index
        %a = arith.divsi %n, %size : index
        %b = arith.divsi %m, %size : index
        %same = arith.cmpi eq, %a, %b : index
        %past = arith.cmpi sle, %n, %m : index
        %keep = arith.andi %same, %past : i1
        %lowest = arith.constant 0xFF800000 : f32
        %r = arith.select %keep, %s, %lowest : f32
        attention.yield %r : f32
      }
      -> out[m, d] : tensor<64x8xf32>
  func.return %o : tensor<64x8xf32>
}
// CHECK-LABEL: @chunks
// CHECK:           reach(16 * (m0 floordiv 16) <= n < min(16 * ((m1 + 15) floordiv 16), m1))
// CHECK-NEXT:      unmasked(16 * ((m1 + 15) floordiv 16) - 16 <= n < min(16 * (m0 floordiv 16) + 16, m0 + 1))

// -----

// Masks the other way round: not (n > m), and -inf where a condition holds.
func.func @inverted(%q: tensor<64x8xf32>) -> tensor<64x8xf32> {
  %o = attention.sdpa q(%q[m, k] : tensor<64x8xf32>) k(%q[n, k] : tensor<64x8xf32>) v(%q[n, d] : tensor<64x8xf32>)
      scale(1.0) score {
      ^bb0(%s: f32, %hq: index, %m: index, %n: index):
        %true = arith.constant true
        %future = arith.cmpi sgt, %n, %m : index
        %past = arith.xori %future, %true : i1
        %lowest = arith.constant 0xFF800000 : f32
        %t = arith.select %past, %s, %lowest : f32
        %first = arith.constant 8 : index
        %padding = arith.cmpi slt, %n, %first : index
        %r = arith.select %padding, %lowest, %t : f32
        attention.yield %r : f32
      }
      -> out[m, d] : tensor<64x8xf32>
  func.return %o : tensor<64x8xf32>
}
// CHECK-LABEL: @inverted
// CHECK:           reach(8 <= n < m1)
// CHECK-NEXT:      unmasked(8 <= n < m0 + 1)

// -----

// Attention sinks of StreamingLLM: the first 4 keys, and 16 up to the query. One interval holds both; of the two
// unmasked ones the larger is taken.
func.func @streaming(%q: tensor<64x8xf32>) -> tensor<64x8xf32> {
  %o = attention.sdpa q(%q[m, k] : tensor<64x8xf32>) k(%q[n, k] : tensor<64x8xf32>) v(%q[n, d] : tensor<64x8xf32>)
      scale(1.0) score {
      ^bb0(%s: f32, %hq: index, %m: index, %n: index):
        %four = arith.constant 4 : index
        %size = arith.constant 16 : index
        %first = arith.cmpi slt, %n, %four : index
        %begin = arith.subi %m, %size : index
        %recent = arith.cmpi sgt, %n, %begin : index
        %either = arith.ori %first, %recent : i1
        %past = arith.cmpi sle, %n, %m : index
        %keep = arith.andi %either, %past : i1
        %lowest = arith.constant 0xFF800000 : f32
        %r = arith.select %keep, %s, %lowest : f32
        attention.yield %r : f32
      }
      -> out[m, d] : tensor<64x8xf32>
  func.return %o : tensor<64x8xf32>
}
// CHECK-LABEL: @streaming
// CHECK:           reach(n < m1)
// CHECK-NEXT:      unmasked(m1 - 16 <= n < m0 + 1)

// -----

// A region that masks everything reaches nothing.
func.func @nothing(%q: tensor<64x8xf32>) -> tensor<64x8xf32> {
  %o = attention.sdpa q(%q[m, k] : tensor<64x8xf32>) k(%q[n, k] : tensor<64x8xf32>) v(%q[n, d] : tensor<64x8xf32>)
      scale(1.0) score {
      ^bb0(%s: f32, %hq: index, %m: index, %n: index):
        %lowest = arith.constant 0xFF800000 : f32
        attention.yield %lowest : f32
      }
      -> out[m, d] : tensor<64x8xf32>
  func.return %o : tensor<64x8xf32>
}
// CHECK-LABEL: @nothing
// CHECK:           reach(n < 0)
// CHECK-NOT:       unmasked

// -----

// Bounds that are there stay as they are, and splitting the keys carries them along.
func.func @given(%q: tensor<64x8xf32>) -> tensor<64x8xf32> {
  %o = attention.sdpa q(%q[m, k] : tensor<64x8xf32>) k(%q[n, k] : tensor<64x8xf32>) v(%q[n, d] : tensor<64x8xf32>)
      scale(1.0) score(causal(n <= m)) reach(n < m1 + 7) -> out[m, d] : tensor<64x8xf32>
  func.return %o : tensor<64x8xf32>
}
// CHECK-LABEL: @given
// CHECK:           reach(n < m1 + 7)
// CHECK-NEXT:      -> out

// -----

// Splits are of the keys that are reached, so a reach would change what is returned here, but not what is put together.
func.func @splits(%q: tensor<8x8xf32>, %k: tensor<96x8xf32>) -> (tensor<1x1x2x8x8xf32>, tensor<8x8xf32>) {
  %p, %l = attention.partial q(%q[m, k] : tensor<8x8xf32>) k(%k[n, k] : tensor<96x8xf32>) v(%k[n, d] : tensor<96x8xf32>)
      splits(2) tile(16) scale(1.0) score(causal(n <= m))
      -> out : tensor<1x1x2x8x8xf32>, lse : tensor<1x1x2x8xf32>
  %r, %s = attention.partial q(%q[m, k] : tensor<8x8xf32>) k(%k[n, k] : tensor<96x8xf32>) v(%k[n, d] : tensor<96x8xf32>)
      splits(2) tile(16) scale(1.0) score(causal(n <= m))
      -> out : tensor<1x1x2x8x8xf32>, lse : tensor<1x1x2x8xf32>
  %o = attention.combine partial(%r : tensor<1x1x2x8x8xf32>) lse(%s : tensor<1x1x2x8xf32>)
      -> out[m, d] : tensor<8x8xf32>
  func.return %p, %o : tensor<1x1x2x8x8xf32>, tensor<8x8xf32>
}
// CHECK-LABEL: @splits
// CHECK:       attention.partial
// CHECK:           score(causal(n <= m))
// CHECK-NEXT:      -> out
// CHECK:       attention.partial
// CHECK:           score(causal(n <= m))
// CHECK-NEXT:      reach(n < m1)
