//! Process 1 of a pod's proxy. It is linked here, so that it lies beside `ferromesh-agent`, and with nothing of this package's library.

use std::process::ExitCode;

fn main() -> ExitCode {
    ferromesh_supervisor::main()
}
