// RUN: xdsl-opt %s -p convert-attention-to-nki | filecheck %s

// Caches in 8-bit floats: K goes through the Tensor engine to be transposed, as DMA transposes elements of 2 bytes.

// Beside a query in bf16 they are operands of products as they are.
func.func @bf16(%q: tensor<1x4x1x64xbf16>, %k: tensor<1x1x256x64xf8E5M2>, %v: tensor<1x1x256x64xf8E5M2>) -> tensor<1x4x1x64xbf16> {
  %0 = attention.sdpa
      q(%q[b, h * 4 + g, m, k] : tensor<1x4x1x64xbf16>)
      k(%k[b, h, n, k] : tensor<1x1x256x64xf8E5M2>) quantized(f8E5M2)
      v(%v[b, h, n, d] : tensor<1x1x256x64xf8E5M2>) quantized(f8E5M2)
      scale(0.125)
      -> out[b, h * 4 + g, m, d] : tensor<1x4x1x64xbf16>
  func.return %0 : tensor<1x4x1x64xbf16>
}

// CHECK-LABEL: nki.kernel @bf16
// CHECK:         nki.nc_transpose {{%.*}} : !nki.tile<64x128xf8E5M2, psum>, !nki.tile<128x64xf8E5M2, sbuf>
// CHECK:         nki.nc_matmul {{.*}} !nki.tile<64x128xf8E5M2, sbuf>, !nki.tile<64x4xbf16, sbuf>
// CHECK:         nki.nc_matmul {{.*}} !nki.tile<128x64xf8E5M2, sbuf>, !nki.tile<128x4{{.*}}xbf16, sbuf>

// f32 mixes with nothing else: K becomes f32 on its way out of PSUM, V in a copy.
func.func @f32(%q: tensor<1x4x1x64xf32>, %k: tensor<1x1x256x64xf8E5M2>, %v: tensor<1x1x256x64xf8E5M2>) -> tensor<1x4x1x64xf32> {
  %0 = attention.sdpa
      q(%q[b, h * 4 + g, m, k] : tensor<1x4x1x64xf32>)
      k(%k[b, h, n, k] : tensor<1x1x256x64xf8E5M2>) quantized(f8E5M2)
      v(%v[b, h, n, d] : tensor<1x1x256x64xf8E5M2>) quantized(f8E5M2)
      scale(0.125)
      -> out[b, h * 4 + g, m, d] : tensor<1x4x1x64xf32>
  func.return %0 : tensor<1x4x1x64xf32>
}

// CHECK-LABEL: nki.kernel @f32
// CHECK:         nki.nc_transpose {{%.*}} : !nki.tile<64x128xf8E5M2, psum>, !nki.tile<128x64xf8E5M2, sbuf>
// CHECK:         nki.tensor_copy {{%.*}} : !nki.tile<64x256xf32, sbuf>, !nki.tile<64x256xf8E5M2, psum>
// CHECK:         nki.nc_matmul {{.*}} !nki.tile<64x128xf32, sbuf>, !nki.tile<64x4xf32, sbuf>
// CHECK:         nki.dma_copy %v_stored
// CHECK-NEXT:    nki.tensor_copy %v_rows, %v_stored : !nki.tile<128x2x64xf32, sbuf>, !nki.tile<128x2x64xf8E5M2, sbuf>
// CHECK:         nki.nc_matmul {{.*}} !nki.tile<128x64xf32, sbuf>, !nki.tile<128x4{{.*}}xf32, sbuf>
