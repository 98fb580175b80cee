// RUN: xdsl-opt %s --parsing-diagnostics | filecheck %s

// StableHLO's pretty form gives one error that says which form is needed, and how to get it.

func.func @main(%x: tensor<2xf32>) -> tensor<2xf32> {
  // CHECK: pretty_form.mlir:8:22
  // CHECK: stablehlo.add is in pretty form, but StableHLO is read as text in MLIR's generic form: print the module with `get_asm(print_generic_op_form=True)` in Python, or with `--mlir-print-op-generic` on a command line
  %0 = stablehlo.add %x, %x : tensor<2xf32>
  return %0 : tensor<2xf32>
}
