// RUN: xdsl-opt %s -p convert-attention-to-triton -t triton | filecheck %s

// 4-bit codes that a tensor has one an element: no pointer goes to 4 bits, and arrays of them have a byte for each
// element, so that is what the launch function takes and the kernel reads. Values are the same.

// CHECK-LABEL: def main_kernel(
// CHECK: k_codes = tl.load(k_ptrs
// CHECK-NEXT: k = k_codes.to(tl.int32).to(tl.float32)
// CHECK: v_codes = tl.load(v_ptrs
// CHECK-NEXT: v = ((v_codes.to(tl.int32) & 255) - 7).to(tl.float32)
// CHECK-LABEL: def main(
// CHECK: _check(k, "k", "int8", (1, 2, 48, 32))
// CHECK: _check(v, "v", "int8", (1, 2, 48, 32))
func.func @main(%q: tensor<1x4x1x32xf32>, %k: tensor<1x2x48x32xi4>, %ks: tensor<1x2x48xf32>, %v: tensor<1x2x48x32xui4>, %vs: tensor<1x2x48xf32>) -> tensor<1x4x1x32xf32> {
  %out = attention.sdpa
    q(%q[b, h * 2 + g, m, k] : tensor<1x4x1x32xf32>)
    k(%k[b, h, n, k] : tensor<1x2x48x32xi4>) quantized(i4) k_scale(%ks[b, h, n] : tensor<1x2x48xf32>)
    v(%v[b, h, n, d] : tensor<1x2x48x32xui4>) quantized(u4, zero = 7) v_scale(%vs[b, h, n] : tensor<1x2x48xf32>)
    scale(0.25)
    -> out[b, h * 2 + g, m, d] : tensor<1x4x1x32xf32>
  func.return %out : tensor<1x4x1x32xf32>
}
