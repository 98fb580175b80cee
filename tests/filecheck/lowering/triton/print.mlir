// RUN: xdsl-opt %s -t triton | filecheck %s
// RUN: xdsl-opt %s | xdsl-opt -t triton | filecheck %s

// A kernel and its launch function. Names are the hints; values without one stand where they are used.

// CHECK:      import triton
// CHECK-NEXT: import triton.language as tl
// CHECK:      def _check(tensor, name, dtype, shape):
// CHECK:      def _torch_empty(device):

// Add two vectors, one block a program; the tail is masked.
//
// CHECK:      # Add two vectors.
// CHECK-NEXT: # One block a program.
// CHECK-NEXT: @triton.jit
// CHECK-NEXT: def add_kernel(x_ptr, y_ptr, out_ptr, n):
// CHECK-NEXT:     BLOCK: tl.constexpr = 64
// CHECK-NEXT:     offs = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
// CHECK-NEXT:     # The last block may be short.
// CHECK-NEXT:     mask = offs < n
// CHECK-NEXT:     x = tl.load(x_ptr + offs, mask=mask, other=0.0)
// CHECK-NEXT:     y = tl.load(y_ptr + offs, mask=mask, other=0.0, eviction_policy="evict_first")
// CHECK-NEXT:     tl.store(out_ptr + offs, x + y, mask=mask)
tl.jit @add_kernel(%x_ptr: !tl.ptr<f32>, %y_ptr: !tl.ptr<f32>, %out_ptr: !tl.ptr<f32>, %n: i32) doc "Add two vectors.\nOne block a program." {
  %BLOCK = tl.constexpr 64 : i32
  %0 = tl.constant 0 : i32
  %zero = tl.constant 0.0 : f32
  %1 = tl.program_id 0
  %2 = tl.mul %1, %BLOCK : (i32, i32) -> i32
  %3 = tl.arange %0, %BLOCK : (i32, i32) -> tensor<64xi32>
  %offs = tl.add %2, %3 : (i32, tensor<64xi32>) -> tensor<64xi32>
  %mask = tl.lt %offs, %n {tl.comment = "The last block may be short."} : (tensor<64xi32>, i32) -> tensor<64xi1>
  %4 = tl.add %x_ptr, %offs : (!tl.ptr<f32>, tensor<64xi32>) -> tensor<64x!tl.ptr<f32>>
  %x = tl.load %4 mask %mask : tensor<64xi1> other %zero : f32 : tensor<64x!tl.ptr<f32>> -> tensor<64xf32>
  %5 = tl.add %y_ptr, %offs : (!tl.ptr<f32>, tensor<64xi32>) -> tensor<64x!tl.ptr<f32>>
  %y = tl.load %5 mask %mask : tensor<64xi1> other %zero : f32 eviction_policy "evict_first" : tensor<64x!tl.ptr<f32>> -> tensor<64xf32>
  %6 = tl.add %x, %y : (tensor<64xf32>, tensor<64xf32>) -> tensor<64xf32>
  %7 = tl.add %out_ptr, %offs : (!tl.ptr<f32>, tensor<64xi32>) -> tensor<64x!tl.ptr<f32>>
  tl.store %7, %6 mask %mask : tensor<64xi1> : tensor<64x!tl.ptr<f32>>, tensor<64xf32>
}

// The result may be given; it must be contiguous, since the kernel gets no stride of it.
//
// CHECK:      def main(x, y, *, out=None, empty=None):
// CHECK-NEXT:     _check(x, "x", "float32", (None,))
// CHECK-NEXT:     _check(y, "y", "float32", (None,))
// CHECK-NEXT:     if empty is None:
// CHECK-NEXT:         empty = _torch_empty(x.device)
// CHECK-NEXT:     n = x.shape[0]
// CHECK-NEXT:     if n != y.shape[0]:
// CHECK-NEXT:         raise ValueError(f"the lengths: {n} and {y.shape[0]} differ")
// CHECK-NEXT:     if out is None:
// CHECK-NEXT:         out = empty((n,), "float32")
// CHECK-NEXT:     else:
// CHECK-NEXT:         _check(out, "out", "float32", (n,))
// CHECK-NEXT:         if not out.is_contiguous():
// CHECK-NEXT:             raise ValueError("out must be contiguous")
// CHECK-NEXT:     add_kernel[(triton.cdiv(n, 64),)](x, y, out, n, num_warps=4, num_stages=2)
// CHECK-NEXT:     return out
func.func @main(%x: tensor<?xf32>, %y: tensor<?xf32>) -> tensor<?xf32> {
  %n = launch.size %x, 0 : tensor<?xf32>
  %0 = launch.size %y, 0 : tensor<?xf32>
  launch.require %n, %0, "the lengths"
  %out = launch.empty(%n) : tensor<?xf32>
  %1 = arith.constant 64 : index
  %2 = arith.ceildivui %n, %1 : index
  launch.kernel @add_kernel[%2](%x, %y, %out, %n) {num_warps = 4, num_stages = 2} : (tensor<?xf32>, tensor<?xf32>, tensor<?xf32>, index)
  func.return %out : tensor<?xf32>
}

// A function of calls is printed too, and one with other ops is not.
//
// CHECK:      def thrice(x, *, empty=None):
// CHECK:          twice = main(x, x, empty=empty)
// CHECK-NEXT:     out = main(twice, x, empty=empty)
// CHECK-NEXT:     return out
func.func @thrice(%x: tensor<?xf32>) -> tensor<?xf32> {
  %twice = func.call @main(%x, %x) : (tensor<?xf32>, tensor<?xf32>) -> tensor<?xf32>
  %0 = func.call @main(%twice, %x) : (tensor<?xf32>, tensor<?xf32>) -> tensor<?xf32>
  func.return %0 : tensor<?xf32>
}
