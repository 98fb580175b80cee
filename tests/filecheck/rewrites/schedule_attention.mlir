// RUN: xdsl-opt %s -p schedule-attention --split-input-file | filecheck %s
// RUN: xdsl-opt %s -p 'schedule-attention{target=mi300x block-n=32 warps=2}' --split-input-file | filecheck %s --check-prefix=SET
// RUN: xdsl-opt %s -p 'schedule-attention{splits=3 kernels=2 pack=0 pdl=0 runs=7},flash-decoding' --split-input-file | filecheck %s --check-prefix=ALL
// RUN: xdsl-opt %s -p 'schedule-attention{block-n=32},flash-decoding{splits=4}' --split-input-file | filecheck %s --check-prefix=SPLIT

// Locks in where schedules stand and who wins: what an operation says already, then the options, then the cost model.
// Numbers of the cost model are those of tests/rewrites/test_schedule.py.

// 4 query heads of one KV head fill one tile of 16 rows; K and V of a tile are 32 KB. Launches overlap.
// CHECK-LABEL: @decode
// CHECK:           schedule<block_m = 16, block_n = 64, warps = 4, stages = 3, pdl = 1>
// The options replace two fields; two stages are all that an MI300X has use for, and its launches do not overlap.
// SET-LABEL: @decode
// SET:             schedule<block_m = 16, block_n = 32, warps = 2, stages = 2>
// Splits are counted in tiles of the schedule, and the combine is scheduled as well: a warp for each row.
// SPLIT-LABEL: @decode
// SPLIT:           attention.partial
// SPLIT:             tile(32)
// SPLIT:             schedule<block_m = 16, block_n = 32, warps = 4, stages = 3, pdl = 1>
// SPLIT:           attention.combine
// SPLIT:             schedule<block_m = 16, block_n = 16, warps = 1, stages = 1, pdl = 1>
// Fields may be given, in any order; what concerns both kernels stands on both operations, and splits become those of
// the partial.
// ALL-LABEL: @decode
// ALL:             attention.partial
// ALL:               splits(3) tile(64)
// ALL:               schedule<block_m = 16, block_n = 64, warps = 4, stages = 3, runs = 7, kernels = 2, pdl = 0, pack = 0>
// ALL:             attention.combine
// ALL:               schedule<block_m = 16, block_n = 16, warps = 1, stages = 1, runs = 7, kernels = 2, pdl = 0>
func.func @decode(%q: tensor<8x4x128xbf16>, %k: tensor<8x4096x128xbf16>, %v: tensor<8x4096x128xbf16>) -> tensor<8x4x128xbf16> {
  %o = attention.sdpa q(%q[h, g, k] : tensor<8x4x128xbf16>) k(%k[h, n, k] : tensor<8x4096x128xbf16>)
      v(%v[h, n, d] : tensor<8x4096x128xbf16>) scale(0.1) -> out[h, g, d] : tensor<8x4x128xbf16>
  func.return %o : tensor<8x4x128xbf16>
}

// -----

// CHECK-LABEL: @by_hand
// CHECK:           schedule<block_m = 32, block_n = 16, warps = 8, stages = 1>
// SET-LABEL: @by_hand
// SET:             schedule<block_m = 32, block_n = 16, warps = 8, stages = 1>
// SPLIT-LABEL: @by_hand
// SPLIT:             tile(16)
func.func @by_hand(%q: tensor<8x4x128xbf16>, %k: tensor<8x4096x128xbf16>, %v: tensor<8x4096x128xbf16>) -> tensor<8x4x128xbf16> {
  %o = attention.sdpa q(%q[h, g, k] : tensor<8x4x128xbf16>) k(%k[h, n, k] : tensor<8x4096x128xbf16>)
      v(%v[h, n, d] : tensor<8x4096x128xbf16>) scale(0.1) schedule<block_m = 32, block_n = 16, warps = 8, stages = 1>
      -> out[h, g, d] : tensor<8x4x128xbf16>
  func.return %o : tensor<8x4x128xbf16>
}

// -----

// Lengths may differ, and one sequence could be 32k long: the keys of all sequences are cut into 33 runs, which 8 KV heads
// make two programs for each of 132 cores.
// CHECK-LABEL: @ragged
// CHECK:           schedule<block_m = 16, block_n = 64, warps = 4, stages = 3, runs = 33>
// A hand says otherwise.
// SPLIT-LABEL: @ragged
// SPLIT:             splits(4) tile(32)
func.func @ragged(%q: tensor<16x8x4x128xbf16>, %k: tensor<16x8x32768x128xbf16>, %lens: tensor<16xi32>) -> tensor<16x8x4x128xbf16> {
  %o = attention.sdpa q(%q[b, h, g, k] : tensor<16x8x4x128xbf16>) k(%k[b, h, n, k] : tensor<16x8x32768x128xbf16>)
      v(%k[b, h, n, d] : tensor<16x8x32768x128xbf16>) kv_lens(%lens[b] : tensor<16xi32>) scale(0.1)
      -> out[b, h, g, d] : tensor<16x8x4x128xbf16>
  func.return %o : tensor<16x8x4x128xbf16>
}

// -----

// A window reads the same of every sequence that is long enough: splits of its own serve it, and launches overlap.
// CHECK-LABEL: @window
// CHECK:           schedule<block_m = 16, block_n = 64, warps = 4, stages = 3, pdl = 1>
func.func @window(%q: tensor<4x4x128xbf16>, %k: tensor<4x65536x128xbf16>, %lens: tensor<4xi32>) -> tensor<4x4x128xbf16> {
  %o = attention.sdpa q(%q[b, g, k] : tensor<4x4x128xbf16>) k(%k[b, n, k] : tensor<4x65536x128xbf16>)
      v(%k[b, n, d] : tensor<4x65536x128xbf16>) kv_lens(%lens[b] : tensor<4xi32>) scale(0.1)
      reach(s0 - 1024 <= n < s0) scalars(%lens[b] : tensor<4xi32>) -> out[b, g, d] : tensor<4x4x128xbf16>
  func.return %o : tensor<4x4x128xbf16>
}
