// RUN: xdsl-opt %s -p inline-calls --split-input-file | filecheck %s

// inline-calls replaces calls by bodies, callees first, and deletes the private functions that are left without a user.

// A call of a call; the caller's names win over the callee's, and the callee is gone.
// CHECK-LABEL: func.func public @main(%x: tensor<4xf32>) -> tensor<4xf32> {
// CHECK-NEXT:    %b = "stablehlo.negate"(%x) : (tensor<4xf32>) -> tensor<4xf32>
// CHECK-NEXT:    %mine = "stablehlo.tanh"(%b) : (tensor<4xf32>) -> tensor<4xf32>
// CHECK-NEXT:    func.return %mine : tensor<4xf32>
// CHECK-NEXT:  }
// CHECK-NOT:   func.func
// CHECK: {{// -+}}
func.func public @main(%x: tensor<4xf32>) -> tensor<4xf32> {
  %mine = func.call @outer(%x) : (tensor<4xf32>) -> tensor<4xf32>
  func.return %mine : tensor<4xf32>
}
func.func private @outer(%a: tensor<4xf32>) -> tensor<4xf32> {
  %b = "stablehlo.negate"(%a) : (tensor<4xf32>) -> tensor<4xf32>
  %negated = func.call @identity(%b) : (tensor<4xf32>) -> tensor<4xf32>
  %c = func.call @inner(%negated) : (tensor<4xf32>) -> tensor<4xf32>
  func.return %c : tensor<4xf32>
}
func.func private @identity(%a: tensor<4xf32>) -> tensor<4xf32> {
  func.return %a : tensor<4xf32>
}
func.func private @inner(%a: tensor<4xf32>) -> tensor<4xf32> {
  %t = "stablehlo.tanh"(%a) : (tensor<4xf32>) -> tensor<4xf32>
  func.return %t : tensor<4xf32>
}

// -----

// Calls in regions, of a public function that stays, and more than once.
// CHECK-LABEL: func.func @loop
// CHECK:         "stablehlo.while"
// CHECK:           "stablehlo.compare"
// CHECK-NEXT:      "stablehlo.return"
// CHECK:           "stablehlo.add"
// CHECK-NEXT:      "stablehlo.add"
// CHECK-NEXT:      "stablehlo.return"
// CHECK-LABEL: func.func @double
// CHECK-NOT:   func.func
// CHECK: {{// -+}}
func.func @loop(%x: tensor<i32>) -> tensor<i32> {
  %r = "stablehlo.while"(%x) ({
  ^bb0(%i: tensor<i32>):
    %go = func.call @small(%i) : (tensor<i32>) -> tensor<i1>
    "stablehlo.return"(%go) : (tensor<i1>) -> ()
  }, {
  ^bb0(%i: tensor<i32>):
    %once = func.call @double(%i) : (tensor<i32>) -> tensor<i32>
    %twice = func.call @double(%once) : (tensor<i32>) -> tensor<i32>
    "stablehlo.return"(%twice) : (tensor<i32>) -> ()
  }) : (tensor<i32>) -> tensor<i32>
  func.return %r : tensor<i32>
}
func.func @double(%a: tensor<i32>) -> tensor<i32> {
  %s = "stablehlo.add"(%a, %a) : (tensor<i32>, tensor<i32>) -> tensor<i32>
  func.return %s : tensor<i32>
}
func.func private @small(%a: tensor<i32>) -> tensor<i1> {
  %limit = "stablehlo.constant"() <{value = dense<100> : tensor<i32>}> : () -> tensor<i32>
  %less = "stablehlo.compare"(%a, %limit) <{comparison_direction = #stablehlo<comparison_direction LT>}> : (tensor<i32>, tensor<i32>) -> tensor<i1>
  func.return %less : tensor<i1>
}

// -----

// Left alone: declarations, recursion (also through another function), kernels, functions of several blocks. What they
// are called from is inlined all the same.
// CHECK-LABEL: func.func @main
// CHECK-NEXT:    func.call @external(%x)
// CHECK-NEXT:    func.call @even(%x)
// CHECK-NEXT:    func.call @itself(%x)
// CHECK-NEXT:    func.call @kernel(%x)
// CHECK-NEXT:    func.call @blocks(%x)
// CHECK-NEXT:    func.return
// CHECK:       func.func private @external
// CHECK:       func.func private @even
// CHECK-NEXT:    func.call @odd
// CHECK:       func.func private @odd
// CHECK-NEXT:    func.call @even
// CHECK:       func.func private @itself
// CHECK:       func.func private @kernel
// CHECK:       func.func private @blocks
// CHECK-NOT:   func.func
// CHECK: {{// -+}}
func.func @main(%x: tensor<i32>) {
  func.call @all(%x) : (tensor<i32>) -> ()
  func.return
}
func.func private @all(%x: tensor<i32>) {
  func.call @external(%x) : (tensor<i32>) -> ()
  func.call @even(%x) : (tensor<i32>) -> ()
  func.call @itself(%x) : (tensor<i32>) -> ()
  func.call @kernel(%x) : (tensor<i32>) -> ()
  func.call @blocks(%x) : (tensor<i32>) -> ()
  func.return
}
func.func private @external(tensor<i32>)
func.func private @even(%x: tensor<i32>) {
  func.call @odd(%x) : (tensor<i32>) -> ()
  func.return
}
func.func private @odd(%x: tensor<i32>) {
  func.call @even(%x) : (tensor<i32>) -> ()
  func.return
}
func.func private @itself(%x: tensor<i32>) {
  func.call @itself(%x) : (tensor<i32>) -> ()
  func.return
}
func.func private @kernel(%x: tensor<i32>) attributes {flashlower.kernel} {
  func.return
}
func.func private @blocks(%x: tensor<i32>) {
  cf.br ^bb1
^bb1:
  func.return
}

// -----

// A private function that is referred to by something other than a call stays, with what it needs; a cycle of private
// functions that nothing refers to does not.
// CHECK: func.func @main
// CHECK: func.func private @decomposition
// CHECK-NEXT: "stablehlo.negate"
// CHECK-NOT: @forgotten
func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> {
  %0 = "stablehlo.composite"(%x) <{decomposition = @decomposition, name = "my.op"}> : (tensor<4xf32>) -> tensor<4xf32>
  func.return %0 : tensor<4xf32>
}
func.func private @decomposition(%x: tensor<4xf32>) -> tensor<4xf32> {
  %0 = func.call @negate(%x) : (tensor<4xf32>) -> tensor<4xf32>
  func.return %0 : tensor<4xf32>
}
func.func private @negate(%x: tensor<4xf32>) -> tensor<4xf32> {
  %0 = "stablehlo.negate"(%x) : (tensor<4xf32>) -> tensor<4xf32>
  func.return %0 : tensor<4xf32>
}
func.func private @forgotten() {
  func.call @forgotten() : () -> ()
  func.return
}
