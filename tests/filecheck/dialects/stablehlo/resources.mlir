// RUN: xdsl-opt %s -p inline-calls | filecheck %s

// The data of `dense_resource` constants, the weights of PyTorch's exports, outlives passes and is printed with the
// module that uses it.

func.func @main() -> tensor<2xf32> {
  // CHECK: "stablehlo.constant"() <{value = dense_resource<weights> : tensor<2xf32>}> : () -> tensor<2xf32>
  %0 = "stablehlo.constant"() <{value = dense_resource<weights> : tensor<2xf32>}> : () -> tensor<2xf32>
  return %0 : tensor<2xf32>
}

// CHECK: {-#
// CHECK: weights: "0x040000000000803F00000040"
{-#
  dialect_resources: {
    builtin: {
      weights: "0x040000000000803F00000040"
    }
  }
#-}
