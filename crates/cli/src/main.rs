//! The `apprentice` command line.
fn main() {}
