// RUN: xdsl-opt %s -p infer-attention-bounds --split-input-file | filecheck %s

// What is not proved: nothing is written, and everything is computed.

// A mask read from a tensor may be anything. Causal masks beside it bound the reach, but no key is known to be unmasked.
func.func @document(%q: tensor<64x8xf32>, %mask: tensor<64x64xi1>) -> tensor<64x8xf32> {
  %o = attention.sdpa q(%q[m, k] : tensor<64x8xf32>) k(%q[n, k] : tensor<64x8xf32>) v(%q[n, d] : tensor<64x8xf32>)
      scale(1.0) score(causal(n <= m) mask(%mask[m, n] : tensor<64x64xi1>)) -> out[m, d] : tensor<64x8xf32>
  func.return %o : tensor<64x8xf32>
}
// CHECK-LABEL: @document
// CHECK:           reach(n < m1)
// CHECK-NOT:       unmasked
// CHECK:           -> out

// -----

// A finite mask is no bound: a row of nothing else is the mean of V. Where it masks nothing is still known.
func.func @finite(%q: tensor<64x8xf32>) -> tensor<64x8xf32> {
  %o = attention.sdpa q(%q[m, k] : tensor<64x8xf32>) k(%q[n, k] : tensor<64x8xf32>) v(%q[n, d] : tensor<64x8xf32>)
      scale(1.0) score {
      ^bb0(%s: f32, %hq: index, %m: index, %n: index):
        %past = arith.cmpi sle, %n, %m : index
        %lowest = arith.constant -1.0e9 : f32
        %r = arith.select %past, %s, %lowest : f32
        attention.yield %r : f32
      }
      -> out[m, d] : tensor<64x8xf32>
  func.return %o : tensor<64x8xf32>
}
// CHECK-LABEL: @finite
// CHECK-NOT:       reach
// CHECK:           unmasked(n < m0 + 1)

// -----

// -inf that is added to the logit: NaN + -inf is NaN, and would be lost.
func.func @added(%q: tensor<64x8xf32>) -> tensor<64x8xf32> {
  %o = attention.sdpa q(%q[m, k] : tensor<64x8xf32>) k(%q[n, k] : tensor<64x8xf32>) v(%q[n, d] : tensor<64x8xf32>)
      scale(1.0) score {
      ^bb0(%s: f32, %hq: index, %m: index, %n: index):
        %past = arith.cmpi sle, %n, %m : index
        %zero = arith.constant 0.0 : f32
        %lowest = arith.constant 0xFF800000 : f32
        %mask = arith.select %past, %zero, %lowest : f32
        %r = arith.addf %s, %mask : f32
        attention.yield %r : f32
      }
      -> out[m, d] : tensor<64x8xf32>
  func.return %o : tensor<64x8xf32>
}
// CHECK-LABEL: @added
// CHECK-NOT:       reach
// CHECK:           unmasked(n < m0 + 1)

// -----

// A cap after the mask brings masked logits back: cap * tanh(-inf) is -cap.
func.func @capped(%q: tensor<64x8xf32>) -> tensor<64x8xf32> {
  %o = attention.sdpa q(%q[m, k] : tensor<64x8xf32>) k(%q[n, k] : tensor<64x8xf32>) v(%q[n, d] : tensor<64x8xf32>)
      scale(1.0) score(causal(n <= m) soft_cap(30.0)) -> out[m, d] : tensor<64x8xf32>
  func.return %o : tensor<64x8xf32>
}
// CHECK-LABEL: @capped
// CHECK-NOT:       reach
// CHECK:           unmasked(n < m0 + 1)

// -----

// m + offset may overflow 32 bits, a product of indices is not affine, and the parity of a key has no bounds.
func.func @arithmetic(%q: tensor<64x8xf32>, %offset: i32, %m0: index) -> tensor<64x8xf32> {
  %o = attention.sdpa q(%q[m, k] : tensor<64x8xf32>) k(%q[n, k] : tensor<64x8xf32>) v(%q[n, d] : tensor<64x8xf32>)
      scale(1.0) score {
      ^bb0(%s: f32, %hq: index, %m: index, %n: index):
        %lowest = arith.constant 0xFF800000 : f32
        %m32 = arith.index_cast %m : index to i32
        %n32 = arith.index_cast %n : index to i32
        %position = arith.addi %m32, %offset : i32
        %past = arith.cmpi sle, %n32, %position : i32
        %t = arith.select %past, %s, %lowest : f32
        %square = arith.muli %m, %m : index
        %below = arith.cmpi sle, %n, %square : index
        %u = arith.select %below, %t, %lowest : f32
        %two = arith.constant 2 : index
        %zero = arith.constant 0 : index
        %rest = arith.remsi %n, %two : index
        %even = arith.cmpi eq, %rest, %zero : index
        %r = arith.select %even, %u, %lowest : f32
        attention.yield %r : f32
      }
      -> out[m, d] : tensor<64x8xf32>
  func.return %o : tensor<64x8xf32>
}
// CHECK-LABEL: @arithmetic
// CHECK-NOT:       reach
// CHECK-NOT:       unmasked
// CHECK:           func.return

// -----

// A length for each head would differ between the rows of a block, and one read at the query is no scalar.
func.func @indices(%q: tensor<4x64x8xf32>, %heads: tensor<4xi32>, %rows: tensor<64xi32>) -> tensor<4x64x8xf32> {
  %o = attention.sdpa
      q(%q[h, m, k] : tensor<4x64x8xf32>) k(%q[h, n, k] : tensor<4x64x8xf32>) v(%q[h, n, d] : tensor<4x64x8xf32>)
      scale(1.0) score {
      ^bb0(%s: f32, %hq: index, %m: index, %n: index):
        %lowest = arith.constant 0xFF800000 : f32
        %a = tensor.extract %heads[%hq] : tensor<4xi32>
        %b = tensor.extract %rows[%m] : tensor<64xi32>
        %x = arith.index_cast %a : i32 to index
        %y = arith.index_cast %b : i32 to index
        %first = arith.cmpi slt, %n, %x : index
        %second = arith.cmpi slt, %n, %y : index
        %keep = arith.andi %first, %second : i1
        %r = arith.select %keep, %s, %lowest : f32
        attention.yield %r : f32
      }
      -> out[h, m, d] : tensor<4x64x8xf32>
  func.return %o : tensor<4x64x8xf32>
}
// CHECK-LABEL: @indices
// CHECK-NOT:       reach
// CHECK-NOT:       unmasked
// CHECK:           func.return
