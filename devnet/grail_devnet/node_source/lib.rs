//! Empty: this package only pins a source (see Cargo.toml).
