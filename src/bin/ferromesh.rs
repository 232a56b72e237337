//! The command line for people.

use std::process::ExitCode;

/// Reading thousands of objects is mostly small allocations, which this one makes faster than glibc's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ferromesh::app::command_line()
}
