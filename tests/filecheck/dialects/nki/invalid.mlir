// RUN: xdsl-opt %s --verify-diagnostics --split-input-file | filecheck %s

// One broken rule a piece; the message names the rule, what is there and what was expected.

// CHECK: partition limit: sbuf has 128 partitions, got a tile of 256
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %a = nki.ndarray : !nki.tile<256x4xf32, sbuf>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: PSUM size: a partition of PSUM has 16384 bytes, got a tile of 20480
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %a = nki.ndarray : !nki.tile<128x5120xf32, psum>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: a tile is in one of sbuf, psum, shared_hbm, private_hbm, got 'dram'
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %a = nki.ndarray : !nki.tile<128x4xf32, dram>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: NKI has no elements of type f64
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %a = nki.ndarray : !nki.tile<128x4xf64, sbuf>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: SBUF size: a partition of trn1 has 196608 bytes, got a tile of 204800
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn1 cores 1 {
  %a = nki.ndarray : !nki.tile<128x51200xf32, sbuf>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: SBUF capacity: trn2 has 229376 bytes a partition, the tiles that are alive together need 240000
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %a = nki.ndarray : !nki.tile<128x30000xf32, sbuf>
  %b = nki.ndarray : !nki.tile<128x30000xf32, sbuf>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: PSUM capacity: trn2 has 16384 bytes a partition, the tiles that are alive together need 18432
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %a0 = nki.ndarray : !nki.tile<128x8xf32, psum>
  %a1 = nki.ndarray : !nki.tile<128x8xf32, psum>
  %a2 = nki.ndarray : !nki.tile<128x8xf32, psum>
  %a3 = nki.ndarray : !nki.tile<128x8xf32, psum>
  %a4 = nki.ndarray : !nki.tile<128x8xf32, psum>
  %a5 = nki.ndarray : !nki.tile<128x8xf32, psum>
  %a6 = nki.ndarray : !nki.tile<128x8xf32, psum>
  %a7 = nki.ndarray : !nki.tile<128x8xf32, psum>
  %a8 = nki.ndarray : !nki.tile<128x8xf32, psum>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: start partition: 64 partitions start at 0 or 64, got 32
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %a = nki.ndarray : !nki.tile<128x4xf32, sbuf>
  %b = nki.slice %a[32 for 64, 0 for 4] : !nki.tile<128x4xf32, sbuf>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: start partition: 96 partitions start at 0, got 32
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %a = nki.ndarray : !nki.tile<128x4xf32, sbuf>
  %b = nki.slice %a[32 for 96, 0 for 4] : !nki.tile<128x4xf32, sbuf>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: start partition: 8 partitions start at 0 or 32 or 64 or 96, got 4
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %a = nki.ndarray : !nki.tile<128x4xf32, sbuf>
  %b = nki.slice %a[4 for 8, 0 for 4] : !nki.tile<128x4xf32, sbuf>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: bounds: 4 elements from 2 leave dimension 1 of
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %a = nki.ndarray : !nki.tile<128x4xf32, sbuf>
  %b = nki.slice %a[0 for 128, 2 for 4] : !nki.tile<128x4xf32, sbuf>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: the partitions of a tile on chip are sliced, not indexed
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %a = nki.ndarray : !nki.tile<128x4x4xf32, sbuf>
  %b = nki.slice %a[0, 0 for 4, 0 for 4] : !nki.tile<128x4x4xf32, sbuf>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: access pattern: .ap stands on a whole tensor, not on a view of one
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %a = nki.ndarray : !nki.tile<128x4xf32, sbuf>
  %b = nki.slice %a[0 for 64, 0 for 4] : !nki.tile<128x4xf32, sbuf>
  %c = nki.ap %b at 0 by [[4, 64], [1, 4]] : !nki.tile<64x4xf32, sbuf>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: access pattern: the first step on chip is the free size 4, got 8
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %a = nki.ndarray : !nki.tile<128x4xf32, sbuf>
  %c = nki.ap %a at 0 by [[8, 64], [1, 4]] : !nki.tile<128x4xf32, sbuf>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: access pattern: the first step on chip is the free size 2, got 4
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %a = nki.ndarray : !nki.tile<128x4xbf16, sbuf>
  %c = nki.ap %a at 0 by [[4, 64], [1, 2]] : !nki.tile<128x4xbf16, sbuf> as i32
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: access pattern: !nki.tile<128x3xbf16, sbuf> is not whole elements of i32 on chip
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %a = nki.ndarray : !nki.tile<128x3xbf16, sbuf>
  %c = nki.ap %a at 0 by [[1, 64], [1, 1]] : !nki.tile<128x3xbf16, sbuf> as i32
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: access pattern: !nki.tile<4x128x64xf32, shared_hbm> is not whole elements of i32 on chip
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %c = nki.ap %q at 0 by [[64, 512], [1, 64]] : !nki.tile<4x128x64xf32, shared_hbm> as i32
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: engine: tensor_tensor on GpSimd is of integers, dst has f32
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %a = nki.ndarray : !nki.tile<128x4xf32, sbuf>
  nki.tensor_tensor "multiply" %a, %a, %a on "gpsimd" : !nki.tile<128x4xf32, sbuf>, !nki.tile<128x4xf32, sbuf>, !nki.tile<128x4xf32, sbuf>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: engine: tensor_tensor has gpsimd or none, got 'scalar'
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %a = nki.ndarray : !nki.tile<128x4xi32, sbuf>
  nki.tensor_tensor "multiply" %a, %a, %a on "scalar" : !nki.tile<128x4xi32, sbuf>, !nki.tile<128x4xi32, sbuf>, !nki.tile<128x4xi32, sbuf>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: memory: dst of tensor_tensor on GpSimd is in sbuf, got psum
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %a = nki.ndarray : !nki.tile<128x4xi32, psum>
  %b = nki.ndarray : !nki.tile<128x4xi32, sbuf>
  nki.tensor_tensor "multiply" %a, %b, %b on "gpsimd" : !nki.tile<128x4xi32, psum>, !nki.tile<128x4xi32, sbuf>, !nki.tile<128x4xi32, sbuf>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: operator: op on GpSimd is one of add, multiply, got 'subtract'
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %a = nki.ndarray : !nki.tile<128x4xui16, sbuf>
  nki.tensor_tensor "subtract" %a, %a, %a on "gpsimd" : !nki.tile<128x4xui16, sbuf>, !nki.tile<128x4xui16, sbuf>, !nki.tile<128x4xui16, sbuf>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: engine: tensor_tensor on GpSimd is of 32-bit integers alone, or of narrower ones
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %a = nki.ndarray : !nki.tile<128x4xi32, sbuf>
  %b = nki.ndarray : !nki.tile<128x4xui8, sbuf>
  nki.tensor_tensor "multiply" %a, %a, %b on "gpsimd" : !nki.tile<128x4xi32, sbuf>, !nki.tile<128x4xi32, sbuf>, !nki.tile<128x4xui8, sbuf>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: reduction: negate is for arithmetic operators, got logical_or
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %a = nki.ndarray : !nki.tile<128x4xf32, sbuf>
  %b = nki.ndarray : !nki.tile<128x1xf32, sbuf>
  nki.tensor_reduce "logical_or" %b, %a axes 1 negate : !nki.tile<128x1xf32, sbuf>, !nki.tile<128x4xf32, sbuf>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: target: tensor_tensor of 32-bit integers on GpSimd needs NeuronCore-v3, trn1 has v2
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn1 cores 1 {
  %a = nki.ndarray : !nki.tile<128x4xi32, sbuf>
  nki.tensor_tensor "multiply" %a, %a, %a on "gpsimd" : !nki.tile<128x4xi32, sbuf>, !nki.tile<128x4xi32, sbuf>, !nki.tile<128x4xi32, sbuf>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: bounds: the last element is 32768, but
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %c = nki.ap %q at 1 by [[64, 512], [1, 64]] : !nki.tile<4x128x64xf32, shared_hbm>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: indirect access: rows is a tile of 128 indices, got !nki.tile<64x1xi32, sbuf>
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %r = nki.ndarray : !nki.tile<64x1xi32, sbuf>
  %c = nki.ap %q at 0 by [[64, 128], [1, 64]] : !nki.tile<4x128x64xf32, shared_hbm> rows %r : !nki.tile<64x1xi32, sbuf>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: target: an access by rows needs NeuronCore-v3, trn1 has v2
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn1 cores 1 {
  %r = nki.ndarray : !nki.tile<128x1xi32, sbuf>
  %c = nki.ap %q at 0 by [[64, 128], [1, 64]] : !nki.tile<4x128x64xf32, shared_hbm> rows %r : !nki.tile<128x1xi32, sbuf>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: memory: whole tensors in HBM are reshaped
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %a = nki.ndarray : !nki.tile<128x4xf32, sbuf>
  %b = nki.reshape %a : !nki.tile<128x4xf32, sbuf> -> !nki.tile<64x8xf32, sbuf>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: memory: src of dma_copy is in sbuf or shared_hbm or private_hbm, got psum
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %a = nki.ndarray : !nki.tile<128x64xf32, sbuf>
  %h = nki.ndarray : !nki.tile<128x64xbf16, sbuf>
  %p = nki.ndarray : !nki.tile<128x64xf32, psum>
  nki.dma_copy %a, %p : !nki.tile<128x64xf32, sbuf>, !nki.tile<128x64xf32, psum>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: DMA type: descriptors made by hardware do not cast, got bf16 to f32
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %a = nki.ndarray : !nki.tile<128x64xf32, sbuf>
  %h = nki.ndarray : !nki.tile<128x64xbf16, sbuf>
  %p = nki.ndarray : !nki.tile<128x64xf32, psum>
  nki.dma_copy %a, %h : !nki.tile<128x64xf32, sbuf>, !nki.tile<128x64xbf16, sbuf>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: DMA size: dst has 8192 elements, src has 32768
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %a = nki.ndarray : !nki.tile<128x64xf32, sbuf>
  %h = nki.ndarray : !nki.tile<128x64xbf16, sbuf>
  %p = nki.ndarray : !nki.tile<128x64xf32, psum>
  nki.dma_copy %a, %q : !nki.tile<128x64xf32, sbuf>, !nki.tile<4x128x64xf32, shared_hbm>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: indirect access: oob_mode is for an access by rows
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %a = nki.ndarray : !nki.tile<128x64xf32, sbuf>
  %h = nki.ndarray : !nki.tile<128x64xbf16, sbuf>
  %p = nki.ndarray : !nki.tile<128x64xf32, psum>
  %b = nki.ndarray : !nki.tile<128x64xf32, sbuf>
  nki.dma_copy %a, %b oob "skip" : !nki.tile<128x64xf32, sbuf>, !nki.tile<128x64xf32, sbuf>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: DMA transpose: elements have 2 bytes, got f32
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %a = nki.ndarray : !nki.tile<128x64xf32, sbuf>
  %b = nki.ndarray : !nki.tile<64x128xf32, sbuf>
  nki.dma_transpose %b, %a : !nki.tile<64x128xf32, sbuf>, !nki.tile<128x64xf32, sbuf>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: contraction: stationary has 128 partitions, moving has 64
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %s = nki.ndarray : !nki.tile<128x64xf32, sbuf>
  %m = nki.ndarray : !nki.tile<128x256xf32, sbuf>
  %d = nki.ndarray : !nki.tile<64x256xf32, psum>
  %h = nki.ndarray : !nki.tile<128x256xbf16, sbuf>
  %n = nki.ndarray : !nki.tile<64x256xf32, sbuf>
  %wide = nki.ndarray : !nki.tile<128x130xf32, sbuf>
  %dh = nki.ndarray : !nki.tile<64x256xbf16, psum>
  %long = nki.ndarray : !nki.tile<128x600xf32, sbuf>
  %dl = nki.ndarray : !nki.tile<64x600xf32, psum>
  %no = arith.constant false
  nki.nc_matmul %d, %s, %n accumulate %no : !nki.tile<64x256xf32, psum>, !nki.tile<128x64xf32, sbuf>, !nki.tile<64x256xf32, sbuf>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: stationary size: at most 128, got 130
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %s = nki.ndarray : !nki.tile<128x64xf32, sbuf>
  %m = nki.ndarray : !nki.tile<128x256xf32, sbuf>
  %d = nki.ndarray : !nki.tile<64x256xf32, psum>
  %h = nki.ndarray : !nki.tile<128x256xbf16, sbuf>
  %n = nki.ndarray : !nki.tile<64x256xf32, sbuf>
  %wide = nki.ndarray : !nki.tile<128x130xf32, sbuf>
  %dh = nki.ndarray : !nki.tile<64x256xbf16, psum>
  %long = nki.ndarray : !nki.tile<128x600xf32, sbuf>
  %dl = nki.ndarray : !nki.tile<64x600xf32, psum>
  %no = arith.constant false
  nki.nc_matmul %d, %wide, %m accumulate %no : !nki.tile<64x256xf32, psum>, !nki.tile<128x130xf32, sbuf>, !nki.tile<128x256xf32, sbuf>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: moving size: at most 512, got 600
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %s = nki.ndarray : !nki.tile<128x64xf32, sbuf>
  %m = nki.ndarray : !nki.tile<128x256xf32, sbuf>
  %d = nki.ndarray : !nki.tile<64x256xf32, psum>
  %h = nki.ndarray : !nki.tile<128x256xbf16, sbuf>
  %n = nki.ndarray : !nki.tile<64x256xf32, sbuf>
  %wide = nki.ndarray : !nki.tile<128x130xf32, sbuf>
  %dh = nki.ndarray : !nki.tile<64x256xbf16, psum>
  %long = nki.ndarray : !nki.tile<128x600xf32, sbuf>
  %dl = nki.ndarray : !nki.tile<64x600xf32, psum>
  %no = arith.constant false
  nki.nc_matmul %dl, %s, %long accumulate %no : !nki.tile<64x600xf32, psum>, !nki.tile<128x64xf32, sbuf>, !nki.tile<128x600xf32, sbuf>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: memory: dst of nc_matmul is in psum, got sbuf
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %s = nki.ndarray : !nki.tile<128x64xf32, sbuf>
  %m = nki.ndarray : !nki.tile<128x256xf32, sbuf>
  %d = nki.ndarray : !nki.tile<64x256xf32, psum>
  %h = nki.ndarray : !nki.tile<128x256xbf16, sbuf>
  %n = nki.ndarray : !nki.tile<64x256xf32, sbuf>
  %wide = nki.ndarray : !nki.tile<128x130xf32, sbuf>
  %dh = nki.ndarray : !nki.tile<64x256xbf16, psum>
  %long = nki.ndarray : !nki.tile<128x600xf32, sbuf>
  %dl = nki.ndarray : !nki.tile<64x600xf32, psum>
  %no = arith.constant false
  nki.nc_matmul %n, %s, %m accumulate %no : !nki.tile<64x256xf32, sbuf>, !nki.tile<128x64xf32, sbuf>, !nki.tile<128x256xf32, sbuf>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: memory: moving of nc_matmul is in sbuf, got psum
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %s = nki.ndarray : !nki.tile<128x64xf32, sbuf>
  %m = nki.ndarray : !nki.tile<128x256xf32, sbuf>
  %d = nki.ndarray : !nki.tile<64x256xf32, psum>
  %h = nki.ndarray : !nki.tile<128x256xbf16, sbuf>
  %n = nki.ndarray : !nki.tile<64x256xf32, sbuf>
  %wide = nki.ndarray : !nki.tile<128x130xf32, sbuf>
  %dh = nki.ndarray : !nki.tile<64x256xbf16, psum>
  %long = nki.ndarray : !nki.tile<128x600xf32, sbuf>
  %dl = nki.ndarray : !nki.tile<64x600xf32, psum>
  %no = arith.constant false
  nki.nc_matmul %d, %s, %d accumulate %no : !nki.tile<64x256xf32, psum>, !nki.tile<128x64xf32, sbuf>, !nki.tile<64x256xf32, psum>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: matmul shape: dst is [64, 256], got [64, 600]
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %s = nki.ndarray : !nki.tile<128x64xf32, sbuf>
  %m = nki.ndarray : !nki.tile<128x256xf32, sbuf>
  %d = nki.ndarray : !nki.tile<64x256xf32, psum>
  %h = nki.ndarray : !nki.tile<128x256xbf16, sbuf>
  %n = nki.ndarray : !nki.tile<64x256xf32, sbuf>
  %wide = nki.ndarray : !nki.tile<128x130xf32, sbuf>
  %dh = nki.ndarray : !nki.tile<64x256xbf16, psum>
  %long = nki.ndarray : !nki.tile<128x600xf32, sbuf>
  %dl = nki.ndarray : !nki.tile<64x600xf32, psum>
  %no = arith.constant false
  nki.nc_matmul %dl, %s, %m accumulate %no : !nki.tile<64x600xf32, psum>, !nki.tile<128x64xf32, sbuf>, !nki.tile<128x256xf32, sbuf>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: matmul result: dst is f32, got bf16
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %s = nki.ndarray : !nki.tile<128x64xf32, sbuf>
  %m = nki.ndarray : !nki.tile<128x256xf32, sbuf>
  %d = nki.ndarray : !nki.tile<64x256xf32, psum>
  %h = nki.ndarray : !nki.tile<128x256xbf16, sbuf>
  %n = nki.ndarray : !nki.tile<64x256xf32, sbuf>
  %wide = nki.ndarray : !nki.tile<128x130xf32, sbuf>
  %dh = nki.ndarray : !nki.tile<64x256xbf16, psum>
  %long = nki.ndarray : !nki.tile<128x600xf32, sbuf>
  %dl = nki.ndarray : !nki.tile<64x600xf32, psum>
  %no = arith.constant false
  nki.nc_matmul %dh, %s, %m accumulate %no : !nki.tile<64x256xbf16, psum>, !nki.tile<128x64xf32, sbuf>, !nki.tile<128x256xf32, sbuf>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: matmul operands: f32 does not mix with others, got f32 and bf16
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %s = nki.ndarray : !nki.tile<128x64xf32, sbuf>
  %m = nki.ndarray : !nki.tile<128x256xf32, sbuf>
  %d = nki.ndarray : !nki.tile<64x256xf32, psum>
  %h = nki.ndarray : !nki.tile<128x256xbf16, sbuf>
  %n = nki.ndarray : !nki.tile<64x256xf32, sbuf>
  %wide = nki.ndarray : !nki.tile<128x130xf32, sbuf>
  %dh = nki.ndarray : !nki.tile<64x256xbf16, psum>
  %long = nki.ndarray : !nki.tile<128x600xf32, sbuf>
  %dl = nki.ndarray : !nki.tile<64x600xf32, psum>
  %no = arith.constant false
  nki.nc_matmul %d, %s, %h accumulate %no : !nki.tile<64x256xf32, psum>, !nki.tile<128x64xf32, sbuf>, !nki.tile<128x256xbf16, sbuf>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: target: nc_matmul of f8E4M3FN needs NeuronCore-v4
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %d = nki.ndarray : !nki.tile<64x256xf32, psum>
  %e = nki.ndarray : !nki.tile<128x64xf8E4M3FN, sbuf>
  %f = nki.ndarray : !nki.tile<128x256xf8E4M3FN, sbuf>
  %no = arith.constant false
  nki.nc_matmul %d, %e, %f accumulate %no : !nki.tile<64x256xf32, psum>, !nki.tile<128x64xf8E4M3FN, sbuf>, !nki.tile<128x256xf8E4M3FN, sbuf>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: matmul operands: floats, got i32
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %d = nki.ndarray : !nki.tile<64x256xf32, psum>
  %e = nki.ndarray : !nki.tile<128x64xi32, sbuf>
  %f = nki.ndarray : !nki.tile<128x256xi32, sbuf>
  %no = arith.constant false
  nki.nc_matmul %d, %e, %f accumulate %no : !nki.tile<64x256xf32, psum>, !nki.tile<128x64xi32, sbuf>, !nki.tile<128x256xi32, sbuf>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: transpose type: dst has f32, as data, got bf16
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %a = nki.ndarray : !nki.tile<128x64xf32, sbuf>
  %b = nki.ndarray : !nki.tile<64x128xbf16, psum>
  nki.nc_transpose %b, %a : !nki.tile<64x128xbf16, psum>, !nki.tile<128x64xf32, sbuf>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: transpose size: a free size of at most 128, got 130
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %a = nki.ndarray : !nki.tile<64x130xf32, sbuf>
  %b = nki.ndarray : !nki.tile<128x64xf32, psum>
  nki.nc_transpose %b, %a : !nki.tile<128x64xf32, psum>, !nki.tile<64x130xf32, sbuf>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: transpose shape: dst is [64, 128], got [128, 64]
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %a = nki.ndarray : !nki.tile<128x64xf32, sbuf>
  %b = nki.ndarray : !nki.tile<128x64xf32, psum>
  nki.nc_transpose %b, %a : !nki.tile<128x64xf32, psum>, !nki.tile<128x64xf32, sbuf>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: equal partitions: dst has 128 partitions, data2 has 64
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %a = nki.ndarray : !nki.tile<128x64xf32, sbuf>
  %b = nki.ndarray : !nki.tile<64x64xf32, sbuf>
  %c = nki.ndarray : !nki.tile<128x32xf32, sbuf>
  %p = nki.ndarray : !nki.tile<128x64xf32, psum>
  %v = nki.ndarray : !nki.tile<128x1xf32, sbuf>
  %vh = nki.ndarray : !nki.tile<128x1xbf16, sbuf>
  %u = nki.ndarray : !nki.tile<128x64xui8, sbuf>
  %i = nki.ndarray : !nki.tile<128x64xi32, sbuf>
  nki.tensor_tensor "add" %a, %a, %b : !nki.tile<128x64xf32, sbuf>, !nki.tile<128x64xf32, sbuf>, !nki.tile<64x64xf32, sbuf>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: equal free size: dst has 64 elements a partition, data2 has 32
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %a = nki.ndarray : !nki.tile<128x64xf32, sbuf>
  %b = nki.ndarray : !nki.tile<64x64xf32, sbuf>
  %c = nki.ndarray : !nki.tile<128x32xf32, sbuf>
  %p = nki.ndarray : !nki.tile<128x64xf32, psum>
  %v = nki.ndarray : !nki.tile<128x1xf32, sbuf>
  %vh = nki.ndarray : !nki.tile<128x1xbf16, sbuf>
  %u = nki.ndarray : !nki.tile<128x64xui8, sbuf>
  %i = nki.ndarray : !nki.tile<128x64xi32, sbuf>
  nki.tensor_tensor "add" %a, %a, %c : !nki.tile<128x64xf32, sbuf>, !nki.tile<128x64xf32, sbuf>, !nki.tile<128x32xf32, sbuf>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: PSUM operands: tensor_tensor does not read both inputs from PSUM
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %a = nki.ndarray : !nki.tile<128x64xf32, sbuf>
  %b = nki.ndarray : !nki.tile<64x64xf32, sbuf>
  %c = nki.ndarray : !nki.tile<128x32xf32, sbuf>
  %p = nki.ndarray : !nki.tile<128x64xf32, psum>
  %v = nki.ndarray : !nki.tile<128x1xf32, sbuf>
  %vh = nki.ndarray : !nki.tile<128x1xbf16, sbuf>
  %u = nki.ndarray : !nki.tile<128x64xui8, sbuf>
  %i = nki.ndarray : !nki.tile<128x64xi32, sbuf>
  nki.tensor_tensor "add" %a, %p, %p : !nki.tile<128x64xf32, sbuf>, !nki.tile<128x64xf32, psum>, !nki.tile<128x64xf32, psum>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: operator: op is one of add, subtract
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %a = nki.ndarray : !nki.tile<128x64xf32, sbuf>
  %b = nki.ndarray : !nki.tile<64x64xf32, sbuf>
  %c = nki.ndarray : !nki.tile<128x32xf32, sbuf>
  %p = nki.ndarray : !nki.tile<128x64xf32, psum>
  %v = nki.ndarray : !nki.tile<128x1xf32, sbuf>
  %vh = nki.ndarray : !nki.tile<128x1xbf16, sbuf>
  %u = nki.ndarray : !nki.tile<128x64xui8, sbuf>
  %i = nki.ndarray : !nki.tile<128x64xi32, sbuf>
  nki.tensor_tensor "mod" %a, %a, %a : !nki.tile<128x64xf32, sbuf>, !nki.tile<128x64xf32, sbuf>, !nki.tile<128x64xf32, sbuf>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: bit operators: bitwise_and is on integers, dst has f32
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %a = nki.ndarray : !nki.tile<128x64xf32, sbuf>
  %b = nki.ndarray : !nki.tile<64x64xf32, sbuf>
  %c = nki.ndarray : !nki.tile<128x32xf32, sbuf>
  %p = nki.ndarray : !nki.tile<128x64xf32, psum>
  %v = nki.ndarray : !nki.tile<128x1xf32, sbuf>
  %vh = nki.ndarray : !nki.tile<128x1xbf16, sbuf>
  %u = nki.ndarray : !nki.tile<128x64xui8, sbuf>
  %i = nki.ndarray : !nki.tile<128x64xi32, sbuf>
  nki.tensor_tensor "bitwise_and" %a, %i, %i : !nki.tile<128x64xf32, sbuf>, !nki.tile<128x64xi32, sbuf>, !nki.tile<128x64xi32, sbuf>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: vector operand: operand0 is f32, got bf16
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %a = nki.ndarray : !nki.tile<128x64xf32, sbuf>
  %b = nki.ndarray : !nki.tile<64x64xf32, sbuf>
  %c = nki.ndarray : !nki.tile<128x32xf32, sbuf>
  %p = nki.ndarray : !nki.tile<128x64xf32, psum>
  %v = nki.ndarray : !nki.tile<128x1xf32, sbuf>
  %vh = nki.ndarray : !nki.tile<128x1xbf16, sbuf>
  %u = nki.ndarray : !nki.tile<128x64xui8, sbuf>
  %i = nki.ndarray : !nki.tile<128x64xi32, sbuf>
  nki.tensor_scalar %a, %a "add" tile %vh : !nki.tile<128x1xbf16, sbuf> : !nki.tile<128x64xf32, sbuf>, !nki.tile<128x64xf32, sbuf>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: vector operand: operand0 has shape [128, 1] on chip
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %a = nki.ndarray : !nki.tile<128x64xf32, sbuf>
  %b = nki.ndarray : !nki.tile<64x64xf32, sbuf>
  %c = nki.ndarray : !nki.tile<128x32xf32, sbuf>
  %p = nki.ndarray : !nki.tile<128x64xf32, psum>
  %v = nki.ndarray : !nki.tile<128x1xf32, sbuf>
  %vh = nki.ndarray : !nki.tile<128x1xbf16, sbuf>
  %u = nki.ndarray : !nki.tile<128x64xui8, sbuf>
  %i = nki.ndarray : !nki.tile<128x64xi32, sbuf>
  nki.tensor_scalar %a, %a "add" tile %c : !nki.tile<128x32xf32, sbuf> : !nki.tile<128x64xf32, sbuf>, !nki.tile<128x64xf32, sbuf>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: operand0 of tensor_scalar is a tile or a number, one of them
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %a = nki.ndarray : !nki.tile<128x64xf32, sbuf>
  %b = nki.ndarray : !nki.tile<64x64xf32, sbuf>
  %c = nki.ndarray : !nki.tile<128x32xf32, sbuf>
  %p = nki.ndarray : !nki.tile<128x64xf32, psum>
  %v = nki.ndarray : !nki.tile<128x1xf32, sbuf>
  %vh = nki.ndarray : !nki.tile<128x1xbf16, sbuf>
  %u = nki.ndarray : !nki.tile<128x64xui8, sbuf>
  %i = nki.ndarray : !nki.tile<128x64xi32, sbuf>
  nki.tensor_scalar %a, %a "add" : !nki.tile<128x64xf32, sbuf>, !nki.tile<128x64xf32, sbuf>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: PSUM operands: scalar_tensor_tensor does not read both inputs from PSUM
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %a = nki.ndarray : !nki.tile<128x64xf32, sbuf>
  %b = nki.ndarray : !nki.tile<64x64xf32, sbuf>
  %c = nki.ndarray : !nki.tile<128x32xf32, sbuf>
  %p = nki.ndarray : !nki.tile<128x64xf32, psum>
  %v = nki.ndarray : !nki.tile<128x1xf32, sbuf>
  %vh = nki.ndarray : !nki.tile<128x1xbf16, sbuf>
  %u = nki.ndarray : !nki.tile<128x64xui8, sbuf>
  %i = nki.ndarray : !nki.tile<128x64xi32, sbuf>
  nki.scalar_tensor_tensor %a, %p "multiply" number 1.0 : f32 then "add" %p : !nki.tile<128x64xf32, sbuf>, !nki.tile<128x64xf32, psum>, !nki.tile<128x64xf32, psum>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: vector operand: bias has shape [128, 1] on chip
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %a = nki.ndarray : !nki.tile<128x64xf32, sbuf>
  %b = nki.ndarray : !nki.tile<64x64xf32, sbuf>
  %c = nki.ndarray : !nki.tile<128x32xf32, sbuf>
  %p = nki.ndarray : !nki.tile<128x64xf32, psum>
  %v = nki.ndarray : !nki.tile<128x1xf32, sbuf>
  %vh = nki.ndarray : !nki.tile<128x1xbf16, sbuf>
  %u = nki.ndarray : !nki.tile<128x64xui8, sbuf>
  %i = nki.ndarray : !nki.tile<128x64xi32, sbuf>
  nki.activation "exp" %a, %a bias %c : !nki.tile<128x32xf32, sbuf> : !nki.tile<128x64xf32, sbuf>, !nki.tile<128x64xf32, sbuf>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: operator: op is one of copy, exp
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %a = nki.ndarray : !nki.tile<128x64xf32, sbuf>
  %b = nki.ndarray : !nki.tile<64x64xf32, sbuf>
  %c = nki.ndarray : !nki.tile<128x32xf32, sbuf>
  %p = nki.ndarray : !nki.tile<128x64xf32, psum>
  %v = nki.ndarray : !nki.tile<128x1xf32, sbuf>
  %vh = nki.ndarray : !nki.tile<128x1xbf16, sbuf>
  %u = nki.ndarray : !nki.tile<128x64xui8, sbuf>
  %i = nki.ndarray : !nki.tile<128x64xi32, sbuf>
  nki.activation "cosh" %a, %a : !nki.tile<128x64xf32, sbuf>, !nki.tile<128x64xf32, sbuf>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: reduction: over 1 to 1 trailing free dimensions of
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %a = nki.ndarray : !nki.tile<128x64xf32, sbuf>
  %b = nki.ndarray : !nki.tile<64x64xf32, sbuf>
  %c = nki.ndarray : !nki.tile<128x32xf32, sbuf>
  %p = nki.ndarray : !nki.tile<128x64xf32, psum>
  %v = nki.ndarray : !nki.tile<128x1xf32, sbuf>
  %vh = nki.ndarray : !nki.tile<128x1xbf16, sbuf>
  %u = nki.ndarray : !nki.tile<128x64xui8, sbuf>
  %i = nki.ndarray : !nki.tile<128x64xi32, sbuf>
  nki.tensor_reduce "maximum" %v, %a axes 2 : !nki.tile<128x1xf32, sbuf>, !nki.tile<128x64xf32, sbuf>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: reduction: dst is [128, 1], got [128, 32]
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %a = nki.ndarray : !nki.tile<128x64xf32, sbuf>
  %b = nki.ndarray : !nki.tile<64x64xf32, sbuf>
  %c = nki.ndarray : !nki.tile<128x32xf32, sbuf>
  %p = nki.ndarray : !nki.tile<128x64xf32, psum>
  %v = nki.ndarray : !nki.tile<128x1xf32, sbuf>
  %vh = nki.ndarray : !nki.tile<128x1xbf16, sbuf>
  %u = nki.ndarray : !nki.tile<128x64xui8, sbuf>
  %i = nki.ndarray : !nki.tile<128x64xi32, sbuf>
  nki.tensor_reduce "maximum" %c, %a axes 1 : !nki.tile<128x32xf32, sbuf>, !nki.tile<128x64xf32, sbuf>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: memory: dst of iota is in sbuf, got psum
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %a = nki.ndarray : !nki.tile<128x64xf32, sbuf>
  %b = nki.ndarray : !nki.tile<64x64xf32, sbuf>
  %c = nki.ndarray : !nki.tile<128x32xf32, sbuf>
  %p = nki.ndarray : !nki.tile<128x64xf32, psum>
  %v = nki.ndarray : !nki.tile<128x1xf32, sbuf>
  %vh = nki.ndarray : !nki.tile<128x1xbf16, sbuf>
  %u = nki.ndarray : !nki.tile<128x64xui8, sbuf>
  %i = nki.ndarray : !nki.tile<128x64xi32, sbuf>
  nki.iota %p offset 0 channel 0 steps [1] nums [64] : !nki.tile<128x64xf32, psum>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: pattern: 32 elements, but dst has 64 a partition
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %a = nki.ndarray : !nki.tile<128x64xf32, sbuf>
  %b = nki.ndarray : !nki.tile<64x64xf32, sbuf>
  %c = nki.ndarray : !nki.tile<128x32xf32, sbuf>
  %p = nki.ndarray : !nki.tile<128x64xf32, psum>
  %v = nki.ndarray : !nki.tile<128x1xf32, sbuf>
  %vh = nki.ndarray : !nki.tile<128x1xbf16, sbuf>
  %u = nki.ndarray : !nki.tile<128x64xui8, sbuf>
  %i = nki.ndarray : !nki.tile<128x64xi32, sbuf>
  nki.iota %a offset 0 channel 0 steps [1] nums [32] : !nki.tile<128x64xf32, sbuf>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: pattern: 1 to 4 dimensions, got 5
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %a = nki.ndarray : !nki.tile<128x64xf32, sbuf>
  %b = nki.ndarray : !nki.tile<64x64xf32, sbuf>
  %c = nki.ndarray : !nki.tile<128x32xf32, sbuf>
  %p = nki.ndarray : !nki.tile<128x64xf32, psum>
  %v = nki.ndarray : !nki.tile<128x1xf32, sbuf>
  %vh = nki.ndarray : !nki.tile<128x1xbf16, sbuf>
  %u = nki.ndarray : !nki.tile<128x64xui8, sbuf>
  %i = nki.ndarray : !nki.tile<128x64xi32, sbuf>
  nki.iota %a offset 0 channel 0 steps [1, 1, 1, 1, 1] nums [64, 1, 1, 1, 1] : !nki.tile<128x64xf32, sbuf>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: memory: on_true of affine_select is in sbuf, got psum
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %a = nki.ndarray : !nki.tile<128x64xf32, sbuf>
  %b = nki.ndarray : !nki.tile<64x64xf32, sbuf>
  %c = nki.ndarray : !nki.tile<128x32xf32, sbuf>
  %p = nki.ndarray : !nki.tile<128x64xf32, psum>
  %v = nki.ndarray : !nki.tile<128x1xf32, sbuf>
  %vh = nki.ndarray : !nki.tile<128x1xbf16, sbuf>
  %u = nki.ndarray : !nki.tile<128x64xui8, sbuf>
  %i = nki.ndarray : !nki.tile<128x64xi32, sbuf>
  nki.affine_select "less" %a, %p else 0.0 : f32 offset 0 channel 0 steps [1] nums [64] : !nki.tile<128x64xf32, sbuf>, !nki.tile<128x64xf32, psum>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: predicate type: an integer of 8 or 16 bits, got i32
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %a = nki.ndarray : !nki.tile<128x64xf32, sbuf>
  %b = nki.ndarray : !nki.tile<64x64xf32, sbuf>
  %c = nki.ndarray : !nki.tile<128x32xf32, sbuf>
  %p = nki.ndarray : !nki.tile<128x64xf32, psum>
  %v = nki.ndarray : !nki.tile<128x1xf32, sbuf>
  %vh = nki.ndarray : !nki.tile<128x1xbf16, sbuf>
  %u = nki.ndarray : !nki.tile<128x64xui8, sbuf>
  %i = nki.ndarray : !nki.tile<128x64xi32, sbuf>
  nki.select_reduce %a where %i, %a else 0.0 : f32 : !nki.tile<128x64xf32, sbuf>, !nki.tile<128x64xi32, sbuf>, !nki.tile<128x64xf32, sbuf>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: predicate type: the predicate is ui8, ui16 or ui32, got i32
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %a = nki.ndarray : !nki.tile<128x64xf32, sbuf>
  %b = nki.ndarray : !nki.tile<64x64xf32, sbuf>
  %c = nki.ndarray : !nki.tile<128x32xf32, sbuf>
  %p = nki.ndarray : !nki.tile<128x64xf32, psum>
  %v = nki.ndarray : !nki.tile<128x1xf32, sbuf>
  %vh = nki.ndarray : !nki.tile<128x1xbf16, sbuf>
  %u = nki.ndarray : !nki.tile<128x64xui8, sbuf>
  %i = nki.ndarray : !nki.tile<128x64xi32, sbuf>
  nki.tensor_copy_predicated %a where %i value 0.0 : f32 : !nki.tile<128x64xf32, sbuf>, !nki.tile<128x64xi32, sbuf>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: copy type: src and dst have one type, got ui8 and f32
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %a = nki.ndarray : !nki.tile<128x64xf32, sbuf>
  %b = nki.ndarray : !nki.tile<64x64xf32, sbuf>
  %c = nki.ndarray : !nki.tile<128x32xf32, sbuf>
  %p = nki.ndarray : !nki.tile<128x64xf32, psum>
  %v = nki.ndarray : !nki.tile<128x1xf32, sbuf>
  %vh = nki.ndarray : !nki.tile<128x1xbf16, sbuf>
  %u = nki.ndarray : !nki.tile<128x64xui8, sbuf>
  %i = nki.ndarray : !nki.tile<128x64xi32, sbuf>
  nki.tensor_copy_predicated %a where %u from %u : !nki.tile<128x64xui8, sbuf> : !nki.tile<128x64xf32, sbuf>, !nki.tile<128x64xui8, sbuf>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: memset value: ui8 has no 0.5
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %a = nki.ndarray : !nki.tile<128x64xf32, sbuf>
  %b = nki.ndarray : !nki.tile<64x64xf32, sbuf>
  %c = nki.ndarray : !nki.tile<128x32xf32, sbuf>
  %p = nki.ndarray : !nki.tile<128x64xf32, psum>
  %v = nki.ndarray : !nki.tile<128x1xf32, sbuf>
  %vh = nki.ndarray : !nki.tile<128x1xbf16, sbuf>
  %u = nki.ndarray : !nki.tile<128x64xui8, sbuf>
  %i = nki.ndarray : !nki.tile<128x64xi32, sbuf>
  nki.memset %u, 0.5 : f32 : !nki.tile<128x64xui8, sbuf>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: range_select: on_false_value is -3.4028234663852886e+38, got 0.0
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %a = nki.ndarray : !nki.tile<128x64xf32, sbuf>
  %b = nki.ndarray : !nki.tile<64x64xf32, sbuf>
  %c = nki.ndarray : !nki.tile<128x32xf32, sbuf>
  %p = nki.ndarray : !nki.tile<128x64xf32, psum>
  %v = nki.ndarray : !nki.tile<128x1xf32, sbuf>
  %vh = nki.ndarray : !nki.tile<128x1xbf16, sbuf>
  %u = nki.ndarray : !nki.tile<128x64xui8, sbuf>
  %i = nki.ndarray : !nki.tile<128x64xi32, sbuf>
  nki.range_select %a, %a from 0 "less" %v and "less" %v else 0.0 : f32 max %v : !nki.tile<128x64xf32, sbuf>, !nki.tile<128x64xf32, sbuf>, !nki.tile<128x1xf32, sbuf>, !nki.tile<128x1xf32, sbuf>, !nki.tile<128x1xf32, sbuf>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: target: range_select needs NeuronCore-v3, trn1 has v2
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn1 cores 1 {
  %a = nki.ndarray : !nki.tile<128x64xf32, sbuf>
  %b = nki.ndarray : !nki.tile<64x64xf32, sbuf>
  %c = nki.ndarray : !nki.tile<128x32xf32, sbuf>
  %p = nki.ndarray : !nki.tile<128x64xf32, psum>
  %v = nki.ndarray : !nki.tile<128x1xf32, sbuf>
  %vh = nki.ndarray : !nki.tile<128x1xbf16, sbuf>
  %u = nki.ndarray : !nki.tile<128x64xui8, sbuf>
  %i = nki.ndarray : !nki.tile<128x64xi32, sbuf>
  nki.range_select %a, %a from 0 "less" %v and "less" %v else -3.40282347e+38 : f32 max %v : !nki.tile<128x64xf32, sbuf>, !nki.tile<128x64xf32, sbuf>, !nki.tile<128x1xf32, sbuf>, !nki.tile<128x1xf32, sbuf>, !nki.tile<128x1xf32, sbuf>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: target: core_barrier needs NeuronCore-v3, trn1 has v2
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn1 cores 1 {
  nki.core_barrier %q : !nki.tile<4x128x64xf32, shared_hbm>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: memory: data of core_barrier is in shared_hbm, got private_hbm
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %s = nki.ndarray : !nki.tile<8xf32, private_hbm>
  nki.core_barrier %s : !nki.tile<8xf32, private_hbm>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: memory: a result of a kernel is in shared_hbm, got sbuf
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %a = nki.ndarray : !nki.tile<128x64xf32, sbuf>
  nki.return %a : !nki.tile<128x64xf32, sbuf>
}

// -----

// CHECK: target is one of trn1, trn2, trn3, got 'trn9'
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn9 cores 1 {
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: a kernel runs on 1 or 2 logical cores, got 3
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 3 {
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: the step of nki.for is positive, got 0
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %c0 = arith.constant 0 : index
  nki.for %i = %c0 to %c0 step 0 {
  }
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: an argument of a kernel is a tile in HBM, got !nki.tile<128x64xf32, sbuf>
nki.kernel @k(%q: !nki.tile<128x64xf32, sbuf>) target trn2 cores 1 {
  nki.return
}

// -----

// CHECK: @missing is not an nki.kernel of this module
func.func @main(%q: tensor<4xf32>) {
  nki.call @missing(%q) : (tensor<4xf32>) -> ()
  func.return
}

// -----

// CHECK: indirect access: row is [1, 1], got !nki.tile<4x1xi32, sbuf>
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %r = nki.ndarray : !nki.tile<4x1xi32, sbuf>
  %c = nki.ap %q at 0 by [[64, 128], [1, 64]] : !nki.tile<4x128x64xf32, shared_hbm> row %r : !nki.tile<4x1xi32, sbuf>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: indirect access: rows and row exclude each other
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %r = nki.ndarray : !nki.tile<128x1xi32, sbuf>
  %s = nki.ndarray : !nki.tile<1x1xi32, sbuf>
  %c = nki.ap %q at 0 by [[8192, 128], [1, 64]] : !nki.tile<4x128x64xf32, shared_hbm> rows %r : !nki.tile<128x1xi32, sbuf> row %s : !nki.tile<1x1xi32, sbuf>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: indirect access: rows is of 32-bit integers, got f32
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %r = nki.ndarray : !nki.tile<128x1xf32, sbuf>
  %c = nki.ap %q at 0 by [[8192, 128], [1, 64]] : !nki.tile<4x128x64xf32, shared_hbm> rows %r : !nki.tile<128x1xf32, sbuf>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: indirect access: rows is a tile in SBUF, and the tensor in HBM; got !nki.tile<128x1xi32, psum>
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %r = nki.ndarray : !nki.tile<128x1xi32, psum>
  %c = nki.ap %q at 0 by [[8192, 128], [1, 64]] : !nki.tile<4x128x64xf32, shared_hbm> rows %r : !nki.tile<128x1xi32, psum>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: indirect access: the first step is the size of a row, 8192, got 64
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %r = nki.ndarray : !nki.tile<128x1xi32, sbuf>
  %c = nki.ap %q at 0 by [[64, 128], [1, 64]] : !nki.tile<4x128x64xf32, shared_hbm> rows %r : !nki.tile<128x1xi32, sbuf>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: indirect access: the rows of a copy are [P, 1], got !nki.tile<128x2xi32, sbuf>
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %r = nki.ndarray : !nki.tile<128x2xi32, sbuf>
  %a = nki.ndarray : !nki.tile<128x64xf32, sbuf>
  %c = nki.ap %q at 0 by [[8192, 128], [1, 64]] : !nki.tile<4x128x64xf32, shared_hbm> rows %r : !nki.tile<128x2xi32, sbuf>
  nki.dma_copy %a, %c : !nki.tile<128x64xf32, sbuf>, !nki.tile<128x64xf32, shared_hbm>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: engine is one of vector, gpsimd
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %a = nki.ndarray : !nki.tile<128x64xf32, sbuf>
  nki.memset %a, 0.000000e+00 : f32 on "tensor" : !nki.tile<128x64xf32, sbuf>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: memory: dst of memset on GpSimd is in sbuf, got psum
nki.kernel @k(%q: !nki.tile<4x128x64xf32, shared_hbm>) target trn2 cores 1 {
  %a = nki.ndarray : !nki.tile<128x64xf32, psum>
  nki.memset %a, 0.000000e+00 : f32 on "gpsimd" : !nki.tile<128x64xf32, psum>
  nki.return %q : !nki.tile<4x128x64xf32, shared_hbm>
}

// -----

// CHECK: DMA transpose: rows are ui32, got i32
nki.kernel @k(%q: !nki.tile<512x256xbf16, shared_hbm>) target trn2 cores 1 {
  %r = nki.ndarray : !nki.tile<128x1xi32, sbuf>
  %a = nki.ndarray : !nki.tile<64x128xbf16, sbuf>
  %c = nki.ap %q at 0 by [[256, 128], [1, 64]] : !nki.tile<512x256xbf16, shared_hbm> rows %r : !nki.tile<128x1xi32, sbuf>
  nki.dma_transpose %a, %c : !nki.tile<64x128xbf16, sbuf>, !nki.tile<128x64xbf16, shared_hbm>
  nki.return %q : !nki.tile<512x256xbf16, shared_hbm>
}

// -----

// CHECK: DMA transpose: by rows, a multiple of 16 rows of at most 128 elements, got (72, 64)
nki.kernel @k(%q: !nki.tile<512x256xbf16, shared_hbm>) target trn2 cores 1 {
  %r = nki.ndarray : !nki.tile<72x1xui32, sbuf>
  %a = nki.ndarray : !nki.tile<64x72xbf16, sbuf>
  %c = nki.ap %q at 0 by [[256, 72], [1, 64]] : !nki.tile<512x256xbf16, shared_hbm> rows %r : !nki.tile<72x1xui32, sbuf>
  nki.dma_transpose %a, %c : !nki.tile<64x72xbf16, sbuf>, !nki.tile<72x64xbf16, shared_hbm>
  nki.return %q : !nki.tile<512x256xbf16, shared_hbm>
}

// -----

// CHECK: DMA transpose: rows are on a multiple of 16 partitions, 128 with several columns, got !nki.tile<64x4xui32, sbuf>
nki.kernel @k(%q: !nki.tile<512x256xbf16, shared_hbm>) target trn2 cores 1 {
  %r = nki.ndarray : !nki.tile<64x4xui32, sbuf>
  %a = nki.ndarray : !nki.tile<64x256xbf16, sbuf>
  %c = nki.ap %q at 0 by [[256, 256], [1, 64]] : !nki.tile<512x256xbf16, shared_hbm> rows %r : !nki.tile<64x4xui32, sbuf>
  nki.dma_transpose %a, %c : !nki.tile<64x256xbf16, sbuf>, !nki.tile<256x64xbf16, shared_hbm>
  nki.return %q : !nki.tile<512x256xbf16, shared_hbm>
}

// -----

// CHECK: DMA transpose: an indirect one is by rows
nki.kernel @k(%q: !nki.tile<512x256xbf16, shared_hbm>) target trn2 cores 1 {
  %r = nki.ndarray : !nki.tile<1x1xui32, sbuf>
  %a = nki.ndarray : !nki.tile<64x128xbf16, sbuf>
  %c = nki.ap %q at 0 by [[256, 128], [1, 64]] : !nki.tile<512x256xbf16, shared_hbm> row %r : !nki.tile<1x1xui32, sbuf>
  nki.dma_transpose %a, %c : !nki.tile<64x128xbf16, sbuf>, !nki.tile<128x64xbf16, shared_hbm>
  nki.return %q : !nki.tile<512x256xbf16, shared_hbm>
}
