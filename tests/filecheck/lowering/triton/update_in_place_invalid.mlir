// RUN: xdsl-opt %s -p convert-attention-to-triton --verify-diagnostics --split-input-file | filecheck %s

// A kernel writes to the cache that it is given, so what was in it must not be needed later.

func.func @read_later(%x: tensor<2x64xf32>, %k: tensor<50x64xf32>, %at: tensor<i32>) -> (tensor<50x64xf32>, tensor<50x64xf32>) {
  %c = attention.update_cache new(%x[m, k] : tensor<2x64xf32>) cache(%k[n, k] : tensor<50x64xf32>) positions(%at[] : tensor<i32>)
  func.return %c, %k : tensor<50x64xf32>, tensor<50x64xf32>
}
// CHECK: attention.update_cache updates %k in place, but func.return reads it from before the update: use the result of the update

// -----

func.func @twice(%x: tensor<2x64xf32>, %k: tensor<50x64xf32>, %at: tensor<i32>) -> (tensor<50x64xf32>, tensor<50x64xf32>) {
  %c = attention.update_cache new(%x[m, k] : tensor<2x64xf32>) cache(%k[n, k] : tensor<50x64xf32>) positions(%at[] : tensor<i32>)
  %d = attention.update_cache new(%x[m, k] : tensor<2x64xf32>) cache(%k[n, k] : tensor<50x64xf32>) positions(%at[] : tensor<i32>)
  func.return %c, %d : tensor<50x64xf32>, tensor<50x64xf32>
}
// CHECK: attention.update_cache updates %k in place, but attention.update_cache reads it from before the update

// -----

func.func @itself(%k: tensor<50x64xf32>, %at: tensor<i32>) -> tensor<50x64xf32> {
  %c = attention.update_cache new(%k[m, k] : tensor<50x64xf32>) cache(%k[n, k] : tensor<50x64xf32>) positions(%at[] : tensor<i32>)
  func.return %c : tensor<50x64xf32>
}
// CHECK: attention.update_cache updates %k in place, but has it as another operand as well

// -----

func.func @literal(%x: tensor<2x64xf32>, %at: tensor<i32>) -> tensor<50x64xf32> {
  %k = arith.constant dense<0.0> : tensor<50x64xf32>
  %c = attention.update_cache new(%x[m, k] : tensor<2x64xf32>) cache(%k[n, k] : tensor<50x64xf32>) positions(%at[] : tensor<i32>)
  func.return %c : tensor<50x64xf32>
}
// CHECK: attention.update_cache updates %k in place, but that is a constant: pass it in

// -----

// A call of a function that updates its argument is an update, too.
func.func @update(%x: tensor<2x64xf32>, %k: tensor<50x64xf32>, %at: tensor<i32>) -> tensor<50x64xf32> {
  %c = attention.update_cache new(%x[m, k] : tensor<2x64xf32>) cache(%k[n, k] : tensor<50x64xf32>) positions(%at[] : tensor<i32>)
  func.return %c : tensor<50x64xf32>
}
func.func @main(%x: tensor<2x64xf32>, %k: tensor<50x64xf32>, %at: tensor<i32>) -> (tensor<50x64xf32>, tensor<50x64xf32>) {
  %c = func.call @update(%x, %k, %at) : (tensor<2x64xf32>, tensor<50x64xf32>, tensor<i32>) -> tensor<50x64xf32>
  func.return %c, %k : tensor<50x64xf32>, tensor<50x64xf32>
}
// CHECK: func.call updates %k in place, but func.return reads it from before the update

// -----

// What a kernel cannot regroup.
func.func @odd_groups(%x: tensor<2x96xf32>, %k: tensor<50x96xi8>, %s: tensor<50x2xf32>, %at: tensor<i32>) -> tensor<50x96xi8> {
  %c, %d = attention.update_cache new(%x[m, k] : tensor<2x96xf32>) cache(%k[n, k] : tensor<50x96xi8>) quantized(i8)
      cache_scale(%s[n, k floordiv 48] : tensor<50x2xf32>) positions(%at[] : tensor<i32>) quantizer(symmetric, to_nearest_even)
  func.return %c : tensor<50x96xi8>
}
// CHECK: attention.update_cache: a Triton kernel makes scales for groups of a power of two, or for all 96 channels, not for 48

// -----

func.func @lanes(%x: tensor<2x96xf32>, %k: tensor<50x12xi32>, %s: tensor<50x3xf32>, %at: tensor<i32>) -> tensor<50x12xi32> {
  %c, %d = attention.update_cache new(%x[m, k] : tensor<2x96xf32>) cache(%k[n, k mod 12] : tensor<50x12xi32>) quantized(u4, zero = 8)
      cache_scale(%s[n, k floordiv 32] : tensor<50x3xf32>) positions(%at[] : tensor<i32>) quantizer(symmetric, to_nearest_even)
  func.return %c : tensor<50x12xi32>
}
// CHECK: groups of 32 channels do not lie in one lane of words whose lanes have 12 channels each; expected neighbours in a word (k floordiv 8)

// -----

func.func @dynamic(%x: tensor<2x?xf32>, %k: tensor<50x?xf32>, %at: tensor<i32>) -> tensor<50x?xf32> {
  %c = attention.update_cache new(%x[m, k] : tensor<2x?xf32>) cache(%k[n, k] : tensor<50x?xf32>) positions(%at[] : tensor<i32>)
  func.return %c : tensor<50x?xf32>
}
// CHECK: the head size k is dynamic, but a Triton kernel needs it static
