// RUN: xdsl-opt %s -p 'flash-decoding{splits=2}' | filecheck %s --check-prefix=SPLIT
// RUN: xdsl-opt %s -p 'flash-decoding{splits=2},decompose-attention' | filecheck %s --check-prefix=PLAIN
// RUN: xdsl-opt %s -p outline-attention | filecheck %s --check-prefix=OUTLINE

// Passes carry what makes K and V quantised.

// Splits read codes and scales as the whole does; the combination sees none of it.

// SPLIT-LABEL: func.func @decode
// SPLIT-NEXT: %partial, %partial_lse = attention.partial
// SPLIT-NEXT: q(%q[h, k] : tensor<2x8xf32>)
// SPLIT-NEXT: k(%k[h, n, k floordiv 2] : tensor<2x128x4xi8>) quantized(i4, zero = -1, round = bf16)
// SPLIT-NEXT: k_scale(%ks[h, n floordiv 4] : tensor<2x32xf32>)
// SPLIT-NEXT: v(%v[h, n, d mod 2] : tensor<2x128x2xi16>) quantized(u4)
// SPLIT-NEXT: v_scale(%vs[n, d floordiv 4] : tensor<128x2xf16>)
// SPLIT-NEXT: v_zero(%vz[n, d floordiv 4] : tensor<128x2xi8>)
// SPLIT-NEXT: splits(2) tile(32)
// SPLIT: attention.combine

// In plain operations, with the 128 keys of two splits: elements of V are spread over channels d and scales over
// their groups; code = (element >> 4 * (d floordiv 2)) & 15, and value = (code - zero) * scale.

// PLAIN-LABEL: func.func @decode
// PLAIN-NEXT: "stablehlo.broadcast_in_dim"(%v) <{broadcast_dimensions = array<i64: 0, 1, 3>}> : (tensor<2x128x2xi16>) -> tensor<2x128x4x2xi16>
// PLAIN-NEXT: "stablehlo.reshape"({{.*}}) : (tensor<2x128x4x2xi16>) -> tensor<2x128x8xi16>
// PLAIN-NEXT: %v_1 = "stablehlo.reshape"({{.*}}) : (tensor<2x128x8xi16>) -> tensor<2x2x64x8xi16>
// PLAIN: %v_2 = "stablehlo.bitcast_convert"(%v_1) : (tensor<2x2x64x8xi16>) -> tensor<2x2x64x8xui16>
// PLAIN: %lane = "stablehlo.divide"
// PLAIN: %[[SHIFTED:.*]] = "stablehlo.shift_right_logical"(%v_2, {{.*}}) : (tensor<2x2x64x8xui16>
// PLAIN: %codes = "stablehlo.and"(%[[SHIFTED]], {{.*}}) : (tensor<2x2x64x8xui16>
// PLAIN-NEXT: %[[FLOAT:.*]] = "stablehlo.convert"(%codes) : (tensor<2x2x64x8xui16>) -> tensor<2x2x64x8xf32>
// PLAIN: %[[VALUE:.*]] = "stablehlo.subtract"(%[[FLOAT]]
// PLAIN: "stablehlo.multiply"(%[[VALUE]]

// K is signed: its codes go up to the sign and back; the value is rounded once.

// PLAIN: %[[UP:.*]] = "stablehlo.shift_left"(%k_1, {{.*}}) : (tensor<2x2x64x8xi8>
// PLAIN: "stablehlo.shift_right_arithmetic"(%[[UP]], {{.*}}) : (tensor<2x2x64x8xi8>
// PLAIN: %[[K:.*]] = "stablehlo.reduce_precision"({{.*}}) <{exponent_bits = 8 : i32, mantissa_bits = 7 : i32}>
// PLAIN: %scores = "stablehlo.dot_general"({{.*}}, %[[K]])
// PLAIN-NOT: attention.

// A function of its own has every operand as an argument.

// OUTLINE-LABEL: func.func @outside
// OUTLINE: func.call @outside_attention_0(%q, %k, %s, %v)
// OUTLINE: func.func private @outside_attention_0(%q: tensor<2x8xf32>, %k: tensor<2x128x8xi8>, %k_scale: tensor<2xf32>, %v: tensor<2x128x8xf32>)

func.func @decode(%q: tensor<2x8xf32>, %k: tensor<2x128x4xi8>, %ks: tensor<2x32xf32>, %v: tensor<2x128x2xi16>, %vs: tensor<128x2xf16>, %vz: tensor<128x2xi8>) -> tensor<2x8xf32> {
  %o = attention.sdpa q(%q[h, k] : tensor<2x8xf32>)
      k(%k[h, n, k floordiv 2] : tensor<2x128x4xi8>) quantized(i4, zero = -1, round = bf16)
      k_scale(%ks[h, n floordiv 4] : tensor<2x32xf32>)
      v(%v[h, n, d mod 2] : tensor<2x128x2xi16>) quantized(u4)
      v_scale(%vs[n, d floordiv 4] : tensor<128x2xf16>) v_zero(%vz[n, d floordiv 4] : tensor<128x2xi8>)
      scale(1.0) -> out[h, d] : tensor<2x8xf32>
  func.return %o : tensor<2x8xf32>
}

func.func @outside(%q: tensor<2x8xf32>, %k: tensor<2x128x8xi8>, %s: tensor<2xf32>, %v: tensor<2x128x8xf32>) -> tensor<2x8xf32> {
  %o = attention.sdpa q(%q[h, k] : tensor<2x8xf32>) k(%k[h, n, k] : tensor<2x128x8xi8>) quantized(i8)
      k_scale(%s[h] : tensor<2xf32>) v(%v[h, n, d] : tensor<2x128x8xf32>) scale(1.0) -> out[h, d] : tensor<2x8xf32>
  %r = "stablehlo.negate"(%o) : (tensor<2x8xf32>) -> tensor<2x8xf32>
  func.return %r : tensor<2x8xf32>
}
