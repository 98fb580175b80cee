// RUN: xdsl-opt %s -p schedule-attention --split-input-file | filecheck %s
// RUN: xdsl-opt %s -p 'schedule-attention{target=mi300x block-n=32 warps=2}' --split-input-file | filecheck %s --check-prefix=SET
// RUN: xdsl-opt %s -p 'schedule-attention{block-n=32},flash-decoding{splits=4}' --split-input-file | filecheck %s --check-prefix=SPLIT

// Locks in where schedules stand and who wins: what an operation says already, then the options, then the cost model.
// Numbers of the cost model are those of tests/rewrites/test_schedule.py.

// 4 query heads of one KV head fill one tile of 16 rows; K and V of a tile are 32 KB.
// CHECK-LABEL: @decode
// CHECK:           schedule<block_m = 16, block_n = 64, warps = 4, stages = 3>
// The options replace two fields; two stages are all that an MI300X has use for.
// SET-LABEL: @decode
// SET:             schedule<block_m = 16, block_n = 32, warps = 2, stages = 2>
// Splits are counted in tiles of the schedule, and the combine is scheduled as well.
// SPLIT-LABEL: @decode
// SPLIT:           attention.partial
// SPLIT:             tile(32)
// SPLIT:             schedule<block_m = 16, block_n = 32, warps = 4, stages = 3>
// SPLIT:           attention.combine
// SPLIT:             schedule<block_m = 16, block_n = 16, warps = 4, stages = 1>
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
