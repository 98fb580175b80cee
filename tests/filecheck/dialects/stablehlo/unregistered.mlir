// RUN: xdsl-opt %s --allow-unregistered-dialect | filecheck %s
// RUN: xdsl-opt %s --parsing-diagnostics | filecheck %s --check-prefix=STRICT

// An op of StableHLO that is not defined here passes through untouched, with its attributes, where unregistered ops
// are allowed, and is refused by name where they are not.

// STRICT: Operation stablehlo.rng is not registered
func.func @main(%lo: tensor<f32>, %shape: tensor<1xi64>) -> tensor<4xf32> {
  // CHECK: "stablehlo.rng"(%lo, %lo, %shape) <{rng_distribution = #stablehlo<rng_distribution UNIFORM>, more = #stablehlo.channel_handle<handle = 1, type = 2>}> : (tensor<f32>, tensor<f32>, tensor<1xi64>) -> tensor<4xf32>
  %0 = "stablehlo.rng"(%lo, %lo, %shape) <{rng_distribution = #stablehlo<rng_distribution UNIFORM>, more = #stablehlo.channel_handle<handle = 1, type = 2>}> : (tensor<f32>, tensor<f32>, tensor<1xi64>) -> tensor<4xf32>
  return %0 : tensor<4xf32>
}
