// RUN: xdsl-opt %s -t triton | filecheck %s

// A module that has nothing for Triton is a file that says so; what is left out is named on one line.

// CHECK: """A module without Triton kernels or launch functions: there is nothing to run here."""
// CHECK-EMPTY:
// CHECK-NEXT: # main is not printed: it has arith.addf.
// CHECK-NEXT: # a b import os is not printed: it has no body.
// CHECK-NOT: import
func.func @main(%x: f32) -> f32 {
  %0 = arith.addf %x, %x : f32
  func.return %0 : f32
}

func.func private @"a\0Ab\0Dimport os"(%x: f32) -> f32
