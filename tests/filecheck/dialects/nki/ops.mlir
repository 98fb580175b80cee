// RUN: xdsl-opt %s | filecheck %s
// RUN: xdsl-opt %s | xdsl-opt | filecheck %s
// RUN: xdsl-opt %s --print-op-generic | xdsl-opt | filecheck %s

// Every op of the dialect in its own syntax, and through the generic one.

// CHECK-LABEL: nki.kernel @kernel(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 2 doc "A kernel." {
nki.kernel @kernel(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 2 doc "A kernel." {
  // CHECK-NEXT: %s = nki.ndarray : !nki.tile<128x64xf32, sbuf>
  %s = nki.ndarray : !nki.tile<128x64xf32, sbuf>
  // CHECK-NEXT: %w = nki.ndarray : !nki.tile<128x64xf32, sbuf>
  %w = nki.ndarray : !nki.tile<128x64xf32, sbuf>
  // CHECK-NEXT: %v = nki.ndarray : !nki.tile<128x1xf32, sbuf>
  %v = nki.ndarray : !nki.tile<128x1xf32, sbuf>
  // CHECK-NEXT: %x = nki.ndarray : !nki.tile<128x1xf32, sbuf>
  %x = nki.ndarray : !nki.tile<128x1xf32, sbuf>
  // CHECK-NEXT: %byte = nki.ndarray : !nki.tile<128x64xui8, sbuf>
  %byte = nki.ndarray : !nki.tile<128x64xui8, sbuf>
  // CHECK-NEXT: %h = nki.ndarray : !nki.tile<128x64xbf16, sbuf>
  %h = nki.ndarray : !nki.tile<128x64xbf16, sbuf>
  // CHECK-NEXT: %h_t = nki.ndarray : !nki.tile<64x128xbf16, sbuf>
  %h_t = nki.ndarray : !nki.tile<64x128xbf16, sbuf>
  // CHECK-NEXT: %p = nki.ndarray : !nki.tile<64x64xf32, psum>
  %p = nki.ndarray : !nki.tile<64x64xf32, psum>
  // CHECK-NEXT: %p2 = nki.ndarray : !nki.tile<64x128xf32, psum>
  %p2 = nki.ndarray : !nki.tile<64x128xf32, psum>
  // CHECK-NEXT: %out = nki.ndarray : !nki.tile<4x64x128xf32, shared_hbm>
  %out = nki.ndarray : !nki.tile<4x64x128xf32, shared_hbm>
  // CHECK-NEXT: %scratch = nki.ndarray : !nki.tile<8xf32, private_hbm>
  %scratch = nki.ndarray : !nki.tile<8xf32, private_hbm>
  // CHECK-NEXT: %rows = nki.ndarray : !nki.tile<128x1xi32, sbuf>
  %rows = nki.ndarray : !nki.tile<128x1xi32, sbuf>
  // CHECK-NEXT: %cube = nki.ndarray : !nki.tile<128x4x16xf32, sbuf>
  %cube = nki.ndarray : !nki.tile<128x4x16xf32, sbuf>
  // CHECK-NEXT: %core = nki.program_id
  %core = nki.program_id
  // CHECK-NEXT: %c0 = arith.constant 0 : index
  %c0 = arith.constant 0 : index
  // CHECK-NEXT: %c4 = arith.constant 4 : index
  %c4 = arith.constant 4 : index
  // CHECK-NEXT: %no = arith.constant false
  %no = arith.constant false
  // CHECK-NEXT: nki.memset %s, 0.000000e+00 : f32 : !nki.tile<128x64xf32, sbuf>
  nki.memset %s, 0.000000e+00 : f32 : !nki.tile<128x64xf32, sbuf>
  // CHECK-NEXT: nki.for %i = %core to %c4 step 2 {
  nki.for %i = %core to %c4 step 2 {
    // CHECK-NEXT: %at = affine.apply affine_map<(d0) -> ((d0 * 8192))> (%i)
    %at = affine.apply affine_map<(d0) -> ((d0 * 8192))> (%i)
    // CHECK-NEXT: %src = nki.ap %q at %at by [[64, 128], [1, 64]] : !nki.tile<4x128x64xf32, shared_hbm>
    %src = nki.ap %q at %at by [[64, 128], [1, 64]] : !nki.tile<4x128x64xf32, shared_hbm>
    // CHECK-NEXT: nki.dma_copy %s, %src : !nki.tile<128x64xf32, sbuf>, !nki.tile<128x64xf32, shared_hbm>
    nki.dma_copy %s, %src : !nki.tile<128x64xf32, sbuf>, !nki.tile<128x64xf32, shared_hbm>
    // CHECK-NEXT: %one = nki.slice %cube[0 for 128, %i, 0 for 16] : !nki.tile<128x4x16xf32, sbuf>
    %one = nki.slice %cube[0 for 128, %i, 0 for 16] : !nki.tile<128x4x16xf32, sbuf>
    // CHECK-NEXT: nki.tensor_reduce "maximum" %v, %one axes 1 : !nki.tile<128x1xf32, sbuf>, !nki.tile<128x16xf32, sbuf>
    nki.tensor_reduce "maximum" %v, %one axes 1 : !nki.tile<128x1xf32, sbuf>, !nki.tile<128x16xf32, sbuf>
  // CHECK-NEXT: }
  }
  // CHECK-NEXT: %flat = nki.reshape %q : !nki.tile<4x128x64xf32, shared_hbm> -> !nki.tile<512x64xf32, shared_hbm>
  %flat = nki.reshape %q : !nki.tile<4x128x64xf32, shared_hbm> -> !nki.tile<512x64xf32, shared_hbm>
  // CHECK-NEXT: %picked = nki.ap %flat at 0 by [[64, 128], [1, 64]] : !nki.tile<512x64xf32, shared_hbm> rows %rows : !nki.tile<128x1xi32, sbuf>
  %picked = nki.ap %flat at 0 by [[64, 128], [1, 64]] : !nki.tile<512x64xf32, shared_hbm> rows %rows : !nki.tile<128x1xi32, sbuf>
  // CHECK-NEXT: nki.dma_copy %s, %picked oob "skip" : !nki.tile<128x64xf32, sbuf>, !nki.tile<128x64xf32, shared_hbm>
  nki.dma_copy %s, %picked oob "skip" : !nki.tile<128x64xf32, sbuf>, !nki.tile<128x64xf32, shared_hbm>
  // CHECK-NEXT: %one_row = nki.ndarray : !nki.tile<1x1xi32, sbuf>
  %one_row = nki.ndarray : !nki.tile<1x1xi32, sbuf>
  // CHECK-NEXT: %from = nki.ap %flat at 0 by [[64, 128], [1, 64]] : !nki.tile<512x64xf32, shared_hbm> row %one_row : !nki.tile<1x1xi32, sbuf>
  %from = nki.ap %flat at 0 by [[64, 128], [1, 64]] : !nki.tile<512x64xf32, shared_hbm> row %one_row : !nki.tile<1x1xi32, sbuf>
  // CHECK-NEXT: nki.dma_copy %s, %from : !nki.tile<128x64xf32, sbuf>, !nki.tile<128x64xf32, shared_hbm>
  nki.dma_copy %s, %from : !nki.tile<128x64xf32, sbuf>, !nki.tile<128x64xf32, shared_hbm>
  // CHECK-NEXT: nki.memset %s, 0.000000e+00 : f32 on "gpsimd" : !nki.tile<128x64xf32, sbuf>
  nki.memset %s, 0.000000e+00 : f32 on "gpsimd" : !nki.tile<128x64xf32, sbuf>
  // CHECK-NEXT: nki.dma_transpose %h_t, %h : !nki.tile<64x128xbf16, sbuf>, !nki.tile<128x64xbf16, sbuf>
  nki.dma_transpose %h_t, %h : !nki.tile<64x128xbf16, sbuf>, !nki.tile<128x64xbf16, sbuf>
  // CHECK-NEXT: nki.nc_matmul %p, %s, %w accumulate %no : !nki.tile<64x64xf32, psum>, !nki.tile<128x64xf32, sbuf>, !nki.tile<128x64xf32, sbuf>
  nki.nc_matmul %p, %s, %w accumulate %no : !nki.tile<64x64xf32, psum>, !nki.tile<128x64xf32, sbuf>, !nki.tile<128x64xf32, sbuf>
  // CHECK-NEXT: nki.nc_transpose %p2, %s : !nki.tile<64x128xf32, psum>, !nki.tile<128x64xf32, sbuf>
  nki.nc_transpose %p2, %s : !nki.tile<64x128xf32, psum>, !nki.tile<128x64xf32, sbuf>
  // CHECK-NEXT: nki.tensor_copy %h, %s : !nki.tile<128x64xbf16, sbuf>, !nki.tile<128x64xf32, sbuf>
  nki.tensor_copy %h, %s : !nki.tile<128x64xbf16, sbuf>, !nki.tile<128x64xf32, sbuf>
  // CHECK-NEXT: nki.tensor_copy_predicated %s where %byte value 0.000000e+00 : f32 : !nki.tile<128x64xf32, sbuf>, !nki.tile<128x64xui8, sbuf>
  nki.tensor_copy_predicated %s where %byte value 0.000000e+00 : f32 : !nki.tile<128x64xf32, sbuf>, !nki.tile<128x64xui8, sbuf>
  // CHECK-NEXT: nki.tensor_copy_predicated %s where %byte from %w : !nki.tile<128x64xf32, sbuf> : !nki.tile<128x64xf32, sbuf>, !nki.tile<128x64xui8, sbuf>
  nki.tensor_copy_predicated %s where %byte from %w : !nki.tile<128x64xf32, sbuf> : !nki.tile<128x64xf32, sbuf>, !nki.tile<128x64xui8, sbuf>
  // CHECK-NEXT: nki.reciprocal %v, %x : !nki.tile<128x1xf32, sbuf>, !nki.tile<128x1xf32, sbuf>
  nki.reciprocal %v, %x : !nki.tile<128x1xf32, sbuf>, !nki.tile<128x1xf32, sbuf>
  // CHECK-NEXT: nki.tensor_tensor "subtract" %s, %s, %w : !nki.tile<128x64xf32, sbuf>, !nki.tile<128x64xf32, sbuf>, !nki.tile<128x64xf32, sbuf>
  nki.tensor_tensor "subtract" %s, %s, %w : !nki.tile<128x64xf32, sbuf>, !nki.tile<128x64xf32, sbuf>, !nki.tile<128x64xf32, sbuf>
  // The same memory as whole numbers of 32 bits, on GpSimd.
  // CHECK-NEXT: %words = nki.ap %s at 0 by {{\[}}[64, 128], [1, 64]] : !nki.tile<128x64xf32, sbuf> as i32
  %words = nki.ap %s at 0 by [[64, 128], [1, 64]] : !nki.tile<128x64xf32, sbuf> as i32
  // CHECK-NEXT: nki.tensor_tensor "multiply" %words, %words, %words on "gpsimd" : !nki.tile<128x64xi32, sbuf>, !nki.tile<128x64xi32, sbuf>, !nki.tile<128x64xi32, sbuf>
  nki.tensor_tensor "multiply" %words, %words, %words on "gpsimd" : !nki.tile<128x64xi32, sbuf>, !nki.tile<128x64xi32, sbuf>, !nki.tile<128x64xi32, sbuf>
  // And as those of 16 bits, with a byte for each.
  // CHECK-NEXT: %halves = nki.ap %s at 0 by {{\[}}[128, 128], [1, 64]] : !nki.tile<128x64xf32, sbuf> as ui16
  %halves = nki.ap %s at 0 by [[128, 128], [1, 64]] : !nki.tile<128x64xf32, sbuf> as ui16
  // CHECK-NEXT: nki.tensor_tensor "multiply" %halves, %halves, %byte on "gpsimd" : !nki.tile<128x64xui16, sbuf>, !nki.tile<128x64xui16, sbuf>, !nki.tile<128x64xui8, sbuf>
  nki.tensor_tensor "multiply" %halves, %halves, %byte on "gpsimd" : !nki.tile<128x64xui16, sbuf>, !nki.tile<128x64xui16, sbuf>, !nki.tile<128x64xui8, sbuf>
  // CHECK-NEXT: nki.tensor_reduce "maximum" %v, %s axes 1 negate : !nki.tile<128x1xf32, sbuf>, !nki.tile<128x64xf32, sbuf>
  nki.tensor_reduce "maximum" %v, %s axes 1 negate : !nki.tile<128x1xf32, sbuf>, !nki.tile<128x64xf32, sbuf>
  // CHECK-NEXT: nki.tensor_scalar %byte, %s "less" number 1.000000e+00 : f32 reverse : !nki.tile<128x64xui8, sbuf>, !nki.tile<128x64xf32, sbuf>
  nki.tensor_scalar %byte, %s "less" number 1.000000e+00 : f32 reverse : !nki.tile<128x64xui8, sbuf>, !nki.tile<128x64xf32, sbuf>
  // CHECK-NEXT: nki.tensor_scalar %s, %w "multiply" tile %v : !nki.tile<128x1xf32, sbuf> then "add" tile1 %x : !nki.tile<128x1xf32, sbuf> : !nki.tile<128x64xf32, sbuf>, !nki.tile<128x64xf32, sbuf>
  nki.tensor_scalar %s, %w "multiply" tile %v : !nki.tile<128x1xf32, sbuf> then "add" tile1 %x : !nki.tile<128x1xf32, sbuf> : !nki.tile<128x64xf32, sbuf>, !nki.tile<128x64xf32, sbuf>
  // CHECK-NEXT: nki.scalar_tensor_tensor %s, %s "multiply" tile %v : !nki.tile<128x1xf32, sbuf> then "add" %w : !nki.tile<128x64xf32, sbuf>, !nki.tile<128x64xf32, sbuf>, !nki.tile<128x64xf32, sbuf>
  nki.scalar_tensor_tensor %s, %s "multiply" tile %v : !nki.tile<128x1xf32, sbuf> then "add" %w : !nki.tile<128x64xf32, sbuf>, !nki.tile<128x64xf32, sbuf>, !nki.tile<128x64xf32, sbuf>
  // CHECK-NEXT: nki.activation "exp" %h, %s bias %v : !nki.tile<128x1xf32, sbuf> factor 5.000000e-01 : f32 sum %x : !nki.tile<128x1xf32, sbuf> : !nki.tile<128x64xbf16, sbuf>, !nki.tile<128x64xf32, sbuf>
  nki.activation "exp" %h, %s bias %v : !nki.tile<128x1xf32, sbuf> factor 5.000000e-01 : f32 sum %x : !nki.tile<128x1xf32, sbuf> : !nki.tile<128x64xbf16, sbuf>, !nki.tile<128x64xf32, sbuf>
  // CHECK-NEXT: nki.iota %s offset 3 channel 1 steps [-2, 1] nums [8, 8] : !nki.tile<128x64xf32, sbuf>
  nki.iota %s offset 3 channel 1 steps [-2, 1] nums [8, 8] : !nki.tile<128x64xf32, sbuf>
  // CHECK-NEXT: nki.affine_select "greater_equal" %s, %w else 0xff800000 : f32 offset 7 channel -1 steps [1] nums [64] : !nki.tile<128x64xf32, sbuf>, !nki.tile<128x64xf32, sbuf>
  nki.affine_select "greater_equal" %s, %w else 0xff800000 : f32 offset 7 channel -1 steps [1] nums [64] : !nki.tile<128x64xf32, sbuf>, !nki.tile<128x64xf32, sbuf>
  // CHECK-NEXT: nki.select_reduce %s where %byte, %w else -1.000000e+00 : f32 reverse : !nki.tile<128x64xf32, sbuf>, !nki.tile<128x64xui8, sbuf>, !nki.tile<128x64xf32, sbuf>
  nki.select_reduce %s where %byte, %w else -1.000000e+00 : f32 reverse : !nki.tile<128x64xf32, sbuf>, !nki.tile<128x64xui8, sbuf>, !nki.tile<128x64xf32, sbuf>
  // CHECK-NEXT: nki.range_select %s, %w from 0 "less" %v and "greater_equal" %x else -3.40282347e+38 : f32 max %v : !nki.tile<128x64xf32, sbuf>, !nki.tile<128x64xf32, sbuf>, !nki.tile<128x1xf32, sbuf>, !nki.tile<128x1xf32, sbuf>, !nki.tile<128x1xf32, sbuf>
  nki.range_select %s, %w from 0 "less" %v and "greater_equal" %x else -3.40282347e+38 : f32 max %v : !nki.tile<128x64xf32, sbuf>, !nki.tile<128x64xf32, sbuf>, !nki.tile<128x1xf32, sbuf>, !nki.tile<128x1xf32, sbuf>, !nki.tile<128x1xf32, sbuf>
  // CHECK-NEXT: nki.core_barrier %out : !nki.tile<4x64x128xf32, shared_hbm>
  nki.core_barrier %out : !nki.tile<4x64x128xf32, shared_hbm>
  // CHECK-NEXT: nki.return %out : !nki.tile<4x64x128xf32, shared_hbm>
  nki.return %out : !nki.tile<4x64x128xf32, shared_hbm>
}

// CHECK-LABEL: func.func @main
func.func @main(%q: tensor<4x128x64xf32>) -> tensor<4x64x128xf32> {
  // CHECK-NEXT: nki.call @kernel(%q) : (tensor<4x128x64xf32>) -> tensor<4x64x128xf32>
  %0 = nki.call @kernel(%q) : (tensor<4x128x64xf32>) -> tensor<4x64x128xf32>
  func.return %0 : tensor<4x64x128xf32>
}
