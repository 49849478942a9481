//! The binary `vmhop`.
fn main() -> anyhow::Result<()> {
    Ok(())
}
