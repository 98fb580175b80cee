// RUN: xdsl-opt %s -p fuse-attention | filecheck %s

// A dequantisation before the dots becomes codes with scales: value = round((code - zero) * scale + offset), followed
// from the dot inwards, with whatever takes codes out of wider integers. What the graph rounds otherwise stays outside.
// The rest of attention is in @attend_f32 and @attend_bf16: softmax(Q K^T) V, which are inlined.

// K = (int32(codes) - int32(zeros)) * scales, a scale and a zero point for each key; V is the codes themselves

// CHECK-LABEL: func.func @int8_zero_points
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[h, m, k] : tensor<2x3x8xf32>)
// CHECK-NEXT: k(%codes[h, n, k] : tensor<2x16x8xi8>) quantized(i8)
// CHECK-NEXT: k_scale(%scales[h, n] : tensor<2x16xf32>)
// CHECK-NEXT: k_zero(%zeros[h, n] : tensor<2x16xi8>)
// CHECK-NEXT: v(%codes[h, n, d] : tensor<2x16x8xi8>) quantized(i8)
// CHECK-NEXT: scale(1.000000e+00)

"func.func"() <{function_type = (tensor<2x3x8xf32>, tensor<2x16x8xi8>, tensor<2x16xf32>, tensor<2x16xi8>) -> tensor<2x3x8xf32>, sym_name = "int8_zero_points"}> ({
^bb0(%q: tensor<2x3x8xf32>, %codes: tensor<2x16x8xi8>, %scales: tensor<2x16xf32>, %zeros: tensor<2x16xi8>):
  %wide = "stablehlo.convert"(%codes) : (tensor<2x16x8xi8>) -> tensor<2x16x8xi32>
  %wide_zeros = "stablehlo.convert"(%zeros) : (tensor<2x16xi8>) -> tensor<2x16xi32>
  %zero = "stablehlo.broadcast_in_dim"(%wide_zeros) <{broadcast_dimensions = array<i64: 0, 1>}> : (tensor<2x16xi32>) -> tensor<2x16x8xi32>
  %difference = "stablehlo.subtract"(%wide, %zero) : (tensor<2x16x8xi32>, tensor<2x16x8xi32>) -> tensor<2x16x8xi32>
  %float = "stablehlo.convert"(%difference) : (tensor<2x16x8xi32>) -> tensor<2x16x8xf32>
  %scale = "stablehlo.broadcast_in_dim"(%scales) <{broadcast_dimensions = array<i64: 0, 1>}> : (tensor<2x16xf32>) -> tensor<2x16x8xf32>
  %k = "stablehlo.multiply"(%float, %scale) : (tensor<2x16x8xf32>, tensor<2x16x8xf32>) -> tensor<2x16x8xf32>
  %v = "stablehlo.convert"(%codes) : (tensor<2x16x8xi8>) -> tensor<2x16x8xf32>
  %o = "func.call"(%q, %k, %v) <{callee = @attend_f32}> : (tensor<2x3x8xf32>, tensor<2x16x8xf32>, tensor<2x16x8xf32>) -> tensor<2x3x8xf32>
  "func.return"(%o) : (tensor<2x3x8xf32>) -> ()
}) : () -> ()

// LightLLM's form: low and high nibbles of bytes side by side, K = V = bf16(nibble - 7) * scale in bf16, a scale for 4
// channels. The product rounds once, which is `round`.

// CHECK-LABEL: func.func @nibbles
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[h, m, k] : tensor<2x3x8xbf16>)
// CHECK-NEXT: k(%packed[h, n, k floordiv 2] : tensor<2x16x4xui8>) quantized(u4, zero = 7, round = bf16)
// CHECK-NEXT: k_scale(%scales[h, n, k floordiv 4] : tensor<2x16x2xbf16>)
// CHECK-NEXT: v(%packed[h, n, d floordiv 2] : tensor<2x16x4xui8>) quantized(u4, zero = 7, round = bf16)
// CHECK-NEXT: v_scale(%scales[h, n, d floordiv 4] : tensor<2x16x2xbf16>)

"func.func"() <{function_type = (tensor<2x3x8xbf16>, tensor<2x16x4xui8>, tensor<2x16x2xbf16>) -> tensor<2x3x8xbf16>, sym_name = "nibbles"}> ({
^bb0(%q: tensor<2x3x8xbf16>, %packed: tensor<2x16x4xui8>, %scales: tensor<2x16x2xbf16>):
  %mask_c = "stablehlo.constant"() <{value = dense<15> : tensor<ui8>}> : () -> tensor<ui8>
  %mask = "stablehlo.broadcast_in_dim"(%mask_c) <{broadcast_dimensions = array<i64>}> : (tensor<ui8>) -> tensor<2x16x4xui8>
  %four_c = "stablehlo.constant"() <{value = dense<4> : tensor<ui8>}> : () -> tensor<ui8>
  %four = "stablehlo.broadcast_in_dim"(%four_c) <{broadcast_dimensions = array<i64>}> : (tensor<ui8>) -> tensor<2x16x4xui8>
  %low = "stablehlo.and"(%packed, %mask) : (tensor<2x16x4xui8>, tensor<2x16x4xui8>) -> tensor<2x16x4xui8>
  %high = "stablehlo.shift_right_logical"(%packed, %four) : (tensor<2x16x4xui8>, tensor<2x16x4xui8>) -> tensor<2x16x4xui8>
  %low_column = "stablehlo.broadcast_in_dim"(%low) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x16x4xui8>) -> tensor<2x16x4x1xui8>
  %high_column = "stablehlo.broadcast_in_dim"(%high) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x16x4xui8>) -> tensor<2x16x4x1xui8>
  %pairs = "stablehlo.concatenate"(%low_column, %high_column) <{dimension = 3 : i64}> : (tensor<2x16x4x1xui8>, tensor<2x16x4x1xui8>) -> tensor<2x16x4x2xui8>
  %codes = "stablehlo.reshape"(%pairs) : (tensor<2x16x4x2xui8>) -> tensor<2x16x8xui8>
  %wide = "stablehlo.convert"(%codes) : (tensor<2x16x8xui8>) -> tensor<2x16x8xi16>
  %seven_c = "stablehlo.constant"() <{value = dense<7> : tensor<i16>}> : () -> tensor<i16>
  %seven = "stablehlo.broadcast_in_dim"(%seven_c) <{broadcast_dimensions = array<i64>}> : (tensor<i16>) -> tensor<2x16x8xi16>
  %difference = "stablehlo.subtract"(%wide, %seven) : (tensor<2x16x8xi16>, tensor<2x16x8xi16>) -> tensor<2x16x8xi16>
  %float = "stablehlo.convert"(%difference) : (tensor<2x16x8xi16>) -> tensor<2x16x8xbf16>
  %groups = "stablehlo.reshape"(%float) : (tensor<2x16x8xbf16>) -> tensor<2x16x2x4xbf16>
  %scale = "stablehlo.broadcast_in_dim"(%scales) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x16x2xbf16>) -> tensor<2x16x2x4xbf16>
  %scaled = "stablehlo.multiply"(%groups, %scale) : (tensor<2x16x2x4xbf16>, tensor<2x16x2x4xbf16>) -> tensor<2x16x2x4xbf16>
  %values = "stablehlo.reshape"(%scaled) : (tensor<2x16x2x4xbf16>) -> tensor<2x16x8xbf16>
  %o = "func.call"(%q, %values, %values) <{callee = @attend_bf16}> : (tensor<2x3x8xbf16>, tensor<2x16x8xbf16>, tensor<2x16x8xbf16>) -> tensor<2x3x8xbf16>
  "func.return"(%o) : (tensor<2x3x8xbf16>) -> ()
}) : () -> ()

// KIVI's form: four nibbles a word, shifted by 4 times the lane; K = V = code * scale + offset, both for each channel and
// 4 keys.

// CHECK-LABEL: func.func @words
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(
// CHECK-NEXT: k(%more[h, n, k floordiv 4] : tensor<2x16x2xi16>) quantized(u4)
// CHECK-NEXT: k_scale(%scales[h, n floordiv 4, k] : tensor<2x4x8xf32>)
// CHECK-NEXT: k_offset(%offsets[h, n floordiv 4, k] : tensor<2x4x8xf32>)
// CHECK-NEXT: v(%more[h, n, d floordiv 4] : tensor<2x16x2xi16>) quantized(u4)
// CHECK-NEXT: v_scale(%scales[h, n floordiv 4, d] : tensor<2x4x8xf32>)
// CHECK-NEXT: v_offset(%offsets[h, n floordiv 4, d] : tensor<2x4x8xf32>)

"func.func"() <{function_type = (tensor<2x3x8xf32>, tensor<2x16x2xi16>, tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> tensor<2x3x8xf32>, sym_name = "words"}> ({
^bb0(%q: tensor<2x3x8xf32>, %more: tensor<2x16x2xi16>, %scales: tensor<2x4x8xf32>, %offsets: tensor<2x4x8xf32>):
  %spread = "stablehlo.broadcast_in_dim"(%more) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x16x2xi16>) -> tensor<2x16x2x4xi16>
  %lanes = "stablehlo.iota"() <{iota_dimension = 0 : i64}> : () -> tensor<4xi16>
  %bits_c = "stablehlo.constant"() <{value = dense<4> : tensor<i16>}> : () -> tensor<i16>
  %bits = "stablehlo.broadcast_in_dim"(%bits_c) <{broadcast_dimensions = array<i64>}> : (tensor<i16>) -> tensor<4xi16>
  %amounts = "stablehlo.multiply"(%lanes, %bits) : (tensor<4xi16>, tensor<4xi16>) -> tensor<4xi16>
  %amount = "stablehlo.broadcast_in_dim"(%amounts) <{broadcast_dimensions = array<i64: 3>}> : (tensor<4xi16>) -> tensor<2x16x2x4xi16>
  %shifted = "stablehlo.shift_right_arithmetic"(%spread, %amount) : (tensor<2x16x2x4xi16>, tensor<2x16x2x4xi16>) -> tensor<2x16x2x4xi16>
  %mask_c = "stablehlo.constant"() <{value = dense<15> : tensor<i16>}> : () -> tensor<i16>
  %mask = "stablehlo.broadcast_in_dim"(%mask_c) <{broadcast_dimensions = array<i64>}> : (tensor<i16>) -> tensor<2x16x2x4xi16>
  %nibbles = "stablehlo.and"(%shifted, %mask) : (tensor<2x16x2x4xi16>, tensor<2x16x2x4xi16>) -> tensor<2x16x2x4xi16>
  %codes = "stablehlo.reshape"(%nibbles) : (tensor<2x16x2x4xi16>) -> tensor<2x16x8xi16>
  %float = "stablehlo.convert"(%codes) : (tensor<2x16x8xi16>) -> tensor<2x16x8xf32>
  %groups = "stablehlo.reshape"(%float) : (tensor<2x16x8xf32>) -> tensor<2x4x4x8xf32>
  %scale = "stablehlo.broadcast_in_dim"(%scales) <{broadcast_dimensions = array<i64: 0, 1, 3>}> : (tensor<2x4x8xf32>) -> tensor<2x4x4x8xf32>
  %offset = "stablehlo.broadcast_in_dim"(%offsets) <{broadcast_dimensions = array<i64: 0, 1, 3>}> : (tensor<2x4x8xf32>) -> tensor<2x4x4x8xf32>
  %scaled = "stablehlo.multiply"(%groups, %scale) : (tensor<2x4x4x8xf32>, tensor<2x4x4x8xf32>) -> tensor<2x4x4x8xf32>
  %moved = "stablehlo.add"(%scaled, %offset) : (tensor<2x4x4x8xf32>, tensor<2x4x4x8xf32>) -> tensor<2x4x4x8xf32>
  %values = "stablehlo.reshape"(%moved) : (tensor<2x4x4x8xf32>) -> tensor<2x16x8xf32>
  %o = "func.call"(%q, %values, %values) <{callee = @attend_f32}> : (tensor<2x3x8xf32>, tensor<2x16x8xf32>, tensor<2x16x8xf32>) -> tensor<2x3x8xf32>
  "func.return"(%o) : (tensor<2x3x8xf32>) -> ()
}) : () -> ()

// Signed nibbles: K has those of channels 0 to 3 in the low halves and 4 to 7 in the high ones, times a scale for the
// tensor; V are bytes cast to pairs of i4.

// CHECK-LABEL: func.func @planar_and_cast
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(
// CHECK-NEXT: k(%planar[h, n, k mod 4] : tensor<2x16x4xi8>) quantized(i4)
// CHECK-NEXT: k_scale(%scale[] : tensor<f32>)
// CHECK-NEXT: v(%bytes[h, n, d floordiv 2] : tensor<2x16x4xi8>) quantized(i4)

"func.func"() <{function_type = (tensor<2x3x8xf32>, tensor<2x16x4xi8>, tensor<2x16x4xi8>, tensor<f32>) -> tensor<2x3x8xf32>, sym_name = "planar_and_cast"}> ({
^bb0(%q: tensor<2x3x8xf32>, %planar: tensor<2x16x4xi8>, %bytes: tensor<2x16x4xi8>, %scale: tensor<f32>):
  %four_c = "stablehlo.constant"() <{value = dense<4> : tensor<i8>}> : () -> tensor<i8>
  %four = "stablehlo.broadcast_in_dim"(%four_c) <{broadcast_dimensions = array<i64>}> : (tensor<i8>) -> tensor<2x16x4xi8>
  %up = "stablehlo.shift_left"(%planar, %four) : (tensor<2x16x4xi8>, tensor<2x16x4xi8>) -> tensor<2x16x4xi8>
  %low = "stablehlo.shift_right_arithmetic"(%up, %four) : (tensor<2x16x4xi8>, tensor<2x16x4xi8>) -> tensor<2x16x4xi8>
  %high = "stablehlo.shift_right_arithmetic"(%planar, %four) : (tensor<2x16x4xi8>, tensor<2x16x4xi8>) -> tensor<2x16x4xi8>
  %codes = "stablehlo.concatenate"(%low, %high) <{dimension = 2 : i64}> : (tensor<2x16x4xi8>, tensor<2x16x4xi8>) -> tensor<2x16x8xi8>
  %float = "stablehlo.convert"(%codes) : (tensor<2x16x8xi8>) -> tensor<2x16x8xf32>
  %scales = "stablehlo.broadcast_in_dim"(%scale) <{broadcast_dimensions = array<i64>}> : (tensor<f32>) -> tensor<2x16x8xf32>
  %k = "stablehlo.multiply"(%float, %scales) : (tensor<2x16x8xf32>, tensor<2x16x8xf32>) -> tensor<2x16x8xf32>
  %cast = "stablehlo.bitcast_convert"(%bytes) : (tensor<2x16x4xi8>) -> tensor<2x16x4x2xi4>
  %signed = "stablehlo.reshape"(%cast) : (tensor<2x16x4x2xi4>) -> tensor<2x16x8xi4>
  %v = "stablehlo.convert"(%signed) : (tensor<2x16x8xi4>) -> tensor<2x16x8xf32>
  %o = "func.call"(%q, %k, %v) <{callee = @attend_f32}> : (tensor<2x3x8xf32>, tensor<2x16x8xf32>, tensor<2x16x8xf32>) -> tensor<2x3x8xf32>
  "func.return"(%o) : (tensor<2x3x8xf32>) -> ()
}) : () -> ()

// 8-bit floats times a scale for each head, of tokens that a table gathers: what is gathered are codes

// CHECK-LABEL: func.func @pages
// CHECK-NEXT: %codes = "stablehlo.gather"(%pool, %table)
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(
// CHECK-NEXT: k(%codes[n, h, k] : tensor<16x2x8xf8E4M3FN>) quantized(f8E4M3FN, round = bf16)
// CHECK-NEXT: k_scale(%scales[h] : tensor<2xbf16>)
// CHECK-NEXT: v(%codes[n, h, d] : tensor<16x2x8xf8E4M3FN>) quantized(f8E4M3FN, round = bf16)
// CHECK-NEXT: v_scale(%scales[h] : tensor<2xbf16>)

"func.func"() <{function_type = (tensor<2x3x8xbf16>, tensor<40x2x8xf8E4M3FN>, tensor<2xbf16>, tensor<16xi32>) -> tensor<2x3x8xbf16>, sym_name = "pages"}> ({
^bb0(%q: tensor<2x3x8xbf16>, %pool: tensor<40x2x8xf8E4M3FN>, %scales: tensor<2xbf16>, %table: tensor<16xi32>):
  %codes = "stablehlo.gather"(%pool, %table) <{dimension_numbers = #stablehlo.gather<offset_dims = [1, 2], collapsed_slice_dims = [0], start_index_map = [0], index_vector_dim = 1>, slice_sizes = array<i64: 1, 2, 8>}> : (tensor<40x2x8xf8E4M3FN>, tensor<16xi32>) -> tensor<16x2x8xf8E4M3FN>
  %float = "stablehlo.convert"(%codes) : (tensor<16x2x8xf8E4M3FN>) -> tensor<16x2x8xbf16>
  %scale = "stablehlo.broadcast_in_dim"(%scales) <{broadcast_dimensions = array<i64: 1>}> : (tensor<2xbf16>) -> tensor<16x2x8xbf16>
  %scaled = "stablehlo.multiply"(%float, %scale) : (tensor<16x2x8xbf16>, tensor<16x2x8xbf16>) -> tensor<16x2x8xbf16>
  %k = "stablehlo.transpose"(%scaled) <{permutation = array<i64: 1, 0, 2>}> : (tensor<16x2x8xbf16>) -> tensor<2x16x8xbf16>
  %o = "func.call"(%q, %k, %k) <{callee = @attend_bf16}> : (tensor<2x3x8xbf16>, tensor<2x16x8xbf16>, tensor<2x16x8xbf16>) -> tensor<2x3x8xbf16>
  "func.return"(%o) : (tensor<2x3x8xbf16>) -> ()
}) : () -> ()

// bf16(codes * scales) with scales in f32 rounds to bf16; codes alone are numbers of bf16, which needs no rounding

// CHECK-LABEL: func.func @rounded
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%q[h, m, k] : tensor<2x3x8xbf16>)
// CHECK-NEXT: k(%codes[h, n, k] : tensor<2x16x8xi8>) quantized(i8, round = bf16)
// CHECK-NEXT: k_scale(%scales[h, n] : tensor<2x16xf32>)
// CHECK-NEXT: v(%codes[h, n, d] : tensor<2x16x8xi8>) quantized(i8)

"func.func"() <{function_type = (tensor<2x3x8xbf16>, tensor<2x16x8xi8>, tensor<2x16xf32>) -> tensor<2x3x8xbf16>, sym_name = "rounded"}> ({
^bb0(%q: tensor<2x3x8xbf16>, %codes: tensor<2x16x8xi8>, %scales: tensor<2x16xf32>):
  %float = "stablehlo.convert"(%codes) : (tensor<2x16x8xi8>) -> tensor<2x16x8xf32>
  %scale = "stablehlo.broadcast_in_dim"(%scales) <{broadcast_dimensions = array<i64: 0, 1>}> : (tensor<2x16xf32>) -> tensor<2x16x8xf32>
  %wide = "stablehlo.multiply"(%float, %scale) : (tensor<2x16x8xf32>, tensor<2x16x8xf32>) -> tensor<2x16x8xf32>
  %k = "stablehlo.convert"(%wide) : (tensor<2x16x8xf32>) -> tensor<2x16x8xbf16>
  %v = "stablehlo.convert"(%codes) : (tensor<2x16x8xi8>) -> tensor<2x16x8xbf16>
  %o = "func.call"(%q, %k, %v) <{callee = @attend_bf16}> : (tensor<2x3x8xbf16>, tensor<2x16x8xbf16>, tensor<2x16x8xbf16>) -> tensor<2x3x8xbf16>
  "func.return"(%o) : (tensor<2x3x8xbf16>) -> ()
}) : () -> ()

// Near miss: the high nibble comes first, which no layout says. The unpacked bytes are the codes then.

// CHECK-LABEL: func.func @swapped
// CHECK: %codes = "stablehlo.reshape"
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(
// CHECK-NEXT: k(%codes[h, n, k] : tensor<2x16x8xui8>) quantized(u8)

"func.func"() <{function_type = (tensor<2x3x8xf32>, tensor<2x16x4xui8>) -> tensor<2x3x8xf32>, sym_name = "swapped"}> ({
^bb0(%q: tensor<2x3x8xf32>, %packed: tensor<2x16x4xui8>):
  %mask_c = "stablehlo.constant"() <{value = dense<15> : tensor<ui8>}> : () -> tensor<ui8>
  %mask = "stablehlo.broadcast_in_dim"(%mask_c) <{broadcast_dimensions = array<i64>}> : (tensor<ui8>) -> tensor<2x16x4xui8>
  %four_c = "stablehlo.constant"() <{value = dense<4> : tensor<ui8>}> : () -> tensor<ui8>
  %four = "stablehlo.broadcast_in_dim"(%four_c) <{broadcast_dimensions = array<i64>}> : (tensor<ui8>) -> tensor<2x16x4xui8>
  %low = "stablehlo.and"(%packed, %mask) : (tensor<2x16x4xui8>, tensor<2x16x4xui8>) -> tensor<2x16x4xui8>
  %high = "stablehlo.shift_right_logical"(%packed, %four) : (tensor<2x16x4xui8>, tensor<2x16x4xui8>) -> tensor<2x16x4xui8>
  %low_column = "stablehlo.broadcast_in_dim"(%low) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x16x4xui8>) -> tensor<2x16x4x1xui8>
  %high_column = "stablehlo.broadcast_in_dim"(%high) <{broadcast_dimensions = array<i64: 0, 1, 2>}> : (tensor<2x16x4xui8>) -> tensor<2x16x4x1xui8>
  %pairs = "stablehlo.concatenate"(%high_column, %low_column) <{dimension = 3 : i64}> : (tensor<2x16x4x1xui8>, tensor<2x16x4x1xui8>) -> tensor<2x16x4x2xui8>
  %codes = "stablehlo.reshape"(%pairs) : (tensor<2x16x4x2xui8>) -> tensor<2x16x8xui8>
  %k = "stablehlo.convert"(%codes) : (tensor<2x16x8xui8>) -> tensor<2x16x8xf32>
  %o = "func.call"(%q, %k, %k) <{callee = @attend_f32}> : (tensor<2x3x8xf32>, tensor<2x16x8xf32>, tensor<2x16x8xf32>) -> tensor<2x3x8xf32>
  "func.return"(%o) : (tensor<2x3x8xf32>) -> ()
}) : () -> ()

// Near miss: in bf16, the product rounds, and then the sum: K stays a tensor of floats

// CHECK-LABEL: func.func @two_roundings
// CHECK: %k = "stablehlo.add"
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(
// CHECK-NEXT: k(%k[h, n, k] : tensor<2x16x8xbf16>)
// CHECK-NEXT: v(%k[h, n, d] : tensor<2x16x8xbf16>)

"func.func"() <{function_type = (tensor<2x3x8xbf16>, tensor<2x16x8xi8>, tensor<2x16xbf16>, tensor<2x16xbf16>) -> tensor<2x3x8xbf16>, sym_name = "two_roundings"}> ({
^bb0(%q: tensor<2x3x8xbf16>, %codes: tensor<2x16x8xi8>, %scales: tensor<2x16xbf16>, %offsets: tensor<2x16xbf16>):
  %float = "stablehlo.convert"(%codes) : (tensor<2x16x8xi8>) -> tensor<2x16x8xbf16>
  %scale = "stablehlo.broadcast_in_dim"(%scales) <{broadcast_dimensions = array<i64: 0, 1>}> : (tensor<2x16xbf16>) -> tensor<2x16x8xbf16>
  %offset = "stablehlo.broadcast_in_dim"(%offsets) <{broadcast_dimensions = array<i64: 0, 1>}> : (tensor<2x16xbf16>) -> tensor<2x16x8xbf16>
  %scaled = "stablehlo.multiply"(%float, %scale) : (tensor<2x16x8xbf16>, tensor<2x16x8xbf16>) -> tensor<2x16x8xbf16>
  %k = "stablehlo.add"(%scaled, %offset) : (tensor<2x16x8xbf16>, tensor<2x16x8xbf16>) -> tensor<2x16x8xbf16>
  %o = "func.call"(%q, %k, %k) <{callee = @attend_bf16}> : (tensor<2x3x8xbf16>, tensor<2x16x8xbf16>, tensor<2x16x8xbf16>) -> tensor<2x3x8xbf16>
  "func.return"(%o) : (tensor<2x3x8xbf16>) -> ()
}) : () -> ()

// Near miss: a difference of bytes in a byte wraps around; what it gives are the codes

// CHECK-LABEL: func.func @wraps
// CHECK: %difference = "stablehlo.subtract"
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(
// CHECK-NEXT: k(%difference[h, n, k] : tensor<2x16x8xi8>) quantized(i8)
// CHECK-NEXT: v(%difference

"func.func"() <{function_type = (tensor<2x3x8xf32>, tensor<2x16x8xi8>, tensor<2x16xi8>) -> tensor<2x3x8xf32>, sym_name = "wraps"}> ({
^bb0(%q: tensor<2x3x8xf32>, %codes: tensor<2x16x8xi8>, %zeros: tensor<2x16xi8>):
  %zero = "stablehlo.broadcast_in_dim"(%zeros) <{broadcast_dimensions = array<i64: 0, 1>}> : (tensor<2x16xi8>) -> tensor<2x16x8xi8>
  %difference = "stablehlo.subtract"(%codes, %zero) : (tensor<2x16x8xi8>, tensor<2x16x8xi8>) -> tensor<2x16x8xi8>
  %k = "stablehlo.convert"(%difference) : (tensor<2x16x8xi8>) -> tensor<2x16x8xf32>
  %o = "func.call"(%q, %k, %k) <{callee = @attend_f32}> : (tensor<2x3x8xf32>, tensor<2x16x8xf32>, tensor<2x16x8xf32>) -> tensor<2x3x8xf32>
  "func.return"(%o) : (tensor<2x3x8xf32>) -> ()
}) : () -> ()

// Near miss: codes up to 255 less zero points down to -128 are no numbers of bf16 any more

// CHECK-LABEL: func.func @inexact
// CHECK: %k = "stablehlo.subtract"
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(
// CHECK-NEXT: k(%k[h, n, k] : tensor<2x16x8xbf16>)

"func.func"() <{function_type = (tensor<2x3x8xbf16>, tensor<2x16x8xui8>, tensor<2x16xi8>) -> tensor<2x3x8xbf16>, sym_name = "inexact"}> ({
^bb0(%q: tensor<2x3x8xbf16>, %codes: tensor<2x16x8xui8>, %zeros: tensor<2x16xi8>):
  %float = "stablehlo.convert"(%codes) : (tensor<2x16x8xui8>) -> tensor<2x16x8xbf16>
  %wide_zeros = "stablehlo.convert"(%zeros) : (tensor<2x16xi8>) -> tensor<2x16xbf16>
  %zero = "stablehlo.broadcast_in_dim"(%wide_zeros) <{broadcast_dimensions = array<i64: 0, 1>}> : (tensor<2x16xbf16>) -> tensor<2x16x8xbf16>
  %k = "stablehlo.subtract"(%float, %zero) : (tensor<2x16x8xbf16>, tensor<2x16x8xbf16>) -> tensor<2x16x8xbf16>
  %o = "func.call"(%q, %k, %k) <{callee = @attend_bf16}> : (tensor<2x3x8xbf16>, tensor<2x16x8xbf16>, tensor<2x16x8xbf16>) -> tensor<2x3x8xbf16>
  "func.return"(%o) : (tensor<2x3x8xbf16>) -> ()
}) : () -> ()

// Near miss: K in f32 is no tensor of bf16, so a query that the graph widens is not read in bf16

// CHECK-LABEL: func.func @unrounded
// CHECK-NEXT: %wide = "stablehlo.convert"
// CHECK-NEXT: %o = attention.sdpa
// CHECK-NEXT: q(%wide[h, m, k] : tensor<2x3x8xf32>)
// CHECK-NEXT: k(%codes[h, n, k] : tensor<2x16x8xi8>) quantized(i8)
// CHECK-NEXT: k_scale(%scales[h, n] : tensor<2x16xf32>)

"func.func"() <{function_type = (tensor<2x3x8xbf16>, tensor<2x16x8xi8>, tensor<2x16xf32>) -> tensor<2x3x8xf32>, sym_name = "unrounded"}> ({
^bb0(%narrow: tensor<2x3x8xbf16>, %codes: tensor<2x16x8xi8>, %scales: tensor<2x16xf32>):
  %float = "stablehlo.convert"(%codes) : (tensor<2x16x8xi8>) -> tensor<2x16x8xf32>
  %scale = "stablehlo.broadcast_in_dim"(%scales) <{broadcast_dimensions = array<i64: 0, 1>}> : (tensor<2x16xf32>) -> tensor<2x16x8xf32>
  %k = "stablehlo.multiply"(%float, %scale) : (tensor<2x16x8xf32>, tensor<2x16x8xf32>) -> tensor<2x16x8xf32>
  %wide = "stablehlo.convert"(%narrow) : (tensor<2x3x8xbf16>) -> tensor<2x3x8xf32>
  %o = "func.call"(%wide, %k, %k) <{callee = @attend_f32}> : (tensor<2x3x8xf32>, tensor<2x16x8xf32>, tensor<2x16x8xf32>) -> tensor<2x3x8xf32>
  "func.return"(%o) : (tensor<2x3x8xf32>) -> ()
}) : () -> ()

// Two pages of 8 slots that are dequantised first and joined then, with the head between them: codes and scales are joined
// in their place. One scale for a page and channel needs none.
// CHECK-LABEL: func.func @joined_pages
// CHECK: [[CODES:%.*]] = "stablehlo.transpose"(%codes) <{permutation = array<i64: 0, 2, 1, 3>}>
// CHECK-NEXT: %k = "stablehlo.reshape"([[CODES]]) : (tensor<2x8x2x8xi8>) -> tensor<16x2x8xi8>
// CHECK: k(%k[n, h, k] : tensor<16x2x8xi8>) quantized(i8)
// CHECK-NEXT: k_scale(%scales[n floordiv 8, h, k] : tensor<2x2x8xf32>)

"func.func"() <{function_type = (tensor<2x3x8xf32>, tensor<2x2x8x8xi8>, tensor<2x2x8xf32>) -> tensor<2x3x8xf32>, sym_name = "joined_pages"}> ({
^bb0(%q: tensor<2x3x8xf32>, %codes: tensor<2x2x8x8xi8>, %scales: tensor<2x2x8xf32>):
  %float = "stablehlo.convert"(%codes) : (tensor<2x2x8x8xi8>) -> tensor<2x2x8x8xf32>
  %scale = "stablehlo.broadcast_in_dim"(%scales) <{broadcast_dimensions = array<i64: 0, 1, 3>}> : (tensor<2x2x8xf32>) -> tensor<2x2x8x8xf32>
  %x = "stablehlo.multiply"(%float, %scale) : (tensor<2x2x8x8xf32>, tensor<2x2x8x8xf32>) -> tensor<2x2x8x8xf32>
  %heads = "stablehlo.transpose"(%x) <{permutation = array<i64: 1, 0, 2, 3>}> : (tensor<2x2x8x8xf32>) -> tensor<2x2x8x8xf32>
  %k = "stablehlo.reshape"(%heads) : (tensor<2x2x8x8xf32>) -> tensor<2x16x8xf32>
  %o = "func.call"(%q, %k, %k) <{callee = @attend_f32}> : (tensor<2x3x8xf32>, tensor<2x16x8xf32>, tensor<2x16x8xf32>) -> tensor<2x3x8xf32>
  "func.return"(%o) : (tensor<2x3x8xf32>) -> ()
}) : () -> ()

"func.func"() <{function_type = (tensor<2x3x8xf32>, tensor<2x16x8xf32>, tensor<2x16x8xf32>) -> tensor<2x3x8xf32>, sym_name = "attend_f32", sym_visibility = "private"}> ({
^bb0(%q: tensor<2x3x8xf32>, %k: tensor<2x16x8xf32>, %v: tensor<2x16x8xf32>):
  %s = "stablehlo.dot_general"(%q, %k) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0], rhs_batching_dimensions = [0], lhs_contracting_dimensions = [2], rhs_contracting_dimensions = [2]>}> : (tensor<2x3x8xf32>, tensor<2x16x8xf32>) -> tensor<2x3x16xf32>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %m = "stablehlo.reduce"(%s, %low) <{dimensions = array<i64: 2>}> ({
  ^bb0(%a: tensor<f32>, %b: tensor<f32>):
    %c = "stablehlo.maximum"(%a, %b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%c) : (tensor<f32>) -> ()
  }) : (tensor<2x3x16xf32>, tensor<f32>) -> tensor<2x3xf32>
  %mb = "stablehlo.broadcast_in_dim"(%m) <{broadcast_dimensions = array<i64: 0, 1>}> : (tensor<2x3xf32>) -> tensor<2x3x16xf32>
  %x = "stablehlo.subtract"(%s, %mb) : (tensor<2x3x16xf32>, tensor<2x3x16xf32>) -> tensor<2x3x16xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<2x3x16xf32>) -> tensor<2x3x16xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %l = "stablehlo.reduce"(%e, %zero) <{dimensions = array<i64: 2>}> ({
  ^bb0(%a: tensor<f32>, %b: tensor<f32>):
    %c = "stablehlo.add"(%a, %b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%c) : (tensor<f32>) -> ()
  }) : (tensor<2x3x16xf32>, tensor<f32>) -> tensor<2x3xf32>
  %lb = "stablehlo.broadcast_in_dim"(%l) <{broadcast_dimensions = array<i64: 0, 1>}> : (tensor<2x3xf32>) -> tensor<2x3x16xf32>
  %p = "stablehlo.divide"(%e, %lb) : (tensor<2x3x16xf32>, tensor<2x3x16xf32>) -> tensor<2x3x16xf32>
  %o = "stablehlo.dot_general"(%p, %v) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0], rhs_batching_dimensions = [0], lhs_contracting_dimensions = [2], rhs_contracting_dimensions = [1]>}> : (tensor<2x3x16xf32>, tensor<2x16x8xf32>) -> tensor<2x3x8xf32>
  "func.return"(%o) : (tensor<2x3x8xf32>) -> ()
}) : () -> ()

"func.func"() <{function_type = (tensor<2x3x8xbf16>, tensor<2x16x8xbf16>, tensor<2x16x8xbf16>) -> tensor<2x3x8xbf16>, sym_name = "attend_bf16", sym_visibility = "private"}> ({
^bb0(%q: tensor<2x3x8xbf16>, %k: tensor<2x16x8xbf16>, %v: tensor<2x16x8xbf16>):
  %s = "stablehlo.dot_general"(%q, %k) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0], rhs_batching_dimensions = [0], lhs_contracting_dimensions = [2], rhs_contracting_dimensions = [2]>}> : (tensor<2x3x8xbf16>, tensor<2x16x8xbf16>) -> tensor<2x3x16xf32>
  %low = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
  %m = "stablehlo.reduce"(%s, %low) <{dimensions = array<i64: 2>}> ({
  ^bb0(%a: tensor<f32>, %b: tensor<f32>):
    %c = "stablehlo.maximum"(%a, %b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%c) : (tensor<f32>) -> ()
  }) : (tensor<2x3x16xf32>, tensor<f32>) -> tensor<2x3xf32>
  %mb = "stablehlo.broadcast_in_dim"(%m) <{broadcast_dimensions = array<i64: 0, 1>}> : (tensor<2x3xf32>) -> tensor<2x3x16xf32>
  %x = "stablehlo.subtract"(%s, %mb) : (tensor<2x3x16xf32>, tensor<2x3x16xf32>) -> tensor<2x3x16xf32>
  %e = "stablehlo.exponential"(%x) : (tensor<2x3x16xf32>) -> tensor<2x3x16xf32>
  %zero = "stablehlo.constant"() <{value = dense<0.0> : tensor<f32>}> : () -> tensor<f32>
  %l = "stablehlo.reduce"(%e, %zero) <{dimensions = array<i64: 2>}> ({
  ^bb0(%a: tensor<f32>, %b: tensor<f32>):
    %c = "stablehlo.add"(%a, %b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "stablehlo.return"(%c) : (tensor<f32>) -> ()
  }) : (tensor<2x3x16xf32>, tensor<f32>) -> tensor<2x3xf32>
  %lb = "stablehlo.broadcast_in_dim"(%l) <{broadcast_dimensions = array<i64: 0, 1>}> : (tensor<2x3xf32>) -> tensor<2x3x16xf32>
  %p = "stablehlo.divide"(%e, %lb) : (tensor<2x3x16xf32>, tensor<2x3x16xf32>) -> tensor<2x3x16xf32>
  %pw = "stablehlo.convert"(%p) : (tensor<2x3x16xf32>) -> tensor<2x3x16xbf16>
  %o = "stablehlo.dot_general"(%pw, %v) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0], rhs_batching_dimensions = [0], lhs_contracting_dimensions = [2], rhs_contracting_dimensions = [1]>}> : (tensor<2x3x16xbf16>, tensor<2x16x8xbf16>) -> tensor<2x3x8xbf16>
  "func.return"(%o) : (tensor<2x3x8xbf16>) -> ()
}) : () -> ()
