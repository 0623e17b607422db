//! The Python edge of the crate: few, coarse functions on bytes.
//!
//! Every function releases the GIL while it works, turns each fault into a `ValueError`
//! whose text says what was wrong, and never panics across the boundary.

use pyo3::prelude::*;

mod bitcoin;
mod edge;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod noise;
mod zk;

#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    edge::register(module)?;
    bitcoin::register(module)?;
    noise::register(module)?;
    zk::register(module)?;
    Ok(())
}
