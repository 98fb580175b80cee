// RUN: xdsl-opt %s -p convert-attention-to-nki -t nki | filecheck %s
// RUN: xdsl-opt %s -p convert-attention-to-nki -t nki | python -c 'import sys; compile(sys.stdin.read(), "kernel", "exec")'

// The file: imports of nki alone, a function of the same name, tensors in argument order, results returned.

func.func @main(%x: tensor<2x4x1x64xbf16>, %k: tensor<2x2x256x64xbf16>, %v: tensor<2x2x256x64xbf16>) -> tensor<2x4x1x64xbf16> {
  %0 = func.call @attend(%x, %k, %v) : (tensor<2x4x1x64xbf16>, tensor<2x2x256x64xbf16>, tensor<2x2x256x64xbf16>) -> tensor<2x4x1x64xbf16>
  func.return %0 : tensor<2x4x1x64xbf16>
}

func.func @attend(%lambda: tensor<2x4x1x64xbf16>, %k: tensor<2x2x256x64xbf16>, %nl: tensor<2x2x256x64xbf16>) -> tensor<2x4x1x64xbf16> {
  %0 = attention.sdpa
      q(%lambda[b, h * 2 + g, m, k] : tensor<2x4x1x64xbf16>)
      k(%k[b, h, n, k] : tensor<2x2x256x64xbf16>)
      v(%nl[b, h, n, d] : tensor<2x2x256x64xbf16>)
      scale(0.125)
      score(soft_cap(3.0e+01))
      -> out[b, h * 2 + g, m, d] : tensor<2x4x1x64xbf16>
  func.return %0 : tensor<2x4x1x64xbf16>
}

// CHECK:      """
// CHECK-NEXT: NKI kernels (NKI 0.6.0), printed by flashlower; this file stands alone.
// CHECK-NEXT: Kernels: attend.
// CHECK-NEXT: """
// CHECK-EMPTY:
// CHECK-NEXT: import nki
// CHECK-NEXT: import nki.isa as nisa
// CHECK-NEXT: import nki.language as nl
// CHECK-EMPTY:
// CHECK-NEXT: FP32_MIN = -3.4028234663852886e+38
// CHECK-EMPTY:
// CHECK-NEXT: # main is not printed: it is no kernel.

// What it computes, of which tensors, and how it is launched.
// CHECK:      # attention.sdpa: q[b, h * 2 + g, m, k], k[b, h, n, k], v[b, h, n, d], out[b, h * 2 + g, m, d]
// CHECK-NEXT: # lambda_1 (2, 4, 1, 64) bfloat16, k (2, 2, 256, 64) bfloat16, nl_1 (2, 2, 256, 64) bfloat16
// CHECK-NEXT: # For trn2, launched as attend[1].

// Names from the IR become names that Python and the file do not use.
// CHECK:      @nki.jit
// CHECK-NEXT: def attend(lambda_1, k, nl_1):
// CHECK-NEXT:     out = nl.ndarray((2, 4, 1, 64), dtype=nl.bfloat16, buffer=nl.shared_hbm)
// CHECK:          scores = nl.ndarray((128, 2, 4, 1, 2), dtype=nl.float32, buffer=nl.sbuf)
// CHECK:          nisa.dma_copy(dst=q_rows, src=lambda_1.ap(pattern={{\[\[}}64, 8], [1, 64]], offset=0))
// CHECK:          # S^T = scale * K Q^T, a tile of 128 keys a product.
// CHECK-NEXT:     products = nl.ndarray((128, 2, 4, 1, 2), dtype=nl.float32, buffer=nl.psum)
// CHECK-NEXT:     for sequence in range(2):
// CHECK-NEXT:         for head in range(2):
// CHECK:                  for j in range(2):
// CHECK-NEXT:                 nisa.nc_matmul(
// CHECK-NEXT:                     dst=products[0:128, sequence, head * 2:head * 2 + 2, 0:1, j],
// CHECK-NEXT:                     stationary=k_t[0:64, j * 128:j * 128 + 128],
// CHECK-NEXT:                     moving=q_t.ap(pattern={{\[\[}}8, 64], [1, 2]], offset=sequence * 4 + head * 2),
// CHECK-NEXT:                     accumulate=False,
// CHECK-NEXT:                 )
// 30 tanh(s / 30), in place
// CHECK:          nisa.tensor_scalar(
// CHECK:          nisa.activation(dst=scores, op=nl.tanh, data=scores)
// CHECK:          nisa.tensor_scalar(dst=scores, data=scores, op0=nl.multiply, operand0=30.0)
// CHECK:          return out
