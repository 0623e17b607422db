//! What every call from Python passes through: the GIL is released, panics are caught.

use std::panic::{catch_unwind, AssertUnwindSafe};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

pyo3::create_exception!(
    _native,
    ProofFault,
    PyValueError,
    "A proof is malformed or does not verify."
);
pyo3::create_exception!(
    _native,
    UnsatisfiedFault,
    PyValueError,
    "A constraint does not hold; the argument is its index."
);

pyo3::create_exception!(
    _native,
    DecodeFault,
    PyValueError,
    "Bytes are not what they claim to be; the arguments are the name of the kind and a text."
);
pyo3::create_exception!(
    _native,
    ScriptFault,
    PyValueError,
    "An input's script or witness is invalid by consensus rules."
);
pyo3::create_exception!(
    _native,
    LinkFault,
    PyValueError,
    "A message of a link is not what its other end sent, or the link is dead."
);

/// In which way bytes are not what they claim to be; the names are those of `grail.errors`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// They end too early.
    Truncated,
    /// Some are left after the end.
    TrailingBytes,
    /// There are more than the limit.
    TooLarge,
    /// They decode, but another encoding is the canonical one.
    NotCanonical,
    /// Any other way.
    DecodeError,
}

/// Why a call failed, before it is a Python exception.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The caller's bytes or numbers cannot be used.
    Input(String),
    /// A proof is malformed or does not verify.
    Proof(String),
    /// The constraint of this index does not hold.
    Unsatisfied(usize),
    /// Bytes are not what they claim to be.
    Decode(Kind, String),
    /// An input's script or witness is invalid.
    Script(String),
    /// A message of a link is not what its other end sent.
    Link(String),
}

/// What the functions of this crate return.
pub type Outcome<T> = Result<T, Fault>;

impl Fault {
    /// A fault of the caller's bytes.
    pub fn input(text: impl Into<String>) -> Self {
        Self::Input(text.into())
    }

    /// A fault in decoding.
    pub fn decode(kind: Kind, text: impl Into<String>) -> Self {
        Self::Decode(kind, text.into())
    }

    /// The same fault, but of a proof.
    pub fn of_proof(self) -> Self {
        match self {
            Self::Input(text) | Self::Decode(_, text) => Self::Proof(text),
            other => other,
        }
    }
}

impl From<Fault> for PyErr {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Input(text) => PyValueError::new_err(text),
            Fault::Proof(text) => ProofFault::new_err(text),
            Fault::Unsatisfied(index) => UnsatisfiedFault::new_err(index),
            Fault::Decode(kind, text) => DecodeFault::new_err((format!("{kind:?}"), text)),
            Fault::Script(text) => ScriptFault::new_err(text),
            Fault::Link(text) => LinkFault::new_err(text),
        }
    }
}

/// Runs `work` without the GIL and turns a panic into a fault.
///
/// The text of the panic is dropped: it may hold a value of a witness.
pub fn outside<T: Send>(py: Python<'_>, work: impl FnOnce() -> Outcome<T> + Send) -> PyResult<T> {
    let done = py.detach(|| catch_unwind(AssertUnwindSafe(work)));
    match done {
        Ok(outcome) => outcome.map_err(PyErr::from),
        Err(_) => Err(PyValueError::new_err("internal fault of the native crate")),
    }
}

/// Adds the exceptions to the extension.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("ProofFault", module.py().get_type::<ProofFault>())?;
    module.add(
        "UnsatisfiedFault",
        module.py().get_type::<UnsatisfiedFault>(),
    )?;
    module.add("DecodeFault", module.py().get_type::<DecodeFault>())?;
    module.add("ScriptFault", module.py().get_type::<ScriptFault>())?;
    module.add("LinkFault", module.py().get_type::<LinkFault>())?;
    Ok(())
}
