// RUN: xdsl-opt %corpus/jax/dpa_kv_seqlen.mlir -p fuse-attention | filecheck %s
// RUN: xdsl-opt %corpus/jax/kvcache_decode_len.mlir -p fuse-attention | filecheck %s --check-prefix=CACHE

// Kernels take their names from the IR. Exporters number values; what attention reads is named by its role, and a
// name that somebody gave stays.

// CHECK: func.func public @main(%q: tensor<2x1x8x16xbf16>, %k: tensor<2x128x2x16xbf16>, %v: tensor<2x128x2x16xbf16>, %arg6: tensor<2xi32>)
// CHECK: attention.sdpa
// CHECK-NEXT: q(%q[b, m, h * 4 + g, k] : tensor<2x1x8x16xbf16>)
// CHECK-NEXT: k(%k[b, n, h, k] : tensor<2x128x2x16xbf16>)
// CHECK-NEXT: v(%v[b, n, h, d] : tensor<2x128x2x16xbf16>)

// The updated caches, which are results of operations.

// CACHE: %k = "stablehlo.dynamic_update_slice"
// CACHE: %v = "stablehlo.dynamic_update_slice"
// CACHE: k(%k[b, n, h, k] : tensor<2x128x4x16xf32>)
// CACHE-NEXT: v(%v[b, n, h, d] : tensor<2x128x4x16xf32>)
