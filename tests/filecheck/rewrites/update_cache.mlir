// RUN: xdsl-opt %s -p decompose-attention | filecheck %s --check-prefix=PLAIN
// RUN: xdsl-opt %s -p outline-attention | filecheck %s --check-prefix=OUTLINED

// An update as plain StableHLO: scales by reductions, codes by shifts, and scatters. Among other operations it is
// outlined as attention is.

//   0 <= page < 9, or else the token is not stored
// PLAIN-LABEL: func.func @main(
// PLAIN:         %placed = "stablehlo.and"
//   amax = max_8 |x|;  scale = bf16(amax / 7)
// PLAIN:         "stablehlo.reshape"(%two_1) : (tensor<1x4x64xf32>) -> tensor<1x4x1x8x8xf32>
// PLAIN:         "stablehlo.abs"
// PLAIN:         %max = "stablehlo.reduce"{{.*}} <{dimensions = array<i64: 4>}>
// PLAIN:         dense<7.000000e+00> : tensor<f32>
// PLAIN:         "stablehlo.divide"(%max_1,
// PLAIN:         [[SCALE:%.+]] = "stablehlo.convert"{{.*}} -> tensor<1x4x8xbf16>
//   q = x / scale where that is not 0;  code = 7 + trunc(min(max(q, -7), 7))
// PLAIN:         "stablehlo.divide"(%two_2,
// PLAIN:         %quotient = "stablehlo.select"
// PLAIN:         "stablehlo.convert"{{.*}} -> tensor<1x4x1x8x8xi32>
// PLAIN:         %codes = "stablehlo.add"
//   byte = code 2i | code 2i + 1 << 4
// PLAIN:         "stablehlo.shift_left"
// PLAIN:         "stablehlo.or"
// PLAIN:         "stablehlo.bitcast_convert"{{.*}} -> tensor<1x4x32xi8>
//   place (page, h); page -1 is outside, and such updates are dropped
// PLAIN:         [[PAGE:%.+]] = "stablehlo.select"(%placed, %page,
// PLAIN:         %places = "stablehlo.concatenate"
// PLAIN:         %cache = "stablehlo.scatter"(%pool, %places,
// PLAIN:         %cache_scale = "stablehlo.scatter"(%s, {{.*}}, [[SCALE]])
// PLAIN:         func.return %cache, %cache_scale

// OUTLINED-LABEL: func.func @main(
// OUTLINED:         %c, %d = func.call @main_attention_0(%two, %pool, %s, %to)
// OUTLINED:       func.func private @main_attention_0(%new: tensor<4x1x64xf32>, %cache: tensor<9x1x32xi8>, %cache_scale: tensor<9x1x8xbf16>, %slots: tensor<4xi32>)
// OUTLINED-NEXT:    attention.update_cache
func.func @main(%x: tensor<4x1x64xf32>, %pool: tensor<9x1x32xi8>, %s: tensor<9x1x8xbf16>, %to: tensor<4xi32>) -> (tensor<9x1x32xi8>, tensor<9x1x8xbf16>) {
  %two = "stablehlo.add"(%x, %x) : (tensor<4x1x64xf32>, tensor<4x1x64xf32>) -> tensor<4x1x64xf32>
  %c, %d = attention.update_cache
      new(%two[m, h, k] : tensor<4x1x64xf32>)
      cache(%pool[page, h, k floordiv 2] : tensor<9x1x32xi8>) quantized(u4, zero = 7, round = bf16)
      cache_scale(%s[page, h, k floordiv 8] : tensor<9x1x8xbf16>)
      slots(%to[m] : tensor<4xi32>)
      quantizer(symmetric, toward_zero)
  func.return %c, %d : tensor<9x1x32xi8>, tensor<9x1x8xbf16>
}

// Updates of K and V alone are a kernel as they stand.
// OUTLINED-LABEL: func.func @both(
// OUTLINED-NEXT:    attention.update_cache
// OUTLINED:         attention.update_cache
// OUTLINED-NOT:     func.call
func.func @both(%x: tensor<2x64xf32>, %k: tensor<50x64xf32>, %v: tensor<50x64xf16>, %at: tensor<i32>) -> (tensor<50x64xf32>, tensor<50x64xf16>) {
  %c = attention.update_cache new(%x[m, k] : tensor<2x64xf32>) cache(%k[n, k] : tensor<50x64xf32>) positions(%at[] : tensor<i32>)
  %d = attention.update_cache new(%x[m, d] : tensor<2x64xf32>) cache(%v[n, d] : tensor<50x64xf16>) positions(%at[] : tensor<i32>)
  func.return %c, %d : tensor<50x64xf32>, tensor<50x64xf16>
}
