//! Writes the CRDs: `crds/generated/` for people and tests, and the chart's templates.
//!
//! `cargo run -p ferromesh-crds --example generate-crds`

mod files;

fn main() -> std::io::Result<()> {
    for file in files::files() {
        if file.write()? {
            println!("wrote {}", file.path.display());
        }
    }
    Ok(())
}
