// RUN: xdsl-opt %corpus/jax/dpa_kv_seqlen.mlir -p inline-calls | filecheck %s

// JAX puts the mask, and even a transpose of the logits, behind a call of @_where: afterwards there is one function.

// CHECK: func.func public @main
// CHECK-NOT: func.call
// CHECK-NOT: func.func
// CHECK: "stablehlo.transpose"(%{{.*}}) <{permutation = array<i64: 3, 0, 1, 2, 4>}>
// CHECK-NEXT: "stablehlo.select"
// CHECK-NOT: func.call
// CHECK-NOT: func.func
