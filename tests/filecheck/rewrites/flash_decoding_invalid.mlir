// RUN: xdsl-opt %s -p 'flash-decoding{splits=0}' --verify-diagnostics | filecheck %s --check-prefix=ZERO
// RUN: xdsl-opt %s -p 'flash-decoding{splits=all}' --verify-diagnostics | filecheck %s --check-prefix=WORD
// RUN: xdsl-opt %s -p 'flash-decoding{cores=-1}' --verify-diagnostics | filecheck %s --check-prefix=CORES
// RUN: xdsl-opt %s -p 'flash-decoding{max-splits=0}' --verify-diagnostics | filecheck %s --check-prefix=MOST
// RUN: xdsl-opt %s -p 'flash-decoding{min-chunk=0}' --verify-diagnostics | filecheck %s --check-prefix=CHUNK
// RUN: xdsl-opt %s -p 'flash-decoding{target=k80}' --verify-diagnostics | filecheck %s --check-prefix=TARGET

// Options out of range are refused whatever the module holds: one line that names the option.

// ZERO:   flash-decoding: splits is 0, expected at least 1
// WORD:   flash-decoding: splits is 'all', expected a number or auto
// CORES:  flash-decoding: cores is -1, expected at least 1
// MOST:   flash-decoding: max-splits is 0, expected at least 1
// CHUNK:  flash-decoding: min-chunk is 0, expected at least 1
// TARGET: unknown target 'k80', expected one of h100, h200, a100, mi300x
builtin.module {
}
