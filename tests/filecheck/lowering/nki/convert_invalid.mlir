// RUN: xdsl-opt %s -p convert-attention-to-nki --verify-diagnostics --split-input-file | filecheck %s

// What an NKI kernel cannot do is said in one sentence.

// CHECK: argument q of @wide has type tensor<2x1x8xf64>, of which NKI has no numbers; convert it to f32
func.func @wide(%q: tensor<2x1x8xf64>, %k: tensor<2x9x8xf64>, %v: tensor<2x9x8xf64>) -> tensor<2x1x8xf64> {
  %0 = attention.sdpa
      q(%q[h, m, k] : tensor<2x1x8xf64>) k(%k[h, n, k] : tensor<2x9x8xf64>) v(%v[h, n, d] : tensor<2x9x8xf64>)
      scale(1.0) -> out[h, m, d] : tensor<2x1x8xf64>
  func.return %0 : tensor<2x1x8xf64>
}

// -----

// CHECK: cannot lower math.cos in the score region of attention.sdpa to NKI: no instruction computes it
func.func @cosine(%q: tensor<2x1x8xf32>, %k: tensor<2x9x8xf32>, %v: tensor<2x9x8xf32>) -> tensor<2x1x8xf32> {
  %0 = attention.sdpa
      q(%q[h, m, k] : tensor<2x1x8xf32>) k(%k[h, n, k] : tensor<2x9x8xf32>) v(%v[h, n, d] : tensor<2x9x8xf32>)
      scale(1.0)
      score {
      ^bb0(%s: f32, %hq: index, %m: index, %n: index):
        %r = math.cos %s : f32
        attention.yield %r : f32
      }
      -> out[h, m, d] : tensor<2x1x8xf32>
  func.return %0 : tensor<2x1x8xf32>
}

// -----

// CHECK: kv_lens of attention.sdpa differs between query heads of one KV head, which NKI kernels do not lower
func.func @lengths(%q: tensor<2x4x1x8xf32>, %k: tensor<2x9x8xf32>, %v: tensor<2x9x8xf32>, %l: tensor<2x4xi32>) -> tensor<2x4x1x8xf32> {
  %0 = attention.sdpa
      q(%q[h, g, m, k] : tensor<2x4x1x8xf32>) k(%k[h, n, k] : tensor<2x9x8xf32>) v(%v[h, n, d] : tensor<2x9x8xf32>)
      kv_lens(%l[h, g] : tensor<2x4xi32>)
      scale(1.0) -> out[h, g, m, d] : tensor<2x4x1x8xf32>
  func.return %0 : tensor<2x4x1x8xf32>
}

// -----

// CHECK: @mixed is more than attention on its arguments: run outline-attention first
func.func @mixed(%q: tensor<2x1x8xf32>, %k: tensor<2x9x8xf32>, %v: tensor<2x9x8xf32>) -> tensor<2x1x8xf32> {
  %1 = arith.addf %q, %q : tensor<2x1x8xf32>
  %0 = attention.sdpa
      q(%1[h, m, k] : tensor<2x1x8xf32>) k(%k[h, n, k] : tensor<2x9x8xf32>) v(%v[h, n, d] : tensor<2x9x8xf32>)
      scale(1.0) -> out[h, m, d] : tensor<2x1x8xf32>
  func.return %0 : tensor<2x1x8xf32>
}

// -----

// Codes that are 8-bit floats are read as such; on others there is something to compute.
// CHECK: convert-attention-to-nki: k of attention.sdpa has i8 codes in elements of i8, which NKI kernels do not dequantise: pass it dequantised, or as 8-bit floats without scales
func.func @quantized(%q: tensor<2x1x8xf32>, %k: tensor<2x9x8xi8>, %v: tensor<2x9x8xf32>) -> tensor<2x1x8xf32> {
  %0 = attention.sdpa
      q(%q[h, m, k] : tensor<2x1x8xf32>) k(%k[h, n, k] : tensor<2x9x8xi8>) quantized(i8)
      v(%v[h, n, d] : tensor<2x9x8xf32>) scale(1.0) -> out[h, m, d] : tensor<2x1x8xf32>
  func.return %0 : tensor<2x1x8xf32>
}

// -----

// A length that differs from call to call is data, not a shape.
// CHECK: argument k of @dynamic has type tensor<2x?x8xf32>: NKI traces a kernel for one shape; give all sizes and convert once for each shape, or give the longest sequence and its length at run time as kv_lens
func.func @dynamic(%q: tensor<2x1x8xf32>, %k: tensor<2x?x8xf32>, %v: tensor<2x?x8xf32>) -> tensor<2x1x8xf32> {
  %0 = attention.sdpa
      q(%q[h, m, k] : tensor<2x1x8xf32>) k(%k[h, n, k] : tensor<2x?x8xf32>) v(%v[h, n, d] : tensor<2x?x8xf32>)
      scale(1.0) -> out[h, m, d] : tensor<2x1x8xf32>
  func.return %0 : tensor<2x1x8xf32>
}

// -----

// CHECK: block_table of attention.sdpa differs between query heads of one KV head, which NKI kernels do not lower
func.func @pages(%q: tensor<2x4x1x8xf32>, %k: tensor<9x16x8xf32>, %t: tensor<2x4x3xi32>) -> tensor<2x4x1x8xf32> {
  %0 = attention.sdpa
      q(%q[h, g, m, k] : tensor<2x4x1x8xf32>) k(%k[page, slot, k] : tensor<9x16x8xf32>) v(%k[page, slot, d] : tensor<9x16x8xf32>)
      block_table(%t[h, g, p] : tensor<2x4x3xi32>)
      scale(1.0) -> out[h, g, m, d] : tensor<2x4x1x8xf32>
  func.return %0 : tensor<2x4x1x8xf32>
}

// -----

// CHECK: convert-attention-to-nki: v of attention.sdpa has f8E5M2 codes in elements of f8E5M2, which NKI kernels do not dequantise
func.func @scaled(%q: tensor<2x1x8xf32>, %k: tensor<2x9x8xf32>, %v: tensor<2x9x8xf8E5M2>, %s: tensor<2xf32>) -> tensor<2x1x8xf32> {
  %0 = attention.sdpa
      q(%q[h, m, k] : tensor<2x1x8xf32>) k(%k[h, n, k] : tensor<2x9x8xf32>)
      v(%v[h, n, d] : tensor<2x9x8xf8E5M2>) quantized(f8E5M2) v_scale(%s[h] : tensor<2xf32>)
      scale(1.0) -> out[h, m, d] : tensor<2x1x8xf32>
  func.return %0 : tensor<2x1x8xf32>
}

// -----

// CHECK: argument k of @float8 has type tensor<2x9x8xf8E4M3FN>, but trn2 has no f8E4M3FN: store f8E4M3 or f8E5M2, or take target=trn3
func.func @float8(%q: tensor<2x1x8xf32>, %k: tensor<2x9x8xf8E4M3FN>, %v: tensor<2x9x8xf32>) -> tensor<2x1x8xf32> {
  %0 = attention.sdpa
      q(%q[h, m, k] : tensor<2x1x8xf32>) k(%k[h, n, k] : tensor<2x9x8xf8E4M3FN>) quantized(f8E4M3FN)
      v(%v[h, n, d] : tensor<2x9x8xf32>) scale(1.0) -> out[h, m, d] : tensor<2x1x8xf32>
  func.return %0 : tensor<2x1x8xf32>
}

// -----

// CHECK: @store has attention.update_cache, but NKI kernels do not store: lower it by decompose-attention, or store new keys before the kernel is called
func.func @store(%x: tensor<7x8x64xbf16>, %pool: tensor<99x8x64xbf16>, %to: tensor<7xi64>) -> tensor<99x8x64xbf16> {
  %0 = attention.update_cache
      new(%x[m, h, k] : tensor<7x8x64xbf16>)
      cache(%pool[page, h, k] : tensor<99x8x64xbf16>)
      slots(%to[m] : tensor<7xi64>)
  func.return %0 : tensor<99x8x64xbf16>
}

// -----

// Sums of V lie in PSUM, for all of its head size at once.
// CHECK: @huge does not fit on trn2: PSUM capacity: {{.*}}; cut V along its head size
func.func @huge(%q: tensor<2x1x8xbf16>, %k: tensor<2x9x8xbf16>, %v: tensor<2x9x5000xbf16>) -> tensor<2x1x5000xbf16> {
  %0 = attention.sdpa
      q(%q[h, m, k] : tensor<2x1x8xbf16>) k(%k[h, n, k] : tensor<2x9x8xbf16>) v(%v[h, n, d] : tensor<2x9x5000xbf16>)
      scale(1.0) -> out[h, m, d] : tensor<2x1x5000xbf16>
  func.return %0 : tensor<2x1x5000xbf16>
}
