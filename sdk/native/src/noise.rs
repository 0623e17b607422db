//! One end of a link: Noise XX by the `snow` crate, messages in and out as bytes.
//!
//! The static key is drawn for the link and never leaves this file: who stands behind it is told by
//! the attestation that names it, not by the key.

use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;
use snow::{Builder, HandshakeState, TransportState};

use crate::edge::{outside, Fault, Outcome};

const SUITE: &str = "Noise_XX_25519_ChaChaPoly_SHA256";
/// The longest message of Noise (revision 34, section 3).
const MAX_MESSAGE: usize = 65_535;
/// What the longest handshake message has beside its payload: two keys and two tags.
const OVERHEAD: usize = 96;

enum State {
    Handshake(Box<HandshakeState>),
    Transport(Box<TransportState>),
    Dead,
}

struct Session {
    state: State,
    /// Our static key, then the other's and the transcript's hash, empty until the handshake ends.
    own: Vec<u8>,
    remote: Vec<u8>,
    hash: Vec<u8>,
}

fn broken(error: snow::Error) -> Fault {
    Fault::Link(error.to_string())
}

impl Session {
    fn new(initiator: bool, prologue: &[u8]) -> Outcome<Self> {
        let suite = SUITE.parse().map_err(broken)?;
        let pair = Builder::new(suite).generate_keypair().map_err(broken)?;
        let suite = SUITE.parse().map_err(broken)?;
        let builder = Builder::new(suite)
            .local_private_key(&pair.private)
            .and_then(|builder| builder.prologue(prologue))
            .map_err(broken)?;
        let state = if initiator {
            builder.build_initiator()
        } else {
            builder.build_responder()
        };
        Ok(Self {
            state: State::Handshake(Box::new(state.map_err(broken)?)),
            own: pair.public,
            remote: Vec::new(),
            hash: Vec::new(),
        })
    }

    fn write(&mut self, payload: &[u8]) -> Outcome<Vec<u8>> {
        let mut out = vec![0; payload.len().saturating_add(OVERHEAD).min(MAX_MESSAGE)];
        let size = match &mut self.state {
            State::Handshake(state) => state.write_message(payload, &mut out),
            State::Transport(state) => state.write_message(payload, &mut out),
            State::Dead => return Err(Fault::Link("the link is dead".into())),
        };
        out.truncate(size.map_err(|error| Fault::input(error.to_string()))?);
        self.turn()?;
        Ok(out)
    }

    /// Whatever is wrong with a message ends the session: there is no second try.
    fn read(&mut self, message: &[u8]) -> Outcome<Vec<u8>> {
        let mut out = vec![0; message.len().min(MAX_MESSAGE)];
        let size = match &mut self.state {
            State::Handshake(state) => state.read_message(message, &mut out),
            State::Transport(state) => state.read_message(message, &mut out),
            State::Dead => return Err(Fault::Link("the link is dead".into())),
        };
        match size {
            Ok(size) => out.truncate(size),
            Err(error) => {
                self.state = State::Dead;
                return Err(broken(error));
            }
        }
        self.turn()?;
        Ok(out)
    }

    /// Goes on to the transport once the handshake is through.
    fn turn(&mut self) -> Outcome<()> {
        self.state = match std::mem::replace(&mut self.state, State::Dead) {
            State::Handshake(state) if state.is_handshake_finished() => {
                self.hash = state.get_handshake_hash().to_vec();
                self.remote = state.get_remote_static().unwrap_or_default().to_vec();
                State::Transport(Box::new(state.into_transport_mode().map_err(broken)?))
            }
            other => other,
        };
        Ok(())
    }
}

/// How many places of a link `hostile` knows: the three messages of the handshake, and one after it.
#[cfg(feature = "fuzz")]
const PLACES: u8 = 4;

/// The first byte chooses a place, and the rest comes there instead of the message that is due.
///
/// Anybody can begin a handshake; what comes later is sealed by keys that nobody else has.
#[cfg(feature = "fuzz")]
pub fn hostile(raw: &[u8]) -> Outcome<()> {
    let (place, message) = raw.split_first().ok_or_else(|| Fault::input("no place"))?;
    let place = place % PLACES;
    let (mut one, mut two) = (Session::new(true, b"here")?, Session::new(false, b"here")?);
    for _ in 0..place {
        let due = one.write(b"")?;
        two.read(&due)?;
        std::mem::swap(&mut one, &mut two);
    }
    let outcome = two.read(message);
    match outcome {
        Ok(_) => assert!(place == 0, "a message of nobody is taken"),
        Err(_) => assert!(two.write(b"").is_err(), "there is a second try"),
    }
    outcome.map(|_| ())
}

/// One end of a link; it has no repr of its own, and its keys stay inside.
#[pyclass(frozen)]
struct NoiseSession(Mutex<Session>);

impl NoiseSession {
    fn with<T>(&self, work: impl FnOnce(&mut Session) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[pymethods]
impl NoiseSession {
    #[new]
    fn new(py: Python<'_>, initiator: bool, prologue: &[u8]) -> PyResult<Self> {
        let session = outside(py, || Session::new(initiator, prologue))?;
        Ok(Self(Mutex::new(session)))
    }

    /// The next message of the handshake, or an encrypted one after it.
    fn write(&self, py: Python<'_>, payload: &[u8]) -> PyResult<Vec<u8>> {
        outside(py, || self.with(|session| session.write(payload)))
    }

    /// The payload of a message.
    fn read(&self, py: Python<'_>, message: &[u8]) -> PyResult<Vec<u8>> {
        outside(py, || self.with(|session| session.read(message)))
    }

    /// Our static key, the other's, the transcript's hash; the last two empty before the end.
    fn ends(&self) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
        self.with(|session| {
            (
                session.own.clone(),
                session.remote.clone(),
                session.hash.clone(),
            )
        })
    }
}

/// Adds the class to the extension.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<NoiseSession>()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn joined(theirs: &[u8]) -> Outcome<(Session, Session)> {
        let (mut one, mut two) = (Session::new(true, b"here")?, Session::new(false, theirs)?);
        let first = one.write(b"")?;
        two.read(&first)?;
        let second = two.write(b"")?;
        one.read(&second)?;
        let third = one.write(b"")?;
        two.read(&third)?;
        Ok((one, two))
    }

    #[test]
    fn both_ends_agree() {
        let (mut one, mut two) = joined(b"here").unwrap();
        assert_eq!(one.hash, two.hash);
        assert_eq!((&one.own, &one.remote), (&two.remote, &two.own));
        let message = one.write(b"to and").unwrap();
        assert_eq!(two.read(&message).unwrap(), b"to and");
        let message = two.write(&[7; MAX_MESSAGE - 16]).unwrap();
        assert_eq!(one.read(&message).unwrap(), [7; MAX_MESSAGE - 16]);
    }

    #[test]
    fn another_prologue_or_one_bit_ends_it() {
        assert!(joined(b"there").is_err());
        let (mut one, mut two) = joined(b"here").unwrap();
        let good = one.write(b"x").unwrap();
        let mut bad = good.clone();
        bad[0] ^= 1;
        assert!(two.read(&bad).is_err());
        assert!(two.read(&good).is_err());
        assert!(two.write(b"x").is_err());
    }

    #[test]
    fn too_long_harms_nothing() {
        let (mut one, mut two) = joined(b"here").unwrap();
        assert!(matches!(one.write(&[0; MAX_MESSAGE]), Err(Fault::Input(_))));
        let message = one.write(b"still here").unwrap();
        assert_eq!(two.read(&message).unwrap(), b"still here");
    }
}
