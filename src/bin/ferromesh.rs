//! The command line for people.

use std::process::ExitCode;

/// Reading thousands of objects is mostly small allocations, which glibc's allocator takes half as long again for.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ferromesh::app::command_line()
}
