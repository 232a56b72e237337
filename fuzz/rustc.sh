#!/usr/bin/env bash
# As RUSTC_WRAPPER: has the compiler count what is reached in our own crates, and in no others, which would be slow and tell little.
case " $* " in
*" --crate-name ferromesh "* | *" --crate-name ferromesh_crds "* | *" --crate-name ferromesh_fuzz "*)
  exec "$@" --cfg fuzzing -Ccodegen-units=4 -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares
  ;;
*) exec "$@" ;;
esac
