// RUN: xdsl-opt %s -p decompose-attention --split-input-file | filecheck %s
// RUN: xdsl-opt %s -p decompose-attention --split-input-file | xdsl-opt --split-input-file | filecheck %s

// Every operation of the attention dialect as plain StableHLO. The interesting operations are checked, in order; what
// stands between them are constants and broadcasts.

// Attention over whole sequences, with grouped heads (2 KV heads of 2 query heads) and lengths:
//
//   S = scale * Q K^T                                     products of bf16, sums in f32
//   S = select(n < clamp(len, 0, N), S, -inf)             keys beyond a length do not exist ...
//   V = select(n < clamp(len, 0, N), V, 0)                ... and 0 * NaN must not bring them back
//   M = max_n S;  M' = select(M == -inf, 0, M)            a row without keys must not give -inf - -inf
//   P = exp(S - M');  L = sum_n P
//   O = select(M == -inf, 0, P V / L)                     ... nor 0 / 0

func.func @sdpa(%q: tensor<2x4x1x16xbf16>, %k: tensor<2x2x100x16xbf16>, %v: tensor<2x100x2x8xbf16>,
                %lens: tensor<2xi32>) -> tensor<2x4x1x8xbf16> {
  %o = attention.sdpa
      q(%q[b, h * 2 + g, m, k] : tensor<2x4x1x16xbf16>)
      k(%k[b, h, n, k] : tensor<2x2x100x16xbf16>)
      v(%v[b, n, h, d] : tensor<2x100x2x8xbf16>)
      kv_lens(%lens[b] : tensor<2xi32>)
      scale(0.25) -> out[b, h * 2 + g, m, d] : tensor<2x4x1x8xbf16>
  func.return %o : tensor<2x4x1x8xbf16>
}

// CHECK-LABEL: func.func @sdpa
// CHECK-NOT: attention.
// CHECK: %v_1 = "stablehlo.convert"(%v) : (tensor<2x100x2x8xbf16>) -> tensor<2x100x2x8xf32>
// CHECK: %q_1 = "stablehlo.reshape"(%q) : (tensor<2x4x1x16xbf16>) -> tensor<2x2x2x1x16xbf16>
// CHECK: %scores = "stablehlo.dot_general"(%q_1, %k) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [4], rhs_contracting_dimensions = [3]>}> : (tensor<2x2x2x1x16xbf16>, tensor<2x2x100x16xbf16>) -> tensor<2x2x2x1x100xf32>
// CHECK: %scores_1 = "stablehlo.multiply"(%scores, {{%[0-9]+}}) : (tensor<2x2x2x1x100xf32>, tensor<2x2x2x1x100xf32>) -> tensor<2x2x2x1x100xf32>
// CHECK: %lens_1 = "stablehlo.convert"(%lens) : (tensor<2xi32>) -> tensor<2xi64>
// CHECK: %kv_lens = "stablehlo.clamp"({{%[0-9]+}}, %lens_1, {{%[0-9]+}}) : (tensor<i64>, tensor<2xi64>, tensor<i64>) -> tensor<2xi64>
// CHECK: %n = "stablehlo.iota"() <{iota_dimension = 0 : i64}> : () -> tensor<100xi64>
// CHECK: {{%[0-9]+}} = "stablehlo.compare"(%n_1, %kv_lens_1) <{comparison_direction = #stablehlo<comparison_direction LT>}> : (tensor<2x100xi64>, tensor<2x100xi64>) -> tensor<2x100xi1>
// CHECK: %scores_2 = "stablehlo.select"({{%[0-9]+}}, %scores_1, {{%[0-9]+}}) : (tensor<2x2x2x1x100xi1>, tensor<2x2x2x1x100xf32>, tensor<2x2x2x1x100xf32>) -> tensor<2x2x2x1x100xf32>
// CHECK: %v_2 = "stablehlo.transpose"(%v_1) <{permutation = array<i64: 0, 2, 1, 3>}> : (tensor<2x100x2x8xf32>) -> tensor<2x2x100x8xf32>
// CHECK: %v_3 = "stablehlo.select"({{%[0-9]+}}, %v_2, {{%[0-9]+}}) : (tensor<2x2x100x8xi1>, tensor<2x2x100x8xf32>, tensor<2x2x100x8xf32>) -> tensor<2x2x100x8xf32>
// CHECK: %row_max = "stablehlo.reduce"(%scores_2, {{%[0-9]+}}) <{dimensions = array<i64: 4>}> ({
// CHECK: }) : (tensor<2x2x2x1x100xf32>, tensor<f32>) -> tensor<2x2x2x1xf32>
// CHECK: {{%[0-9]+}} = "stablehlo.compare"(%row_max, {{%[0-9]+}}) <{comparison_direction = #stablehlo<comparison_direction EQ>}> : (tensor<2x2x2x1xf32>, tensor<2x2x2x1xf32>) -> tensor<2x2x2x1xi1>
// CHECK: %row_max_1 = "stablehlo.select"({{%[0-9]+}}, {{%[0-9]+}}, %row_max) : (tensor<2x2x2x1xi1>, tensor<2x2x2x1xf32>, tensor<2x2x2x1xf32>) -> tensor<2x2x2x1xf32>
// CHECK: %weights = "stablehlo.exponential"({{%[0-9]+}}) : (tensor<2x2x2x1x100xf32>) -> tensor<2x2x2x1x100xf32>
// CHECK: %row_sum = "stablehlo.reduce"(%weights, {{%[0-9]+}}) <{dimensions = array<i64: 4>}> ({
// CHECK: }) : (tensor<2x2x2x1x100xf32>, tensor<f32>) -> tensor<2x2x2x1xf32>
// CHECK: %out = "stablehlo.dot_general"(%weights, %v_3) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [4], rhs_contracting_dimensions = [2]>}> : (tensor<2x2x2x1x100xf32>, tensor<2x2x100x8xf32>) -> tensor<2x2x2x1x8xf32>
// CHECK: {{%[0-9]+}} = "stablehlo.divide"(%out, %row_sum_1) : (tensor<2x2x2x1x8xf32>, tensor<2x2x2x1x8xf32>) -> tensor<2x2x2x1x8xf32>
// CHECK: %out_1 = "stablehlo.select"({{%[0-9]+}}, {{%[0-9]+}}, {{%[0-9]+}}) : (tensor<2x2x2x1x8xi1>, tensor<2x2x2x1x8xf32>, tensor<2x2x2x1x8xf32>) -> tensor<2x2x2x1x8xf32>
// CHECK: %out_2 = "stablehlo.convert"(%out_1) : (tensor<2x2x2x1x8xf32>) -> tensor<2x2x2x1x8xbf16>
// CHECK: %out_3 = "stablehlo.reshape"(%out_2) : (tensor<2x2x2x1x8xbf16>) -> tensor<2x4x1x8xbf16>
// CHECK: func.return %out_3 : tensor<2x4x1x8xbf16>

// -----

// Splits of equal length (6 tiles of 16 keys over 3 splits) are a reshape, [B, N, K] -> [B, G, N/G, K]; the note on
// flash decoding calls the results O' and LSE:
//
//   S[g] = Q K[g]^T;  P[g] = exp(S[g] - max S[g]);  L[g] = sum P[g]
//   O'[g] = P[g] V[g] / L[g];  LSE[g] = max S[g] + log(L[g])
//
// The score region's n counts over all splits, so its iota is reshaped as the keys are.

func.func @even(%q: tensor<2x1x16xf32>, %k: tensor<2x96x16xf32>, %v: tensor<2x96x8xf32>)
    -> (tensor<2x1x1x3x1x8xf32>, tensor<2x1x1x3x1xf32>) {
  %o, %lse = attention.partial
      q(%q[b, m, k] : tensor<2x1x16xf32>) k(%k[b, n, k] : tensor<2x96x16xf32>) v(%v[b, n, d] : tensor<2x96x8xf32>)
      splits(3) tile(16) scale(1.0) score(causal(n <= m + 95))
      -> out : tensor<2x1x1x3x1x8xf32>, lse : tensor<2x1x1x3x1xf32>
  func.return %o, %lse : tensor<2x1x1x3x1x8xf32>, tensor<2x1x1x3x1xf32>
}

// CHECK-LABEL: func.func @even
// CHECK-NOT: attention.
// CHECK: %v_1 = "stablehlo.reshape"(%v) : (tensor<2x96x8xf32>) -> tensor<2x3x32x8xf32>
// CHECK: %k_1 = "stablehlo.reshape"(%k) : (tensor<2x96x16xf32>) -> tensor<2x3x32x16xf32>
// CHECK: %scores = "stablehlo.dot_general"(%q, %k_1) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0], rhs_batching_dimensions = [0], lhs_contracting_dimensions = [2], rhs_contracting_dimensions = [3]>}> : (tensor<2x1x16xf32>, tensor<2x3x32x16xf32>) -> tensor<2x1x3x32xf32>
// CHECK: %scores_1 = "stablehlo.transpose"(%scores) <{permutation = array<i64: 0, 2, 1, 3>}> : (tensor<2x1x3x32xf32>) -> tensor<2x3x1x32xf32>
// CHECK: %m = "stablehlo.iota"() <{iota_dimension = 0 : i64}> : () -> tensor<1xi64>
// CHECK: %split_n = "stablehlo.iota"() <{iota_dimension = 0 : i64}> : () -> tensor<96xi64>
// CHECK: %split_n_1 = "stablehlo.reshape"(%split_n) : (tensor<96xi64>) -> tensor<3x32xi64>
// CHECK: {{%[0-9]+}} = "stablehlo.compare"(%split_n_2, {{%[0-9]+}}) <{comparison_direction = #stablehlo<comparison_direction LE>}> : (tensor<3x1x32xi64>, tensor<3x1x32xi64>) -> tensor<3x1x32xi1>
// CHECK: {{%[0-9]+}} = "stablehlo.select"({{%[0-9]+}}, %scores_1, {{%[0-9]+}}) : (tensor<2x3x1x32xi1>, tensor<2x3x1x32xf32>, tensor<2x3x1x32xf32>) -> tensor<2x3x1x32xf32>
// CHECK: %row_max = "stablehlo.reduce"({{%[0-9]+}}, {{%[0-9]+}}) <{dimensions = array<i64: 3>}> ({
// CHECK: }) : (tensor<2x3x1x32xf32>, tensor<f32>) -> tensor<2x3x1xf32>
// CHECK: {{%[0-9]+}} = "stablehlo.compare"(%row_max, {{%[0-9]+}}) <{comparison_direction = #stablehlo<comparison_direction EQ>}> : (tensor<2x3x1xf32>, tensor<2x3x1xf32>) -> tensor<2x3x1xi1>
// CHECK: %row_max_1 = "stablehlo.select"({{%[0-9]+}}, {{%[0-9]+}}, %row_max) : (tensor<2x3x1xi1>, tensor<2x3x1xf32>, tensor<2x3x1xf32>) -> tensor<2x3x1xf32>
// CHECK: %weights = "stablehlo.exponential"({{%[0-9]+}}) : (tensor<2x3x1x32xf32>) -> tensor<2x3x1x32xf32>
// CHECK: %row_sum = "stablehlo.reduce"(%weights, {{%[0-9]+}}) <{dimensions = array<i64: 3>}> ({
// CHECK: }) : (tensor<2x3x1x32xf32>, tensor<f32>) -> tensor<2x3x1xf32>
// CHECK: %out = "stablehlo.dot_general"(%weights, %v_1) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0, 1], rhs_batching_dimensions = [0, 1], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [2]>}> : (tensor<2x3x1x32xf32>, tensor<2x3x32x8xf32>) -> tensor<2x3x1x8xf32>
// CHECK: {{%[0-9]+}} = "stablehlo.divide"(%out, %row_sum_1) : (tensor<2x3x1x8xf32>, tensor<2x3x1x8xf32>) -> tensor<2x3x1x8xf32>
// CHECK: %out_1 = "stablehlo.select"({{%[0-9]+}}, {{%[0-9]+}}, {{%[0-9]+}}) : (tensor<2x3x1x8xi1>, tensor<2x3x1x8xf32>, tensor<2x3x1x8xf32>) -> tensor<2x3x1x8xf32>
// CHECK: {{%[0-9]+}} = "stablehlo.log"(%row_sum) : (tensor<2x3x1xf32>) -> tensor<2x3x1xf32>
// CHECK: func.return %out_2, %lse_1 : tensor<2x1x1x3x1x8xf32>, tensor<2x1x1x3x1xf32>

// -----

// 100 keys are 7 tiles of 16, which 3 splits share out as 2, 2 and 3: every split sees all keys, and those that are
// not its own are masked. Nothing is padded.
//
//   start[g] = floor(7 * g / 3) * 16;  end[g] = floor(7 * (g + 1) / 3) * 16
//   S[g] = select(start[g] <= n < end[g], Q K^T, -inf)
//   V[g] = select(start[g] <= n < end[g], V, 0)

func.func @uneven(%q: tensor<1x16xf32>, %k: tensor<100x16xf32>, %v: tensor<100x8xf32>)
    -> (tensor<1x1x3x1x8xf32>, tensor<1x1x3x1xf32>) {
  %o, %lse = attention.partial
      q(%q[m, k] : tensor<1x16xf32>) k(%k[n, k] : tensor<100x16xf32>) v(%v[n, d] : tensor<100x8xf32>)
      splits(3) tile(16) scale(1.0) -> out : tensor<1x1x3x1x8xf32>, lse : tensor<1x1x3x1xf32>
  func.return %o, %lse : tensor<1x1x3x1x8xf32>, tensor<1x1x3x1xf32>
}

// CHECK-LABEL: func.func @uneven
// CHECK-NOT: attention.
// CHECK: %scores = "stablehlo.dot_general"(%q, %k) <{dot_dimension_numbers = #stablehlo.dot<lhs_contracting_dimensions = [1], rhs_contracting_dimensions = [1]>}> : (tensor<1x16xf32>, tensor<100x16xf32>) -> tensor<1x100xf32>
// CHECK: %n = "stablehlo.iota"() <{iota_dimension = 0 : i64}> : () -> tensor<100xi64>
// CHECK: %split = "stablehlo.iota"() <{iota_dimension = 0 : i64}> : () -> tensor<3xi64>
// CHECK: {{%[0-9]+}} = "stablehlo.multiply"({{%[0-9]+}}, %split) : (tensor<3xi64>, tensor<3xi64>) -> tensor<3xi64>
// CHECK: {{%[0-9]+}} = "stablehlo.divide"({{%[0-9]+}}, {{%[0-9]+}}) : (tensor<3xi64>, tensor<3xi64>) -> tensor<3xi64>
// CHECK: %split_start = "stablehlo.multiply"({{%[0-9]+}}, {{%[0-9]+}}) : (tensor<3xi64>, tensor<3xi64>) -> tensor<3xi64>
// CHECK: {{%[0-9]+}} = "stablehlo.compare"(%n_1, %split_start_1) <{comparison_direction = #stablehlo<comparison_direction GE>}> : (tensor<3x100xi64>, tensor<3x100xi64>) -> tensor<3x100xi1>
// CHECK: {{%[0-9]+}} = "stablehlo.multiply"({{%[0-9]+}}, {{%[0-9]+}}) : (tensor<3xi64>, tensor<3xi64>) -> tensor<3xi64>
// CHECK: {{%[0-9]+}} = "stablehlo.divide"({{%[0-9]+}}, {{%[0-9]+}}) : (tensor<3xi64>, tensor<3xi64>) -> tensor<3xi64>
// CHECK: %split_end = "stablehlo.multiply"({{%[0-9]+}}, {{%[0-9]+}}) : (tensor<3xi64>, tensor<3xi64>) -> tensor<3xi64>
// CHECK: {{%[0-9]+}} = "stablehlo.compare"(%n_2, %split_end_1) <{comparison_direction = #stablehlo<comparison_direction LT>}> : (tensor<3x100xi64>, tensor<3x100xi64>) -> tensor<3x100xi1>
// CHECK: %in_split = "stablehlo.and"({{%[0-9]+}}, {{%[0-9]+}}) : (tensor<3x100xi1>, tensor<3x100xi1>) -> tensor<3x100xi1>
// CHECK: %scores_2 = "stablehlo.select"(%in_split_1, %scores_1, {{%[0-9]+}}) : (tensor<3x1x100xi1>, tensor<3x1x100xf32>, tensor<3x1x100xf32>) -> tensor<3x1x100xf32>
// CHECK: %v_2 = "stablehlo.select"(%in_split_2, %v_1, {{%[0-9]+}}) : (tensor<3x100x8xi1>, tensor<3x100x8xf32>, tensor<3x100x8xf32>) -> tensor<3x100x8xf32>
// CHECK: %row_max = "stablehlo.reduce"(%scores_2, {{%[0-9]+}}) <{dimensions = array<i64: 2>}> ({
// CHECK: }) : (tensor<3x1x100xf32>, tensor<f32>) -> tensor<3x1xf32>
// CHECK: {{%[0-9]+}} = "stablehlo.compare"(%row_max, {{%[0-9]+}}) <{comparison_direction = #stablehlo<comparison_direction EQ>}> : (tensor<3x1xf32>, tensor<3x1xf32>) -> tensor<3x1xi1>
// CHECK: %row_max_1 = "stablehlo.select"({{%[0-9]+}}, {{%[0-9]+}}, %row_max) : (tensor<3x1xi1>, tensor<3x1xf32>, tensor<3x1xf32>) -> tensor<3x1xf32>
// CHECK: %weights = "stablehlo.exponential"({{%[0-9]+}}) : (tensor<3x1x100xf32>) -> tensor<3x1x100xf32>
// CHECK: %row_sum = "stablehlo.reduce"(%weights, {{%[0-9]+}}) <{dimensions = array<i64: 2>}> ({
// CHECK: }) : (tensor<3x1x100xf32>, tensor<f32>) -> tensor<3x1xf32>
// CHECK: %out = "stablehlo.dot_general"(%weights, %v_2) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [0], rhs_batching_dimensions = [0], lhs_contracting_dimensions = [2], rhs_contracting_dimensions = [1]>}> : (tensor<3x1x100xf32>, tensor<3x100x8xf32>) -> tensor<3x1x8xf32>
// CHECK: {{%[0-9]+}} = "stablehlo.divide"(%out, %row_sum_1) : (tensor<3x1x8xf32>, tensor<3x1x8xf32>) -> tensor<3x1x8xf32>
// CHECK: %out_1 = "stablehlo.select"({{%[0-9]+}}, {{%[0-9]+}}, {{%[0-9]+}}) : (tensor<3x1x8xi1>, tensor<3x1x8xf32>, tensor<3x1x8xf32>) -> tensor<3x1x8xf32>
// CHECK: {{%[0-9]+}} = "stablehlo.log"(%row_sum) : (tensor<3x1xf32>) -> tensor<3x1xf32>
// CHECK: func.return %out_2, %lse_1 : tensor<1x1x3x1x8xf32>, tensor<1x1x3x1xf32>

// -----

// The second step, with a sink in the sum:
//
//   scale = softmax(LSE over G, sink);  O = sum_g scale[g] * O'[g]
//
// An empty split has LSE = -inf: its scale is 0, and its output is not looked at.

func.func @combine(%p: tensor<2x1x2x3x1x8xf32>, %l: tensor<2x1x2x3x1xf32>, %sinks: tensor<2xf32>)
    -> (tensor<2x2x8xf16>, tensor<2x2xf32>) {
  %o, %lse = attention.combine
      partial(%p : tensor<2x1x2x3x1x8xf32>) lse(%l : tensor<2x1x2x3x1xf32>) sinks(%sinks[g] : tensor<2xf32>)
      -> out[b, g, d] : tensor<2x2x8xf16>, lse[b, g] : tensor<2x2xf32>
  func.return %o, %lse : tensor<2x2x8xf16>, tensor<2x2xf32>
}

// CHECK-LABEL: func.func @combine
// CHECK-NOT: attention.
// CHECK: %row_max = "stablehlo.reduce"(%l, {{%[0-9]+}}) <{dimensions = array<i64: 3>}> ({
// CHECK: }) : (tensor<2x1x2x3x1xf32>, tensor<f32>) -> tensor<2x1x2x1xf32>
// CHECK: {{%[0-9]+}} = "stablehlo.compare"(%row_max, {{%[0-9]+}}) <{comparison_direction = #stablehlo<comparison_direction EQ>}> : (tensor<2x1x2x1xf32>, tensor<2x1x2x1xf32>) -> tensor<2x1x2x1xi1>
// CHECK: {{%[0-9]+}} = "stablehlo.compare"(%row_max_1, {{%[0-9]+}}) <{comparison_direction = #stablehlo<comparison_direction EQ>}> : (tensor<2x1x2x1xf32>, tensor<2x1x2x1xf32>) -> tensor<2x1x2x1xi1>
// CHECK: %row_max_2 = "stablehlo.select"({{%[0-9]+}}, {{%[0-9]+}}, %row_max_1) : (tensor<2x1x2x1xi1>, tensor<2x1x2x1xf32>, tensor<2x1x2x1xf32>) -> tensor<2x1x2x1xf32>
// CHECK: %weights = "stablehlo.exponential"({{%[0-9]+}}) : (tensor<2x1x2x3x1xf32>) -> tensor<2x1x2x3x1xf32>
// CHECK: %row_sum = "stablehlo.reduce"(%weights, {{%[0-9]+}}) <{dimensions = array<i64: 3>}> ({
// CHECK: }) : (tensor<2x1x2x3x1xf32>, tensor<f32>) -> tensor<2x1x2x1xf32>
// CHECK: %sink_weight = "stablehlo.exponential"({{%[0-9]+}}) : (tensor<2x1x2x1xf32>) -> tensor<2x1x2x1xf32>
// CHECK: {{%[0-9]+}} = "stablehlo.divide"(%weights, %row_sum_2) : (tensor<2x1x2x3x1xf32>, tensor<2x1x2x3x1xf32>) -> tensor<2x1x2x3x1xf32>
// CHECK: %scale = "stablehlo.select"({{%[0-9]+}}, {{%[0-9]+}}, {{%[0-9]+}}) : (tensor<2x1x2x3x1xi1>, tensor<2x1x2x3x1xf32>, tensor<2x1x2x3x1xf32>) -> tensor<2x1x2x3x1xf32>
// CHECK: {{%[0-9]+}} = "stablehlo.compare"(%l, {{%[0-9]+}}) <{comparison_direction = #stablehlo<comparison_direction EQ>}> : (tensor<2x1x2x3x1xf32>, tensor<2x1x2x3x1xf32>) -> tensor<2x1x2x3x1xi1>
// CHECK: {{%[0-9]+}} = "stablehlo.select"({{%[0-9]+}}, {{%[0-9]+}}, %p) : (tensor<2x1x2x3x1x8xi1>, tensor<2x1x2x3x1x8xf32>, tensor<2x1x2x3x1x8xf32>) -> tensor<2x1x2x3x1x8xf32>
// CHECK: {{%[0-9]+}} = "stablehlo.multiply"({{%[0-9]+}}, %scale_1) : (tensor<2x1x2x3x1x8xf32>, tensor<2x1x2x3x1x8xf32>) -> tensor<2x1x2x3x1x8xf32>
// CHECK: %out = "stablehlo.reduce"({{%[0-9]+}}, {{%[0-9]+}}) <{dimensions = array<i64: 3>}> ({
// CHECK: }) : (tensor<2x1x2x3x1x8xf32>, tensor<f32>) -> tensor<2x1x2x1x8xf32>
// CHECK: %out_1 = "stablehlo.convert"(%out) : (tensor<2x1x2x1x8xf32>) -> tensor<2x1x2x1x8xf16>
// CHECK: %out_2 = "stablehlo.reshape"(%out_1) : (tensor<2x1x2x1x8xf16>) -> tensor<2x2x8xf16>
// CHECK: {{%[0-9]+}} = "stablehlo.log"(%row_sum_1) : (tensor<2x1x2x1xf32>) -> tensor<2x1x2x1xf32>
// CHECK: %lse_1 = "stablehlo.reshape"(%lse) : (tensor<2x1x2x1xf32>) -> tensor<2x2xf32>
// CHECK: func.return %out_2, %lse_1 : tensor<2x2x8xf16>, tensor<2x2xf32>

// -----

// With the sums L'[g] of the splits. M'[g] is exactly the maximum of a split where the logits are so large that
// M + log(L) rounds to M:
//
//   M'[g] = select(L'[g] == 0, -inf, LSE[g] - log(L'[g]))      a split without keys: not -inf - -inf
//   P[g]  = exp(M'[g] - max(M', sink)) * L'[g];  L = sum_g P[g] + exp(sink - max)
//   scale = P / L;  O = sum_g scale[g] * O'[g];  LSE = max + log(L)

func.func @combine_sums(%p: tensor<2x3x1x2x1x8xf32>, %l: tensor<2x3x1x2x1xf32>, %sums: tensor<2x3x1x2x1xf32>,
                        %sinks: tensor<3xf32>) -> (tensor<2x3x8xf16>, tensor<2x3xf32>) {
  %o, %lse = attention.combine
      partial(%p : tensor<2x3x1x2x1x8xf32>) lse(%l : tensor<2x3x1x2x1xf32>) sum(%sums : tensor<2x3x1x2x1xf32>)
      sinks(%sinks[h] : tensor<3xf32>)
      -> out[b, h, d] : tensor<2x3x8xf16>, lse[b, h] : tensor<2x3xf32>
  func.return %o, %lse : tensor<2x3x8xf16>, tensor<2x3xf32>
}

// CHECK-LABEL: func.func @combine_sums
// CHECK-NOT: attention.
// CHECK: [[NOTHING:%[0-9]+]] = "stablehlo.compare"(%sums, {{%[0-9]+}}) <{comparison_direction = #stablehlo<comparison_direction EQ>}>
// CHECK: [[LOG:%[0-9]+]] = "stablehlo.log"(%sums) : (tensor<2x3x1x2x1xf32>) -> tensor<2x3x1x2x1xf32>
// CHECK: [[TOP:%[0-9]+]] = "stablehlo.subtract"(%l, [[LOG]])
// CHECK: %split_max = "stablehlo.select"([[NOTHING]], {{%[0-9]+}}, [[TOP]])
// CHECK: %row_max = "stablehlo.reduce"(%split_max, {{%[0-9]+}}) <{dimensions = array<i64: 3>}> ({
// CHECK: %row_max_1 = "stablehlo.maximum"(%row_max, %sinks_1)
// CHECK: [[SHIFTED:%[0-9]+]] = "stablehlo.subtract"(%split_max, %row_max_3)
// CHECK: %weights = "stablehlo.exponential"([[SHIFTED]])
// CHECK: %weights_1 = "stablehlo.multiply"(%weights, %sums)
// CHECK: %row_sum = "stablehlo.reduce"(%weights_1, {{%[0-9]+}}) <{dimensions = array<i64: 3>}> ({
// CHECK: %sink_weight = "stablehlo.exponential"
// CHECK: %row_sum_1 = "stablehlo.add"(%row_sum, %sink_weight)
// CHECK: {{%[0-9]+}} = "stablehlo.divide"(%weights_1, %row_sum_2)
// CHECK: {{%[0-9]+}} = "stablehlo.compare"(%split_max, {{%[0-9]+}}) <{comparison_direction = #stablehlo<comparison_direction EQ>}>
// CHECK: %out = "stablehlo.reduce"
// CHECK: {{%[0-9]+}} = "stablehlo.log"(%row_sum_1)
// CHECK: %lse = "stablehlo.add"(%row_max_2, {{%[0-9]+}})

// -----

// The sum of a partial is L, which it has anyway.

func.func @partial_sum(%q: tensor<2x16xf32>, %k: tensor<100x16xf32>)
    -> (tensor<1x1x3x2x16xf32>, tensor<1x1x3x2xf32>, tensor<1x1x3x2xf32>) {
  %o, %lse, %sum = attention.partial
      q(%q[m, k] : tensor<2x16xf32>) k(%k[n, k] : tensor<100x16xf32>) v(%k[n, d] : tensor<100x16xf32>)
      splits(3) tile(16) scale(1.0)
      -> out : tensor<1x1x3x2x16xf32>, lse : tensor<1x1x3x2xf32>, sum : tensor<1x1x3x2xf32>
  func.return %o, %lse, %sum : tensor<1x1x3x2x16xf32>, tensor<1x1x3x2xf32>, tensor<1x1x3x2xf32>
}

// CHECK-LABEL: func.func @partial_sum
// CHECK-NOT: attention.
// CHECK: %row_sum = "stablehlo.reduce"(%weights, {{%[0-9]+}}) <{dimensions = array<i64: 2>}> ({
// CHECK: }) : (tensor<3x2x100xf32>, tensor<f32>) -> tensor<3x2xf32>
// CHECK: %row_sum_2 = "stablehlo.broadcast_in_dim"(%row_sum) <{broadcast_dimensions = array<i64: 2, 3>}> : (tensor<3x2xf32>) -> tensor<1x1x3x2xf32>
// CHECK: func.return %out_2, %lse_1, %row_sum_2

// -----

// A score region on whole tensors: an index is an iota, a read at indices of the region and constants is a transpose
// of what it reads, any other read a gather.

func.func @score(%q: tensor<3x8xf32>, %k: tensor<5x8xf32>, %bias: tensor<1x5x3xbf16>, %table: tensor<4xf32>)
    -> tensor<3x8xf32> {
  %o = attention.sdpa
      q(%q[m, k] : tensor<3x8xf32>) k(%k[n, k] : tensor<5x8xf32>) v(%k[n, d] : tensor<5x8xf32>) scale(1.0) score {
      ^bb0(%s: f32, %hq: index, %m: index, %n: index):
        %zero = arith.constant 0 : index
        %b = tensor.extract %bias[%zero, %n, %m] : tensor<1x5x3xbf16>
        %wide = arith.extf %b : bf16 to f32
        %sum = arith.addf %s, %wide : f32
        %distance = arith.subi %m, %n : index
        %t = tensor.extract %table[%distance] : tensor<4xf32>
        %r = arith.addf %sum, %t : f32
        attention.yield %r : f32
      } -> out[m, d] : tensor<3x8xf32>
  func.return %o : tensor<3x8xf32>
}

// CHECK-LABEL: func.func @score
// CHECK-NOT: attention.
// CHECK: %scores = "stablehlo.dot_general"(%q, %k) <{dot_dimension_numbers = #stablehlo.dot<lhs_contracting_dimensions = [1], rhs_contracting_dimensions = [1]>}> : (tensor<3x8xf32>, tensor<5x8xf32>) -> tensor<3x5xf32>
// CHECK: %bias_1 = "stablehlo.reshape"(%bias) : (tensor<1x5x3xbf16>) -> tensor<5x3xbf16>
// CHECK: %bias_2 = "stablehlo.convert"(%bias_1) : (tensor<5x3xbf16>) -> tensor<5x3xf32>
// CHECK: %bias_3 = "stablehlo.transpose"(%bias_2) <{permutation = array<i64: 1, 0>}> : (tensor<5x3xf32>) -> tensor<3x5xf32>
// CHECK: %m = "stablehlo.iota"() <{iota_dimension = 0 : i64}> : () -> tensor<3xi64>
// CHECK: %n = "stablehlo.iota"() <{iota_dimension = 0 : i64}> : () -> tensor<5xi64>
// CHECK: %distance_1 = "stablehlo.reshape"(%distance) : (tensor<3x5xi64>) -> tensor<3x5x1xi64>
// CHECK: %t = "stablehlo.gather"(%table, %distance_1) <{dimension_numbers = #stablehlo.gather<collapsed_slice_dims = [0], start_index_map = [0], index_vector_dim = 2>, slice_sizes = array<i64: 1>}> : (tensor<4xf32>, tensor<3x5x1xi64>) -> tensor<3x5xf32>
// CHECK: %row_max = "stablehlo.reduce"(%r, {{%[0-9]+}}) <{dimensions = array<i64: 1>}> ({
// CHECK: }) : (tensor<3x5xf32>, tensor<f32>) -> tensor<3xf32>
// CHECK: {{%[0-9]+}} = "stablehlo.compare"(%row_max, {{%[0-9]+}}) <{comparison_direction = #stablehlo<comparison_direction EQ>}> : (tensor<3xf32>, tensor<3xf32>) -> tensor<3xi1>
// CHECK: %row_max_1 = "stablehlo.select"({{%[0-9]+}}, {{%[0-9]+}}, %row_max) : (tensor<3xi1>, tensor<3xf32>, tensor<3xf32>) -> tensor<3xf32>
// CHECK: %weights = "stablehlo.exponential"({{%[0-9]+}}) : (tensor<3x5xf32>) -> tensor<3x5xf32>
// CHECK: %row_sum = "stablehlo.reduce"(%weights, {{%[0-9]+}}) <{dimensions = array<i64: 1>}> ({
// CHECK: }) : (tensor<3x5xf32>, tensor<f32>) -> tensor<3xf32>
// CHECK: %out = "stablehlo.dot_general"(%weights, %k) <{dot_dimension_numbers = #stablehlo.dot<lhs_contracting_dimensions = [1], rhs_contracting_dimensions = [0]>}> : (tensor<3x5xf32>, tensor<5x8xf32>) -> tensor<3x8xf32>
// CHECK: {{%[0-9]+}} = "stablehlo.divide"(%out, %row_sum_1) : (tensor<3x8xf32>, tensor<3x8xf32>) -> tensor<3x8xf32>
// CHECK: %out_1 = "stablehlo.select"({{%[0-9]+}}, {{%[0-9]+}}, {{%[0-9]+}}) : (tensor<3x8xi1>, tensor<3x8xf32>, tensor<3x8xf32>) -> tensor<3x8xf32>
// CHECK: func.return %out_1 : tensor<3x8xf32>
