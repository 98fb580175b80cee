// RUN: xdsl-opt %s -p 'schedule-attention{block-n=48}' --verify-diagnostics --split-input-file | filecheck %s

// Options that no kernel can have are refused with the rule that they break.

// CHECK: schedule-attention: block_n is 48, expected a power of two of at least 16
func.func @tile(%q: tensor<4x8xf32>, %k: tensor<9x8xf32>) -> tensor<4x8xf32> {
  %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>) k(%k[n, k] : tensor<9x8xf32>) v(%k[n, d] : tensor<9x8xf32>)
      scale(1.0) -> out[m, d] : tensor<4x8xf32>
  func.return %o : tensor<4x8xf32>
}
